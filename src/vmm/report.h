/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a run: one JSON object in a file.
 */
#ifndef LODGE_VMM_REPORT_H
#define LODGE_VMM_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "vmm/error.h"
#include "vmm/outfile.h"

struct report {
	const char *engine;
	const char *engine_reason;
	const char *exit_reason;
	double seconds_to_first_instruction; /* negative: there was none */
	double seconds; /* both from the start of the process */
	struct engine_stats exits; /* of all processors */
	uint64_t guest_memory_touched;
};

/* -1 with `error`. */
int report_write(const struct report *report, struct outfile *file,
		 struct vmm_error *error);

/*
 * The most bytes of `ram` that were in use, with the parts of it that files
 * are mapped over.
 */
uint64_t report_touched(const struct host_ram *ram);

/* Adds one processor's counters to `sum`. */
void report_add_stats(struct engine_stats *sum,
		      const struct engine_stats *stats);

#endif
