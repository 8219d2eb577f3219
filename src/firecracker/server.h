/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API at a Unix socket: clients, one request at a time each.
 */
#ifndef LODGE_FIRECRACKER_SERVER_H
#define LODGE_FIRECRACKER_SERVER_H

#include "firecracker/api.h"
#include "host/linux/loop.h"
#include "vmm/unix_socket.h"

struct fc_client;

struct fc_server {
	struct loop *loop;
	struct fc_api *api;
	struct unix_socket socket;
	struct fc_client *clients;
	unsigned int count;
	size_t body_max;
	/* Called after each answer; may be NULL. */
	void (*answered)(void *ctx);
	void *ctx;
};

/* Listens at `path`. -1 with `error`. */
int fc_server_open(struct fc_server *server, const char *path,
		   struct vmm_error *error);
void fc_server_close(struct fc_server *server);

#endif
