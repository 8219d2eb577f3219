/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile of a run: turns the engine's on, samples its threads, writes
 * what was found as text, or as JSON when the file's name ends in .json; and
 * the map by which perf(1) names rewritten code.
 */
#ifndef LODGE_VMM_PROFILE_PROFILE_H
#define LODGE_VMM_PROFILE_PROFILE_H

#include <stdbool.h>

#include "engine/engine.h"
#include "host/linux/sampler.h"
#include "vmm/error.h"
#include "vmm/outfile.h"
#include "vmm/profile/symbols.h"

/* Samples a second: not in step with guests' timers. */
#define PROFILE_HZ 997u

struct profile_config {
	const char *path;    /* NULL: no profile */
	const char *symbols; /* NULL: those of the kernel's file, if any */
	bool perf_map;
};

struct profile {
	const struct profile_config *config;
	const struct engine *engine; /* NULL: not wanted */
	struct vm *vm;
	struct symbols *symbols;
	struct outfile file;
};

/*
 * Reads the symbols. -1 with `error`: the engine has no profile, a file cannot
 * be read or written. Here and below there is nothing to do when no profile is
 * wanted.
 */
int profile_open(struct profile *profile, const struct profile_config *config,
		 const struct engine *engine, const char *kernel,
		 struct vmm_error *error);

/* Before the processors run. -1 with `error`. */
int profile_start(struct profile *profile, struct vm *vm,
		  struct vmm_error *error);

/* On a processor's thread, around its run. */
void profile_enter(const struct profile *profile, struct sampler *sampler,
		   struct x86_cpu *cpu);
void profile_leave(const struct profile *profile, struct sampler *sampler);

/* When the processors have stopped. -1 with `error`. */
int profile_write(struct profile *profile, struct vmm_error *error);

void profile_close(struct profile *profile);

/* perfmap.c: /tmp/perf-PID.map. -1 with `error`. */
int perfmap_write(const struct profile *profile, struct vmm_error *error);

/* text.c, json.c: what is written. NULL: no memory. */
struct profile_sum;
char *profile_text(const struct profile *profile,
		   const struct profile_sum *sum);
char *profile_json(const struct profile *profile,
		   const struct profile_sum *sum);

#endif
