/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream sockets at paths, for modes whose frames go to another program.
 */
#ifndef LODGE_NET_ENDPOINT_H
#define LODGE_NET_ENDPOINT_H

#include "net/net.h"

/* To who listens at `path`: the descriptor or a negative errno. */
int endpoint_connect(const char *path);

/*
 * Listens there; where somebody did once, and nobody does any more, is free.
 * The descriptor, which does not wait, or a negative errno.
 */
int endpoint_listen(const char *path);

/*
 * Either of them for `--net MODE=PATH`: the descriptor, or -1 with the error,
 * which says what to do.
 */
int endpoint_open(const char *mode, const char *path, bool listens,
		  struct net_error *error);

#endif
