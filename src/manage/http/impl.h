/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the parts of the HTTP server: connections (http.c), requests
 * (request.c), streams of events (stream.c), and what is carried
 * over WebSockets (socket.c).
 */
#ifndef LODGE_MANAGE_HTTP_IMPL_H
#define LODGE_MANAGE_HTTP_IMPL_H

#include <libwebsockets.h>

#include "manage/http/http.h"

struct http {
	struct loop *loop;
	struct api *api;
	struct lws_context *context;
	struct lws_vhost *vhost, *tls; /* tls NULL: no such listener */
	int listener, tls_listener;
	struct visitor *visitors;
	unsigned int count;	/* of them, without those that leave */
	unsigned int leaving;
	unsigned int strangers; /* that are others than our own user */
	bool stop;
};

/* Whoever has connected; for as long as the connection is there. */
struct visitor {
	struct http *http;
	struct visitor *next;
	struct lws *wsi;
	struct peer peer;
	uint64_t since; /* host_monotonic_ns() of its last request */
	bool stranger;
	bool leaving; /* its connection is to be closed */
	int carried; /* an open socket that a WebSocket is to be for; -1 */
};

/* A connection's request; libwebsockets has zeroed it. */
struct session {
	struct lws *wsi;
	struct http *http;
	struct visitor *visitor;
	struct api_call call;
	char *body;
	size_t body_size, body_room;
	bool under_way, ready, counted, rests;
	bool streams;	/* events, without an end */
	bool streaming; /* its header was sent */
	unsigned char *out; /* LWS_PRE bytes, then the answer */
	size_t out_size;
	struct carry *carry; /* of a WebSocket */
};

/* request.c: what libwebsockets tells of requests. */
int http_take(struct lws *wsi, enum lws_callback_reasons reason,
	      struct session *session, void *in, size_t size);

/* Of the request whose headers are there: all but the body. */
void http_take_head(struct lws *wsi, const struct visitor *visitor,
		    const char *path, struct api_call *call);

/*
 * -1 with `problem`: libwebsockets takes an escaped end of a line for that of
 * the request's, and we an escaped 0 for that of the path; what is in front of
 * either names another thing than what the client asked for.
 */
int http_check_line(struct lws *wsi, const char *path, size_t length,
		    struct problem *problem);

/* -1 with `problem`: a browser's page of elsewhere asks. */
int http_check_origin(struct lws *wsi, struct problem *problem);

/* Nothing is read from it while its request is under way, until it ends. */
void http_rest(struct session *session);
void http_wake(struct session *session);

/* Header lines of an answer's status and problem. Not 0: no room. */
int http_put_head(struct lws *wsi, const struct api_call *call,
		  const char *type, unsigned char **at, unsigned char *end);

/* stream.c: begins one; the rest by the session's own calls. */
void http_stream_begin(struct session *session);
void http_stream_answered(void *ctx);
int http_stream_send(struct session *session);

/* socket.c: before the upgrade (0: go on, 1: refused, -1: end it). */
int http_upgrade(struct lws *wsi, struct visitor *visitor);
int http_socket_take(struct lws *wsi, enum lws_callback_reasons reason,
		     struct session *session, void *in, size_t size);

#endif
