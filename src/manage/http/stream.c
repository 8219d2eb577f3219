/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/events/stream: events as they come (server-sent events, as the HTML
 * standard has them). It is a row of GET /v1/events that wait, so the same
 * rules say who sees what, each time anew.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/http/impl.h"

#define BEAT_SECONDS 15 /* after which a client hears that nothing came */
#define HEADER_SIZE  512
#define AT_ONCE	     100

static void set_arg(struct api_call *call, const char *name, long long value)
{
	size_t length = strlen(name);
	unsigned int i = 0;

	while (i < call->args && (strncmp(call->arg[i], name, length) ||
				  call->arg[i][length] != '='))
		i++;
	if (i == API_ARGS_MAX)
		i--;
	if (i == call->args)
		call->args++;
	snprintf(call->arg[i], API_ARG_MAX, "%s=%lld", name, value);
}

/* Where it was when the connection broke: the header has the last number. */
void http_stream_begin(struct session *session)
{
	static const char name[] = "last-event-id:";
	struct api_call *call = &session->call;
	char text[24];

	if (lws_hdr_custom_copy(session->wsi, text, sizeof(text), name,
				sizeof(name) - 1) > 0 &&
	    strspn(text, "0123456789") == strlen(text))
		set_arg(call, "since", strtoll(text, NULL, 10));
	strcpy(call->path, "/v1/events");
	/* At first what there is, so that the client hears that it is served. */
	set_arg(call, "wait", 0);
	set_arg(call, "limit", AT_ONCE);
	/* Each answer is sent, whatever the client has. */
	call->if_none_match[0] = '\0';
	call->answered = http_stream_answered;
	call->ctx = session;
	api_handle(session->http->api, call);
}

static void write_events(FILE *to, const json_t *answer)
{
	const json_t *event;
	size_t i;

	json_array_foreach(json_object_get(answer, "events"), i, event) {
		char *text = json_dumps(event, JSON_COMPACT);

		fprintf(to, "id: %lld\nevent: %s\ndata: %s\n\n",
			(long long)json_integer_value(
				json_object_get(event, "id")),
			json_string_value(json_object_get(event, "kind")),
			text ? text : "{}");
		free(text);
	}
	/* A line that says that we are there. */
	if (!i)
		fprintf(to, ":\n\n");
}

void http_stream_answered(void *ctx)
{
	struct session *session = ctx;
	struct api_call *call = &session->call;
	static const char pre[LWS_PRE];
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	if (to) {
		fwrite(pre, 1, sizeof(pre), to);
		if (call->problem)
			fprintf(to, "%s\n", call->text ? call->text : "{}");
		else
			write_events(to, call->answer);
		if (fclose(to))
			size = 0;
	}
	if (!call->problem)
		set_arg(call, "since", json_integer_value(json_object_get(
					       call->answer, "last")));
	json_decref(call->answer);
	free(call->text);
	call->answer = NULL;
	call->text = NULL;
	session->out = (unsigned char *)text;
	session->out_size = size > LWS_PRE ? size - LWS_PRE : 0;
	session->under_way = false;
	session->ready = true;
	http_wake(session);
}

static int send_head(struct session *session)
{
	const struct api_call *call = &session->call;
	unsigned char buffer[LWS_PRE + HEADER_SIZE];
	unsigned char *start = buffer + LWS_PRE, *at = start;
	unsigned char *end = buffer + sizeof(buffer) - 1;
	struct api_call head = { .status = call->status,
				 .seconds = call->seconds };

	session->streaming = true;
	if (http_put_head(session->wsi, &head,
			  call->problem ? call->type : "text/event-stream",
			  &at, end) ||
	    lws_add_http_header_by_name(
		    session->wsi, (const unsigned char *)"connection:",
		    (const unsigned char *)"close", 5, &at, end))
		return -1;
	return lws_finalize_write_http_header(session->wsi, start, &at, end);
}

int http_stream_send(struct session *session)
{
	struct api_call *call = &session->call;
	int rc;

	if (!session->out_size || (!session->streaming && send_head(session)))
		return -1;
	session->ready = false;
	rc = lws_write(session->wsi, session->out + LWS_PRE, session->out_size,
		       LWS_WRITE_HTTP);
	free(session->out);
	session->out = NULL;
	/* Of one whose token was revoked meanwhile, that is the end. */
	if (rc < 0 || call->problem)
		return -1;
	lws_set_timeout(session->wsi, NO_PENDING_TIMEOUT, 0);
	session->under_way = true;
	set_arg(call, "wait", BEAT_SECONDS);
	api_handle(session->http->api, call);
	if (session->under_way)
		http_rest(session);
	return 0;
}
