/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consoles of a machine; see consoles.h.
 */
#include "vmm/console/consoles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/board.h"
#include "vm/host.h"

#define CLOSE_NS 1000000000u /* for what is left at the end, of all */

/* One outside, and what it belongs to. */
struct end {
	struct consoles *consoles;
	unsigned int index; /* of the port */
	const char *name;   /* of the port; NULL: the serial console */
	char what[80];
	struct console *console;
};

struct consoles {
	struct vmm_error *error;
	struct board *board;
	struct virtio_console *device; /* NULL: there are no ports */
	const struct consoles_ops *ops;
	void *ctx;
	unsigned int ports;
	struct end serial;
	struct end *port;
	struct virtio_console_port *device_port;
	struct virtio_console_config device_config;
};

/* --- the machine's callbacks ------------------------------------------------ */

static void key(void *ctx, enum key_action action)
{
	struct end *end = ctx;

	end->consoles->ops->key(end->consoles->ctx, action);
}

static void full(void *ctx)
{
	struct end *end = ctx;

	end->consoles->ops->full(end->consoles->ctx);
}

/* A guest without its console is of no use. */
static void console_failed(void *ctx, int error)
{
	struct end *end = ctx;

	vmm_error_set(end->consoles->error, "%s: cannot write: %s", end->what,
		      strerror(error));
	end->consoles->ops->failed(end->consoles->ctx);
}

static unsigned int serial_receive(void *ctx, const uint8_t *data,
				   unsigned int count)
{
	struct end *end = ctx;

	return board_serial_receive(end->consoles->board, data, count);
}

static const struct console_ops serial_ops = {
	.receive = serial_receive,
	.key = key,
	.failed = console_failed,
	.full = full,
};

static unsigned int port_receive(void *ctx, const uint8_t *data,
				 unsigned int count)
{
	struct end *end = ctx;

	return virtio_console_receive(end->consoles->device, end->index, data,
				      count);
}

static void port_room(void *ctx)
{
	struct end *end = ctx;

	virtio_console_room(end->consoles->device, end->index);
}

static void port_peer(void *ctx, bool there)
{
	struct end *end = ctx;

	virtio_console_set_open(end->consoles->device, end->index, there);
}

/* Without this port the guest can go on. */
static void port_failed(void *ctx, int error)
{
	struct end *end = ctx;

	host_log(HOST_LOG_WARN, "%s: cannot write: %s; the guest loses it",
		 end->what, strerror(error));
	virtio_console_remove(end->consoles->device, end->index);
}

static const struct console_ops first_port_ops = {
	.receive = port_receive,
	.key = key,
	.failed = console_failed,
	.full = full,
	.room = port_room,
	.peer = port_peer,
};

static const struct console_ops port_ops = {
	.receive = port_receive,
	.key = key,
	.failed = port_failed,
	.full = full,
	.room = port_room,
	.peer = port_peer,
};

/* --- opening and closing ----------------------------------------------------- */

static int open_end(struct consoles *c, struct end *end,
		    const struct console_config *outside)
{
	struct console_config config = *outside;

	end->consoles = c;
	if (end->name)
		snprintf(end->what, sizeof(end->what), "console %s",
			 end->name);
	else
		snprintf(end->what, sizeof(end->what), "serial console");
	config.what = end->what;
	config.waits = end->name && end->index;
	return console_open(&end->console, &config, c->error);
}

static int open_ports(struct consoles *c, const struct machine_port *port)
{
	for (unsigned int i = 0; i < c->ports; i++) {
		struct end *end = &c->port[i];

		end->index = i;
		end->name = port[i].name;
		if (open_end(c, end, &port[i].outside))
			return -1;
		c->device_port[i] = (struct virtio_console_port){
			.name = end->name,
			.stream = console_stream(end->console),
			.open = console_has_peer(end->console),
		};
	}
	c->device_config = (struct virtio_console_config){
		.port = c->device_port,
		.ports = c->ports,
	};
	return 0;
}

