/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP by libwebsockets. A client may be slow, wrong or hostile: headers and
 * bodies are bounded, connections are counted, and one that neither sends nor
 * takes is dropped.
 */
#include "manage/http.h"

#include <errno.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/loop.h"
#include "vm/host.h"

#define CLIENTS_MAX   256
#define HEADER_MAX    8192
#define IDLE_SECONDS  120
#define SLOW_SECONDS  30
#define ANSWER_HEADER 1024

struct http {
	struct loop *loop;
	struct api *api;
	struct lws_context *context;
	struct lws_vhost *vhost;
	int listener, inner; /* a copy of the loop's descriptor */
	bool stop;
};

/* A connection; libwebsockets has zeroed it. */
struct session {
	struct lws *wsi;
	struct http *http;
	struct api_call call;
	char *body;
	size_t body_size, body_room;
	bool under_way, ready, counted;
	int refused; /* status of a request that is not for the API; 0 */
	unsigned char *out; /* LWS_PRE bytes, then the answer */
	size_t out_size;
};

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
	int n = 0;

	call->args = 0;
	while (call->args < API_ARGS_MAX &&
	       lws_hdr_copy_fragment(wsi, call->arg[call->args], API_ARG_MAX,
				     WSI_TOKEN_HTTP_URI_ARGS, n++) > 0)
		call->args++;
}

static void take_header(struct session *session, const char *path)
{
	static const char key[] = "idempotency-key:";
	struct api_call *call = &session->call;
	struct lws *wsi = session->wsi;

	memset(call, 0, sizeof(*call));
	snprintf(call->path, sizeof(call->path), "%s", path);
	if (strlen(path) >= sizeof(call->path))
		session->refused = 414;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (lws_hdr_total_length(wsi, methods[i].token))
			strcpy(call->method, methods[i].name);
	take_args(wsi, call);
	if (lws_hdr_copy(wsi, call->if_match, sizeof(call->if_match),
			 WSI_TOKEN_HTTP_IF_MATCH) < 0)
		strcpy(call->if_match, "?");
	if (lws_hdr_copy(wsi, call->if_none_match,
			 sizeof(call->if_none_match),
			 WSI_TOKEN_HTTP_IF_NONE_MATCH) < 0)
		call->if_none_match[0] = '\0';
	if (lws_hdr_custom_copy(wsi, call->key, sizeof(call->key), key,
				sizeof(key) - 1) < 0)
		call->key[0] = '\0';
	if (lws_hdr_custom_length(wsi, key, sizeof(key) - 1) >
	    REGISTRY_KEY_MAX)
		memset(call->key, 'x', REGISTRY_KEY_MAX + 1);
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
	session->refused = 0;
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
	lws_set_timeout(session->wsi, PENDING_TIMEOUT_HTTP_CONTENT,
			SLOW_SECONDS);
	lws_callback_on_writable(session->wsi);
}

