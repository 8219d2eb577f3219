/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a debugger reaches a machine: a TCP port, on this computer unless an
 * address is given, or a Unix socket. One debugger at a time; another one is
 * turned away.
 */
#ifndef LODGE_VMM_GDB_SOCKET_H
#define LODGE_VMM_GDB_SOCKET_H

#include "host/linux/loop.h"
#include "vmm/error.h"
#include "vmm/gdb/gdb.h"

struct gdb_config {
	const char *where; /* PORT, ADDRESS:PORT or unix:PATH; NULL: nobody */
	bool wait; /* run nothing before a debugger says so */
};

struct gdb_socket;

/* Listens, and says where on stderr. *socket is NULL on error. */
int gdb_socket_open(struct gdb_socket **socket, const char *where,
		    struct vmm_error *error);
int gdb_socket_start(struct gdb_socket *socket, struct loop *loop,
		     struct vmm_error *error);

/* Ends the connection; what could not be sent at once is lost. NULL is fine. */
void gdb_socket_close(struct gdb_socket *socket);

struct gdb *gdb_socket_gdb(struct gdb_socket *socket);

#endif
