/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What running machines use, as lodge top tells it. Processor time, memory and
 * disk traffic are those of a machine's process and its helpers; network
 * traffic is what its cards count. Here that is read from the processes and
 * their control sockets, of another computer its lodged tells it.
 */
#ifndef LODGE_CLI_MACHINE_TOP_USE_H
#define LODGE_CLI_MACHINE_TOP_USE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/error.h"
#include "vmm/runtime.h"

/* In the order of their columns. */
enum figure { CPU, MEMORY, READ, WRITTEN, RECEIVED, SENT, FIGURES };

struct use {
	char name[RUNTIME_NAME_MAX + 1];
	char state[16];
	long long pid, cpus, memory;
	double seconds;
	uint64_t at;		 /* host_monotonic_ns() */
	uint64_t count[FIGURES]; /* ns and bytes; MEMORY: bytes now */
	double rate[FIGURES];	 /* a second; CPU: processors */
};

struct uses {
	struct use *use;
	size_t count;
};

/*
 * Looks anew: rates are since the look before, which `uses` had, and of a
 * machine that is new since its beginning. 0, or -1 with `error`.
 */
int uses_look(struct uses *uses, struct vmm_error *error);

void uses_free(struct uses *uses);

#endif