static int add(struct lws *wsi, const char *name, const char *value,
	       unsigned char **at, unsigned char *end)
{
	return *value && lws_add_http_header_by_name(
				 wsi, (const unsigned char *)name,
				 (const unsigned char *)value,
				 (int)strlen(value), at, end);
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
	    lws_add_http_header_status(wsi, (unsigned int)call->status, &at,
				       end) ||
	    add(wsi, "content-type:", session->out_size ? call->type : "",
		&at, end) ||
	    add(wsi, "etag:", call->etag, &at, end) ||
	    add(wsi, "location:", call->location, &at, end) ||
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

static void hand_over(struct session *session)
{
	struct api_call *call = &session->call;
	struct problem problem;

	call->answered = answered;
	call->ctx = session;
	call->body = session->body;
	call->body_size = session->body_size;
	session->under_way = true;
	/* It may wait for long. */
	lws_set_timeout(session->wsi, NO_PENDING_TIMEOUT, 0);
	if (!session->refused) {
		api_handle(session->http->api, call);
		return;
	}
	problem_set(&problem, session->refused, "bad-request",
		    session->refused == 414 ? "the path is too long" :
					      "give a body of a known length "
					      "of at most 1 MiB");
	api_refuse_unread(session->http->api, call, &problem);
}

/* --- what libwebsockets tells ----------------------------------------------------------- */

static int begin(struct session *session, const char *path)
{
	struct lws *wsi = session->wsi;
	size_t length = body_length(wsi);

	forget(session);
	take_header(session, path);
	if (length > API_BODY_MAX) {
		session->refused = 413;
		hand_over(session);
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

static int on_http(struct lws *wsi, enum lws_callback_reasons reason,
		   void *user, void *in, size_t size)
{
	struct session *session = user;
	struct http *http = lws_context_user(lws_get_context(wsi));

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		session->wsi = wsi;
		session->http = http;
		http->api->clients += !session->counted;
		session->counted = true;
		return begin(session, in);
	case LWS_CALLBACK_HTTP_BODY:
		return session->body ? take_body(session, in, size) : 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		if (session->body)
			hand_over(session);
		return 0;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return session->ready ? send_answer(session) : 0;
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
	case LWS_CALLBACK_CLOSED_HTTP:
		if (session && session->http)
			gone(session);
		return 0;
	default:
		return 0;
	}
}

/* The inner loop has work. */
static int on_inner(struct lws *wsi, enum lws_callback_reasons reason,
		    void *user, void *in, size_t size)
{
	struct http *http = lws_context_user(lws_get_context(wsi));

	if (reason == LWS_CALLBACK_RAW_RX_FILE)
		loop_step(http->loop);
	return 0;
}

static const struct lws_protocols protocols[] = {
	{ "http", on_http, sizeof(struct session), 0, 0, NULL, 0 },
	{ "inner", on_inner, 0, 0, 0, NULL, 0 },
	{ NULL, NULL, 0, 0, 0, NULL, 0 },
};

/* --- clients ------------------------------------------------------------------------------ */

static bool may_connect(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
	       (peer.uid == geteuid() || !peer.uid);
}

static void client_came(void *ctx, uint32_t events)
{
	struct http *http = ctx;
	int fd = accept4(http->listener, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!may_connect(fd))
		close(fd);
	else
		lws_adopt_socket_vhost(http->vhost, fd);
}

unsigned int http_clients(const struct http *http)
{
	return http->api->clients;
}

static void log_line(int level, const char *line)
{
	size_t length = strlen(line);

	host_log(HOST_LOG_WARN, "http: %.*s", (int)(length ? length - 1 : 0),
		 line);
}

struct http *http_open(struct loop *loop, struct api *api, int listener)
{
	struct http *http = calloc(1, sizeof(*http));
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.user = http,
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.fd_limit_per_thread = CLIENTS_MAX + 16,
		.max_http_header_data = HEADER_MAX,
		.max_http_header_pool = CLIENTS_MAX,
		.keepalive_timeout = IDLE_SECONDS,
		.timeout_secs = SLOW_SECONDS,
		.vhost_name = "lodged",
	};
	lws_sock_file_fd_type inner;

	if (!http)
		return NULL;
	http->loop = loop;
	http->api = api;
	http->listener = listener;
	lws_set_log_level(LLL_ERR, log_line);
	http->context = lws_create_context(&info);
	if (http->context)
		http->vhost = lws_create_vhost(http->context, &info);
	inner.filefd = dup(loop_descriptor(loop));
	if (http->vhost && inner.filefd >= 0 &&
	    lws_adopt_descriptor_vhost(http->vhost, LWS_ADOPT_RAW_FILE_DESC,
				       inner, "inner", NULL) &&
	    !loop_add(loop, listener, LOOP_READ, client_came, http))
		return http;
	http_close(http);
	return NULL;
}

void http_run(struct http *http)
{
	while (!http->stop && lws_service(http->context, 0) >= 0)
		;
}

void http_stop(struct http *http)
{
	http->stop = true;
	lws_cancel_service(http->context);
}

void http_close(struct http *http)
{
	if (!http)
		return;
	loop_remove(http->loop, http->listener);
	if (http->context)
		lws_context_destroy(http->context);
	free(http);
}
