/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A debugger's session with a machine, by the GDB remote serial protocol:
 * each processor is a thread, and all stop and go together. The transport
 * is socket.h's.
 *
 * All on the event loop's thread, but for gdb_stopped().
 */
#ifndef LODGE_VMM_GDB_GDB_H
#define LODGE_VMM_GDB_GDB_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"
#include "vmm/pause.h"

struct gdb;

/* Where answers go, and how the session ends by itself. */
struct gdb_send {
	void (*bytes)(void *ctx, const char *data, size_t size);
	void (*close)(void *ctx);
	void *ctx;
};

/* NULL: no memory. */
struct gdb *gdb_create(const struct gdb_send *send);
void gdb_destroy(struct gdb *gdb);

/* What is debugged; before the first connection. */
void gdb_set_machine(struct gdb *gdb, struct vm *vm,
		     const struct engine *engine, struct pause *pause);

/* A debugger came: the machine stops. It left: the machine goes on. */
void gdb_connected(struct gdb *gdb);
void gdb_disconnected(struct gdb *gdb);

/* False while the machine is about to end or to start anew: what the debugger
 * asks for has to wait until then. */
bool gdb_may_receive(const struct gdb *gdb);

/* What it sent. */
void gdb_receive(struct gdb *gdb, const char *data, size_t size);

/* engine->run() of `cpu` ended with ENGINE_DEBUG. The processor's thread. */
void gdb_stopped(struct gdb *gdb, unsigned int cpu,
		 const struct engine_exit *exit);

/* The loop was woken: tells the debugger of a stop. */
void gdb_woken(struct gdb *gdb);

/* The machine ends, by a crash or with an exit status. */
void gdb_ended(struct gdb *gdb, bool crashed, int status);

#endif
