/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image served to others by the Network Block Device protocol, fixed
 * newstyle (doc/proto.md of the NBD project): one export, structured replies,
 * base:allocation. Without TLS: whoever can connect may read, and write.
 */
#ifndef LODGE_DISK_NBD_NBD_H
#define LODGE_DISK_NBD_NBD_H

#include "disk/node.h"

struct nbd_server;

struct nbd_export {
	struct disk_node *node;	 /* stays the caller's, longer than the server */
	const char *name;	 /* which a client asks for; "" as well */
	const char *description; /* NULL: none */
	bool readonly;
	/* Called when the last client has left, on one of the server's
	 * threads; may be NULL. */
	void (*left)(void *ctx);
	void *ctx;
};

/* Serves clients of `listener`, a socket that listens and stays the caller's
 * to close; negative errno. */
int nbd_server_create(struct nbd_server **server,
		      const struct nbd_export *export, int listener);

/* Sends its clients away; what they have flushed is safe. NULL is fine. */
void nbd_server_destroy(struct nbd_server *server);

#endif
