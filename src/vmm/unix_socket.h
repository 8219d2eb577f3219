/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening Unix stream socket (unix(7)) at a path of the user's choice,
 * for its owner alone. One that a dead process left there is replaced, one
 * that somebody listens at is not, nor is any other kind of file.
 */
#ifndef LODGE_VMM_UNIX_SOCKET_H
#define LODGE_VMM_UNIX_SOCKET_H

#include <sys/stat.h>

#include "vmm/error.h"

#define UNIX_PATH_MAX 107 /* characters that a socket's address has room for */

struct unix_socket {
	int fd;		   /* non-blocking; -1: none */
	struct stat found; /* of the file that we made */
	char path[UNIX_PATH_MAX + 1];
};

/*
 * Listens at `path`; `what` names the socket in messages ("gdb socket"). -1
 * with `error`, nothing open.
 */
int unix_socket_listen(struct unix_socket *sock, const char *what,
		       const char *path, struct vmm_error *error);

/* Closes it and removes its file, if that is still ours. */
void unix_socket_close(struct unix_socket *sock);

#endif
