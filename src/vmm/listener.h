/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket that the user named: PORT or :PORT (of this computer
 * alone), ADDRESS:PORT with a numeric address, [ADDRESS]:PORT, or unix:PATH.
 */
#ifndef LODGE_VMM_LISTENER_H
#define LODGE_VMM_LISTENER_H

#include <stdbool.h>

#include "vmm/error.h"
#include "vmm/unix_socket.h"

#define LISTENER_NAME_MAX 128

struct listener {
	int fd; /* -1: none */
	struct unix_socket file;
};

#define LISTENER_NONE { .fd = -1, .file.fd = -1 }

/*
 * Binds and listens, non-blocking. `what` it is for comes first in a refusal
 * ("gdb port 80: ..."). -1 with `error`, and nothing open.
 */
int listener_open(struct listener *listener, const char *what,
		  const char *where, int backlog, struct vmm_error *error);

/* Also when nothing is open. */
void listener_close(struct listener *listener);

/* Nobody on another computer can connect. */
bool listener_is_local(const struct listener *listener);

/* Where it is, as a client would name it: the path, or ADDRESS:PORT. */
void listener_name(const struct listener *listener,
		   char name[LISTENER_NAME_MAX]);

#endif
