/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the GDB stub share: one session's state. All of it
 * belongs to the event loop's thread, but for `stop`.
 */
#ifndef LODGE_VMM_GDB_IMPL_H
#define LODGE_VMM_GDB_IMPL_H

#include <pthread.h>

#include "vmm/gdb/gdb.h"
#include "vmm/gdb/packet.h"

#define GDB_SIGINT  2
#define GDB_SIGTRAP 5

/* Answers to errors; the numbers are Linux's for memory and arguments. */
#define GDB_BAD_MEMORY	 "E0e"
#define GDB_BAD_ARGUMENT "E16"

/* Why a processor stopped, told by its thread. */
struct gdb_stop {
	bool pending;
	enum engine_stop why;
	uint64_t address;
};

struct gdb {
	struct vm *vm;
	const struct engine *engine;
	struct pause *pause;
	struct gdb_send send;

	struct gdb_packet packet;
	struct gdb_answer answer;
	bool no_ack;
	bool connected;
	bool running;	/* a stop is to be told when it comes */
	bool tells_swbreak; /* the other side knows swbreak and hwbreak */
	bool physical;	/* addresses of m and M are guest-physical */
	bool detach;	/* close when the answer is sent */
	unsigned int cpu; /* of g, m, ... */
	unsigned int go;  /* of c and s; VM_CPUS_MAX: all */

	struct x86_debug debug;
	uint8_t break_type[X86_BREAKS_MAX]; /* '0' or '1' */
	uint8_t watch_type[X86_WATCHES_MAX]; /* '2' .. '4' */

	pthread_mutex_t lock; /* of what follows */
	struct gdb_stop stop[VM_CPUS_MAX];
};

static inline struct x86_cpu *gdb_cpu(const struct gdb *gdb)
{
	return gdb->vm->cpu[gdb->cpu];
}

/*
 * break.c: Z and z packets, at the type's digit. The answer: "OK", an
 * error or "" for what is not known.
 */
const char *gdb_set_point(struct gdb *gdb, const char *text, bool insert);

/* The type ('0' .. '4') of the point that a stop is for; 0: none. */
char gdb_type_of(const struct gdb *gdb, const struct gdb_stop *stop);

/* memory.c: m and M, behind their letter, into the answer. */
void gdb_read_memory(struct gdb *gdb, const char *text);
void gdb_write_memory(struct gdb *gdb, const char *text);

/* query.c: q, Q and T packets whole. */
void gdb_query(struct gdb *gdb, const char *text);

/* A thread's id is one more than its processor's. False: there is none. */
bool gdb_thread(const struct gdb *gdb, const char **text, unsigned int *cpu);

/* monitor.c: a command of the user, which ends with NUL. */
void gdb_monitor(struct gdb *gdb, const char *command);

/* Sends answer->data between gdb_begin() and gdb_end(). */
void gdb_send_answer(struct gdb *gdb);

#endif
