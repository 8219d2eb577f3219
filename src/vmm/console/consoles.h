/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All consoles of a machine: the serial one and the ports of the virtio
 * console, each with its outside (vmm/console/console.h). The first port is a console
 * to the guest: processors wait while its outside is slow, as with the serial
 * one. The others make their writers in the guest wait, and nothing else.
 */
#ifndef LODGE_VMM_CONSOLE_CONSOLES_H
#define LODGE_VMM_CONSOLE_CONSOLES_H

#include "virtio/console.h"
#include "vmm/console/console.h"

#define MACHINE_PORTS_MAX VIRTIO_CONSOLE_PORTS_MAX

/* A port of the virtio console. */
struct machine_port {
	const char *name;
	struct console_config outside;
};

struct board;
struct consoles;

/* What consoles ask of the machine. */
struct consoles_ops {
	/* A command key on the terminal. Loop thread. */
	void (*key)(void *ctx, enum key_action action);
	/* A console's output cannot be written; `error` says why. */
	void (*failed)(void *ctx);
	/* Processors are to stop for consoles_wait_room(). Any thread. */
	void (*full)(void *ctx);
};

/* Opens all outsides. `error` is kept, for later. -1 with it. */
int consoles_open(struct consoles **consoles,
		  const struct console_config *serial,
		  const struct machine_port *port, unsigned int ports,
		  struct vmm_error *error);

/* console_tell_last() of the serial one. */
void consoles_tell_last(const struct consoles *consoles);

/* Writes what is left, for a second at most. NULL is fine. */
void consoles_close(struct consoles *consoles);

/* For struct board_config; NULL when there is none, or no ports. */
const struct uart_sink *consoles_serial(struct consoles *consoles);
const struct virtio_console_config *
consoles_ports(struct consoles *consoles);

/* Starts to read and write. `ops` is kept. -1 with the error. */
int consoles_start(struct consoles *consoles, struct loop *loop,
		   struct board *board, const struct consoles_ops *ops,
		   void *ctx);

/* To be called on the loop's wake. */
void consoles_woken(struct consoles *consoles);

/* The terminal may have another size now. */
void consoles_resized(struct consoles *consoles);

/* See console_wait_room() and those below it. */
void consoles_wait_room(struct consoles *consoles);
void consoles_release(struct consoles *consoles);
void consoles_hold(struct consoles *consoles);

/*
 * The one on the terminal is a socket at `path` from now on. -1 with `error`:
 * it stays; there may be none.
 */
int consoles_leave(struct consoles *consoles, const char *path,
		   struct vmm_error *error);

/* Tells the user where they are, and of the keys. */
void consoles_greet(const struct consoles *consoles);

#endif
