/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request from its first byte to the last one of its answer.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "manage/http/impl.h"
#include "vm/host.h"

#define SLOW_SECONDS  30
#define LOOK_SECONDS  10 /* between looks for clients that have gone */
#define ANSWER_HEADER 1024
#define FRAGMENTS_MAX 256 /* of a query: more than libwebsockets has room for */
#define BEARER	      "Bearer "
#define STREAM_PATH   "/v1/events/stream"

/* --- requests ---------------------------------------------------------------------- */

static const struct {
	enum lws_token_indexes token;
	const char *name;
} methods[] = {
	{ WSI_TOKEN_GET_URI, "GET" },	{ WSI_TOKEN_POST_URI, "POST" },
	{ WSI_TOKEN_PUT_URI, "PUT" },	{ WSI_TOKEN_PATCH_URI, "PATCH" },
	{ WSI_TOKEN_HEAD_URI, "HEAD" }, { WSI_TOKEN_DELETE_URI, "DELETE" },
};

static void take_args(struct lws *wsi, struct api_call *call)
{
	const enum lws_token_indexes args = WSI_TOKEN_HTTP_URI_ARGS;
	char *arg;

	call->args = 0;
	for (int n = 0; n < FRAGMENTS_MAX; n++) {
		if (lws_hdr_fragment_length(wsi, args, n) <= 0)
			continue;
		arg = call->arg[call->args];
		if (call->args == API_ARGS_MAX ||
		    lws_hdr_copy_fragment(wsi, arg, API_ARG_MAX, args, n) <= 0)
			call->args_lost = true;
		else if (strcmp(arg, "/")) /* an empty one at the end */
			call->args++;
	}
}

static void take_text(struct lws *wsi, enum lws_token_indexes token,
		      char *text, size_t size, const char *too_long)
{
	if (lws_hdr_copy(wsi, text, (int)size, token) < 0)
		snprintf(text, size, "%s", too_long);
}

/* The token: in its header, or among the protocols of a WebSocket. */
static void take_bearer(struct lws *wsi, struct api_call *call)
{
	char text[sizeof(BEARER) + TOKEN_TEXT_SIZE + 1] = "";
	char protocols[256] = "", *rest = protocols, *word;

	take_text(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, text, sizeof(text), "?");
	if (!strncasecmp(text, BEARER, sizeof(BEARER) - 1))
		snprintf(call->bearer, sizeof(call->bearer), "%.*s",
			 (int)sizeof(call->bearer) - 1,
			 text + sizeof(BEARER) - 1);
	else if (*text)
		strcpy(call->bearer, "?");
	explicit_bzero(text, sizeof(text));
	if (*call->bearer || !lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL))
		return;
	take_text(wsi, WSI_TOKEN_PROTOCOL, protocols, sizeof(protocols), "");
	while ((word = strsep(&rest, ", ")))
		if (!strncmp(word, "bearer.", 7))
			snprintf(call->bearer, sizeof(call->bearer), "%.*s",
				 (int)sizeof(call->bearer) - 1, word + 7);
	explicit_bzero(protocols, sizeof(protocols));
}

void http_take_head(struct lws *wsi, const struct visitor *visitor,
		    const char *path, struct api_call *call)
{
	static const char key[] = "idempotency-key:";

	memset(call, 0, sizeof(*call));
	call->peer = visitor->peer;
	snprintf(call->path, sizeof(call->path), "%s", path);
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (lws_hdr_total_length(wsi, methods[i].token))
			strcpy(call->method, methods[i].name);
	take_args(wsi, call);
	take_bearer(wsi, call);
	take_text(wsi, WSI_TOKEN_HTTP_USER_AGENT, call->program,
		  sizeof(call->program), "?");
	take_text(wsi, WSI_TOKEN_HTTP_IF_MATCH, call->if_match,
		  sizeof(call->if_match), "?");
	take_text(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, call->if_none_match,
		  sizeof(call->if_none_match), "");
	if (lws_hdr_custom_copy(wsi, call->key, sizeof(call->key), key,
				sizeof(key) - 1) < 0)
		call->key[0] = '\0';
	if (lws_hdr_custom_length(wsi, key, sizeof(key) - 1) >
	    REGISTRY_KEY_MAX)
		memset(call->key, 'x', REGISTRY_KEY_MAX + 1);
}

