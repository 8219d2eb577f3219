/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's display for VNC viewers: the listening socket, up to 16
 * viewers, and the moments when the picture is looked at. All on the
 * machine's event loop. While no viewer asks, nothing is drawn; while the
 * picture stays as it is, it is looked at ten times a second.
 *
 * Without a password only this computer is listened to. A viewer may be wrong
 * or hostile: see vnc/session.h.
 */
#ifndef LODGE_VMM_DISPLAY_VNC_SERVER_H
#define LODGE_VMM_DISPLAY_VNC_SERVER_H

#include "host/linux/loop.h"
#include "vmm/error.h"

#define VNC_CLIENTS_MAX 16

struct board;
struct vnc_server;

struct vnc_config {
	const char *where; /* see listener.h; NULL: no viewers */
	const char *password_file; /* its first line; NULL: none */
};

/* Listens; viewers wait until the start. *server is NULL on error. */
int vnc_server_open(struct vnc_server **server,
		    const struct vnc_config *config, struct vmm_error *error);

/* Serves the board's display as `name`, and says where on stderr. */
int vnc_server_start(struct vnc_server *server, struct loop *loop,
		     struct board *board, const char *name,
		     struct vmm_error *error);

/* NULL is fine. */
void vnc_server_close(struct vnc_server *server);

#endif