int consoles_open(struct consoles **out, const struct console_config *serial,
		  const struct machine_port *port, unsigned int ports,
		  struct vmm_error *error)
{
	struct consoles *c = calloc(1, sizeof(*c));

	*out = c;
	if (!c)
		return vmm_error_set(error, "out of memory");
	c->error = error;
	c->port = calloc(ports + 1, sizeof(*c->port));
	c->device_port = calloc(ports + 1, sizeof(*c->device_port));
	if (!c->port || !c->device_port)
		return vmm_error_set(error, "out of memory");
	c->ports = ports;
	if (open_end(c, &c->serial, serial))
		return -1;
	return open_ports(c, port);
}

void consoles_tell_last(const struct consoles *c)
{
	console_tell_last(c->serial.console);
}

void consoles_close(struct consoles *c)
{
	uint64_t deadline = host_monotonic_ns() + CLOSE_NS;

	if (!c)
		return;
	console_close(c->serial.console, deadline);
	for (unsigned int i = 0; i < c->ports; i++)
		console_close(c->port[i].console, deadline);
	free(c->device_port);
	free(c->port);
	free(c);
}

const struct uart_sink *consoles_serial(struct consoles *c)
{
	return console_sink(c->serial.console);
}

const struct virtio_console_config *consoles_ports(struct consoles *c)
{
	return c->ports ? &c->device_config : NULL;
}

/* --- running ------------------------------------------------------------------- */

int consoles_start(struct consoles *c, struct loop *loop, struct board *board,
		   const struct consoles_ops *ops, void *ctx)
{
	c->board = board;
	c->device = board_console(board);
	c->ops = ops;
	c->ctx = ctx;
	consoles_resized(c);
	/* A state that was loaded may know of somebody who is not here. */
	for (unsigned int i = 0; i < c->ports; i++)
		virtio_console_set_open(c->device, i,
					console_has_peer(c->port[i].console));
	for (unsigned int i = 0; i < c->ports; i++)
		if (console_start(c->port[i].console, loop,
				  i ? &port_ops : &first_port_ops, &c->port[i],
				  c->error))
			return -1;
	return console_start(c->serial.console, loop, &serial_ops, &c->serial,
			     c->error);
}

void consoles_woken(struct consoles *c)
{
	console_woken(c->serial.console);
	for (unsigned int i = 0; i < c->ports; i++)
		console_woken(c->port[i].console);
}

void consoles_resized(struct consoles *c)
{
	unsigned int cols, rows;

	if (c->ports && console_size(c->port[0].console, &cols, &rows))
		virtio_console_resize(c->device, cols, rows);
}

/* Only these two make processors wait. */
void consoles_wait_room(struct consoles *c)
{
	console_wait_room(c->serial.console);
	if (c->ports)
		console_wait_room(c->port[0].console);
}

void consoles_release(struct consoles *c)
{
	console_release(c->serial.console);
	if (c->ports)
		console_release(c->port[0].console);
}

void consoles_hold(struct consoles *c)
{
	console_hold(c->serial.console);
	if (c->ports)
		console_hold(c->port[0].console);
}

int consoles_leave(struct consoles *c, const char *path,
		   struct vmm_error *error)
{
	if (console_interactive(c->serial.console))
		return console_leave(c->serial.console, path, error);
	for (unsigned int i = 0; i < c->ports; i++)
		if (console_interactive(c->port[i].console))
			return console_leave(c->port[i].console, path, error);
	return vmm_error_set(error, "no console is on a terminal");
}

static bool greet(const struct end *end)
{
	const char *pty = console_pty_name(end->console);

	if (pty)
		fprintf(stderr, "lodge: %s on %s\n", end->what, pty);
	return console_interactive(end->console);
}

void consoles_greet(const struct consoles *c)
{
	bool interactive = greet(&c->serial);

	for (unsigned int i = 0; i < c->ports; i++)
		interactive |= greet(&c->port[i]);
	if (interactive)
		fprintf(stderr, "lodge: Ctrl-A x stops the machine, "
				"Ctrl-A h lists the keys\n");
}
