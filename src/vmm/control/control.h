/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a machine: a server on its event loop that answers
 * requests in lines of JSON. docs/control.md is the protocol.
 *
 * Clients may be wrong or hostile within what their user may do: a line, the
 * number of clients and what waits to be sent are bounded, and a client that
 * does not read is not read from. Requests run on the loop's thread; no
 * processor waits for a client.
 */
#ifndef LODGE_VMM_CONTROL_CONTROL_H
#define LODGE_VMM_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "host/linux/loop.h"
#include "vmm/error.h"

#define CONTROL_VERSION	    1
#define CONTROL_LINE_MAX    16384 /* bytes of a request */
#define CONTROL_CLIENTS_MAX 128

struct board;
struct control;
struct disks;
struct drives;
struct guest_agent;
struct hotplug;
struct nets;
struct shares;
struct pause;
struct stall;
struct vsock_unix;

/* What requests are about; kept by the server. */
struct control_target {
	struct board *board;
	struct hotplug *hotplug;
	struct drives *drives;
	const struct stall *stall;
	struct pause *pause;
	struct disks *disks;
	const struct nets *nets;
	const struct shares *shares;
	struct vsock_unix *vsock; /* NULL: none */
	struct guest_agent *agent;
	const char *engine;
	const char *account; /* in the guest; NULL: unknown */
	uint64_t memory; /* bytes */
	const char *identity; /* NULL: none */
	uint64_t start;	 /* host_monotonic_ns() time */
};

/*
 * Takes a name; `any`: or one like it that is free. Clients wait until
 * control_start(). -1 with `error`.
 */
int control_open(struct control **control, const char *name, bool any,
		 struct vmm_error *error);

/* The name that it took. */
/* The socket that it listens at. */
int control_socket(const struct control *control);

const char *control_name(const struct control *control);

/* Serves on `loop`. 0 or a negative errno. */
int control_start(struct control *control, struct loop *loop,
		  const struct control_target *target);

/* To be called on the loop's wake; NULL is fine. */
void control_woken(struct control *control);

/* Ends all clients; the name is free again. NULL is fine. */
void control_close(struct control *control);

#endif
