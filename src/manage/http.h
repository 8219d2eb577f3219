/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API over HTTP/1.1, by libwebsockets, which also runs the process: the
 * event loop of everything else is one descriptor among its own.
 */
#ifndef LODGE_MANAGE_HTTP_H
#define LODGE_MANAGE_HTTP_H

#include "manage/api.h"

struct http;
struct loop;

/*
 * Serves at a listening Unix socket, which stays the caller's. Clients are
 * this user's and root's, by the credentials of their sockets. NULL: no
 * memory.
 */
struct http *http_open(struct loop *loop, struct api *api, int listener);

/* Runs until http_stop(). */
void http_run(struct http *http);
void http_stop(struct http *http);
void http_close(struct http *http);

unsigned int http_clients(const struct http *http);

#endif
