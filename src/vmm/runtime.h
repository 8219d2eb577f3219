/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the control sockets of this user's machines are: NAME.sock in
 * $XDG_RUNTIME_DIR/lodge, without that variable in /tmp/lodge-UID; root's are
 * in /run/lodge. The folder has to be the user's own and nobody else's.
 *
 * Sockets are reached through the open folder (/proc/self/fd), so that the
 * length of its path does not count and nobody can put another in its place.
 */
#ifndef LODGE_VMM_RUNTIME_H
#define LODGE_VMM_RUNTIME_H

#include <stdbool.h>

#include "vmm/error.h"

#define RUNTIME_NAME_MAX 63
#define RUNTIME_PATH_MAX 400

/* 1 to 63 letters, digits and - _ . with no . or - at its start. */
bool runtime_name_valid(const char *name);

/* Opens the folder, made when missing. The descriptor, or -1 with `error`. */
int runtime_open(struct vmm_error *error);

/* Where a machine's file NAME.SUFFIX of this folder is. */
void runtime_path(char path[RUNTIME_PATH_MAX], const char *name,
		  const char *suffix);

/* A listening socket, and the name that it has. */
struct runtime_socket {
	int folder, fd; /* -1: none */
	char name[RUNTIME_NAME_MAX + 1];
};

/*
 * Listens as `name`; with `any`, as the first of name, name-2, name-3 ...
 * that no running machine has. What a dead process left is taken over. -1
 * with `error`, nothing open.
 */
int runtime_listen(struct runtime_socket *sock, const char *name, bool any,
		   struct vmm_error *error);

/* Closes the socket and takes its name away. */
void runtime_close(struct runtime_socket *sock);

/*
 * Connects to the machine `name` in `folder`: a blocking descriptor, or
 * -ECONNREFUSED and -ENOENT when no machine has that name.
 */
int runtime_connect(int folder, const char *name);

/* The same without waiting: a non-blocking descriptor. */
int runtime_connect_now(int folder, const char *name);

/* Removes what a dead process left of `name`: NAME.sock and NAME.SUFFIX. */
void runtime_sweep(int folder, const char *name, const char *suffix);

/* Calls `use` for each socket's name, by the alphabet. 0 or -1. */
int runtime_each(int folder, void (*use)(void *ctx, const char *name),
		 void *ctx);

#endif
