/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API over HTTP/1.1, by libwebsockets, which also runs the process: the
 * event loop of everything else is one descriptor among its own.
 */
#ifndef LODGE_MANAGE_HTTP_HTTP_H
#define LODGE_MANAGE_HTTP_HTTP_H

#include "manage/api/api.h"

struct http;
struct loop;

/* A second listener, for clients from elsewhere. */
struct http_tls {
	int listener; /* -1: none */
	const char *certificate, *key; /* PEM files */
	const char *client_ca; /* whose certificates clients have; NULL: none */
};

/*
 * Serves at a listening Unix socket and at `tls`, whose sockets stay the
 * caller's. NULL: no memory, or a file of `tls` is none.
 */
struct http *http_open(struct loop *loop, struct api *api, int listener,
		       const struct http_tls *tls);

/* Runs until http_stop(). */
void http_run(struct http *http);
void http_stop(struct http *http);
void http_close(struct http *http);

#endif
