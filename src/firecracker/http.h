/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of HTTP/1.1 (RFC 9112) out of a stream of bytes, as much of it as
 * clients of a local API send: a method, a path, a body of a known length.
 * Whatever the bytes are, no more than `HTTP_HEAD_MAX` of a head and
 * `body_max` of a body are kept.
 */
#ifndef LODGE_FIRECRACKER_HTTP_H
#define LODGE_FIRECRACKER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX	8192
#define HTTP_METHOD_MAX 8
#define HTTP_PATH_MAX	256
#define HTTP_BODY_MAX	51200 /* where nothing else is said */

enum http_state {
	HTTP_HEAD,  /* more bytes are needed */
	HTTP_BODY,  /* likewise */
	HTTP_READY, /* a request is there */
	HTTP_BAD,   /* `status` says why; the connection is to end */
};

struct http_reader {
	enum http_state state;
	size_t body_max;
	char head[HTTP_HEAD_MAX + 1];
	size_t head_size;
	char *body; /* body_size bytes and a zero */
	size_t body_size, body_have;
	char method[HTTP_METHOD_MAX + 1];
	char path[HTTP_PATH_MAX + 1];
	bool close;    /* the client wants no more answers than this */
	bool expects;  /* it waits for 100 before it sends the body */
	int status;    /* of one that is bad */
};

void http_init(struct http_reader *reader, size_t body_max);
void http_fini(struct http_reader *reader);

/*
 * Takes bytes up to a request's end; gives how many. To be called while the
 * state is HTTP_HEAD or HTTP_BODY.
 */
size_t http_take(struct http_reader *reader, const char *bytes, size_t size);

/* The request was answered: the next one. */
void http_next(struct http_reader *reader);

/* "No Content". */
const char *http_reason(int status);

#endif