int http_check_line(struct lws *wsi, const char *path, size_t length,
		    struct problem *problem)
{
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP) > 0 &&
	    strlen(path) == length)
		return 0;
	return problem_set(problem, 400, "bad-request", "the request's line "
			   "has no version of HTTP, or its path the end of a "
			   "line or of a text");
}

int http_check_origin(struct lws *wsi, struct problem *problem)
{
	char origin[256] = "", host[256] = "";
	const char *at;

	take_text(wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin), "?");
	take_text(wsi, WSI_TOKEN_HOST, host, sizeof(host), "");
	at = strstr(origin, "://");
	if (!*origin || (at && *host && !strcasecmp(at + 3, host)))
		return 0;
	return problem_set(problem, 403, "other-origin", "a page of %.100s "
			   "may not use this", origin);
}

/* How long the body is; more than there may be for one of unknown length. */
static size_t body_length(struct lws *wsi)
{
	char text[24] = "";

	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING))
		return SIZE_MAX;
	if (!lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH))
		return 0;
	if (lws_hdr_copy(wsi, text, sizeof(text),
			 WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0 ||
	    strspn(text, "0123456789") != strlen(text))
		return SIZE_MAX;
	return strtoull(text, NULL, 10);
}

/* --- answers ------------------------------------------------------------------------- */

static void forget(struct session *session)
{
	free(session->out);
	free(session->body);
	session->out = NULL;
	session->body = NULL;
	session->body_size = session->body_room = 0;
	session->under_way = session->ready = false;
	session->streams = session->streaming = false;
}

/* The API has answered: the text is made, to be sent when there is room. */
static void answered(void *ctx)
{
	struct session *session = ctx;
	struct api_call *call = &session->call;
	size_t size = call->text ? strlen(call->text) : 0;
	bool json = call->answer && call->text;

	session->out = malloc(LWS_PRE + size + 1);
	if (session->out && size)
		memcpy(session->out + LWS_PRE, call->text, size);
	/* A line, for people. */
	if (session->out && json)
		session->out[LWS_PRE + size] = '\n';
	session->out_size = size + json;
	json_decref(call->answer);
	free(call->text);
	call->answer = NULL;
	call->text = NULL;
	session->under_way = false;
	session->ready = true;
	http_wake(session);
}

static int add(struct lws *wsi, const char *name, const char *value,
	       unsigned char **at, unsigned char *end)
{
	return *value && lws_add_http_header_by_name(
				 wsi, (const unsigned char *)name,
				 (const unsigned char *)value,
				 (int)strlen(value), at, end);
}

int http_put_head(struct lws *wsi, const struct api_call *call,
		  const char *type, unsigned char **at, unsigned char *end)
{
	char seconds[16] = "";

	if (call->status == 429)
		snprintf(seconds, sizeof(seconds), "%u", call->seconds);
	return lws_add_http_header_status(wsi, (unsigned int)call->status, at,
					  end) ||
	       add(wsi, "content-type:", type, at, end) ||
	       add(wsi, "etag:", call->etag, at, end) ||
	       add(wsi, "location:", call->location, at, end) ||
	       add(wsi, "retry-after:", seconds, at, end) ||
	       add(wsi, "www-authenticate:",
		   call->status == 401 ? "Bearer" : "", at, end) ||
	       add(wsi, "cache-control:", "no-cache", at, end) ||
	       add(wsi, "x-content-type-options:", "nosniff", at, end);
}

/* Header, then body. Gives -1 to end the connection. */
static int send_answer(struct session *session)
{
	const struct api_call *call = &session->call;
	unsigned char buffer[LWS_PRE + ANSWER_HEADER];
	unsigned char *start = buffer + LWS_PRE, *at = start;
	unsigned char *end = buffer + sizeof(buffer) - 1;
	struct lws *wsi = session->wsi;
	int rc;

	if (!session->out ||
	    http_put_head(wsi, call, session->out_size ? call->type : "", &at,
			  end) ||
	    (call->status != 304 &&
	     lws_add_http_header_content_length(wsi, session->out_size, &at,
						end)) ||
	    lws_finalize_write_http_header(wsi, start, &at, end))
		return -1;
	rc = session->out_size ?
		     lws_write(wsi, session->out + LWS_PRE, session->out_size,
			       LWS_WRITE_HTTP_FINAL) :
		     0;
	forget(session);
	if (rc < 0)
		return -1;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* --- a client that waits ---------------------------------------------------------------- */

/*
 * What it sends meanwhile is its next request: libwebsockets does not take
 * that yet, and would look at it again and again. A neighbour that has gone is
 * told by the kernel all the same; one from elsewhere is looked for.
 */
void http_rest(struct session *session)
{
	session->rests = true;
	lws_rx_flow_control(session->wsi, 0);
	if (!session->visitor->peer.local)
		lws_set_timer_usecs(session->wsi, LOOK_SECONDS *
						  LWS_USEC_PER_SEC);
}

void http_wake(struct session *session)
{
	struct lws *wsi = session->wsi;

	if (session->rests) {
		lws_set_timer_usecs(wsi, LWS_SET_TIMER_USEC_CANCEL);
		lws_rx_flow_control(wsi, 1);
	}
	session->rests = false;
	lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, SLOW_SECONDS);
	lws_callback_on_writable(wsi);
}

