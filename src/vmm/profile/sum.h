/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profiles of all processors added up, and sorted for reading.
 */
#ifndef LODGE_VMM_PROFILE_SUM_H
#define LODGE_VMM_PROFILE_SUM_H

#include "vmm/profile/profile.h"

/* A piece of guest code: a function where there are symbols, else a block. */
struct profile_spot {
	const char *name; /* NULL: none is known */
	uint64_t linear;
	uint64_t offset; /* from the name */
	uint64_t hits, in_code;
};

struct profile_sum {
	uint64_t count[PROFILE_COUNTS];
	uint64_t samples;
	double seconds[PROFILE_WORKS]; /* of all processors */
	double all_seconds;
	/* Most hits first. */
	struct profile_spot *block, *function;
	size_t blocks, functions;
	struct profile_insn *insn; /* most often interpreted first */
	size_t insns;
	uint64_t reason[PROFILE_REASONS];
};

/* Words for what is counted, shared by text and JSON. */
extern const char *const profile_work_name[PROFILE_WORKS];
extern const char *const profile_count_name[PROFILE_COUNTS];
extern const char *const profile_reason_name[PROFILE_REASONS];

/* -1: no memory. */
int profile_sum_up(const struct profile *profile, struct profile_sum *sum);
void profile_sum_free(struct profile_sum *sum);

/* Times that the interpreter executed the instruction for rewritten code. */
uint64_t profile_insn_times(const struct profile_insn *insn);

#endif