/* -1: it has closed its end. */
static int look(struct session *session)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (!session->under_way)
		return 0;
	lws_set_timer_usecs(session->wsi, LOOK_SECONDS * LWS_USEC_PER_SEC);
	return !getsockopt(lws_get_socket_fd(session->wsi), IPPROTO_TCP,
			   TCP_INFO, &info, &size) &&
			       info.tcpi_state != TCP_ESTABLISHED ?
		       -1 :
		       0;
}

/* --- between them ---------------------------------------------------------------------- */

static void hand_over(struct session *session)
{
	struct api_call *call = &session->call;

	call->answered = answered;
	call->ctx = session;
	call->body = session->body;
	call->body_size = session->body_size;
	session->under_way = true;
	/* It may wait for long. */
	lws_set_timeout(session->wsi, NO_PENDING_TIMEOUT, 0);
	if (session->streams)
		http_stream_begin(session);
	else
		api_handle(session->http->api, call);
	if (session->under_way)
		http_rest(session);
}

static void refuse(struct session *session, const struct problem *problem)
{
	session->call.answered = answered;
	session->call.ctx = session;
	session->under_way = true;
	api_refuse_unread(session->http->api, &session->call, problem);
}

static int begin(struct session *session, const char *path, size_t path_length)
{
	struct lws *wsi = session->wsi;
	size_t length = body_length(wsi);
	struct problem problem = { 0 };

	forget(session);
	http_take_head(wsi, session->visitor, path, &session->call);
	session->streams = !strcmp(path, STREAM_PATH) &&
			   !strcmp(session->call.method, "GET");
	if (strlen(path) >= sizeof(session->call.path))
		problem_set(&problem, 414, "bad-request",
			    "the path is too long");
	else if (length > API_BODY_MAX)
		problem_set(&problem, 413, "bad-request", "give a body of a "
			    "known length of at most 1 MiB");
	else if (!http_check_line(wsi, path, path_length, &problem))
		http_check_origin(wsi, &problem);
	if (problem.status) {
		refuse(session, &problem);
		return 0;
	}
	if (!length) {
		hand_over(session);
		return 0;
	}
	session->body = malloc(length);
	session->body_room = length;
	return session->body ? 0 : -1;
}

static int take_body(struct session *session, const void *data, size_t size)
{
	if (size > session->body_room - session->body_size)
		return -1;
	memcpy(session->body + session->body_size, data, size);
	session->body_size += size;
	return 0;
}

static void gone(struct session *session)
{
	if (session->under_way)
		api_cancel(&session->call);
	forget(session);
	if (session->counted)
		session->http->api->clients--;
	session->counted = false;
}

static int first(struct lws *wsi, struct session *session, const char *path,
		 size_t length)
{
	session->wsi = wsi;
	session->visitor = lws_get_opaque_user_data(wsi);
	if (!session->visitor)
		return -1;
	session->http = session->visitor->http;
	session->visitor->since = host_monotonic_ns();
	session->http->api->clients += !session->counted;
	session->counted = true;
	return begin(session, path, length);
}

int http_take(struct lws *wsi, enum lws_callback_reasons reason,
	      struct session *session, void *in, size_t size)
{
	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return first(wsi, session, in, size);
	case LWS_CALLBACK_HTTP_BODY:
		return session->body ? take_body(session, in, size) : 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		if (session->body)
			hand_over(session);
		return 0;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		if (session->ready && session->streams)
			return http_stream_send(session);
		return session->ready ? send_answer(session) : 0;
	case LWS_CALLBACK_TIMER:
		return session->http ? look(session) : 0;
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
	case LWS_CALLBACK_CLOSED_HTTP:
		if (session && session->http)
			gone(session);
		return 0;
	default:
		return 0;
	}
}
