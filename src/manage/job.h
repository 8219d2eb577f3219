/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: verbs that take a while. A job is under way, done or failed; the last
 * JOBS_KEPT of them can be asked for. They end with lodged; what becomes of
 * the machine does not.
 */
#ifndef LODGE_MANAGE_JOB_H
#define LODGE_MANAGE_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "manage/registry/registry.h"
#include "manage/vm/lifecycle.h"

#define JOBS_KEPT 512

enum job_state {
	JOB_NONE,
	JOB_ACTIVE,
	JOB_DONE,
	JOB_FAILED,
};

struct job {
	uint64_t id; /* 0: a free place */
	enum job_state state;
	enum vm_verb verb;
	char vm[REGISTRY_ID_MAX + 1], name[REGISTRY_NAME_MAX + 1];
	struct problem problem; /* of one that failed */
	/* Of work on an image, not on a machine: */
	char kind[16];	      /* "pull"; "": of a machine */
	char step[24];	      /* what it does now; "" */
	uint64_t done, total; /* of that; total 0: not known */
	/* NULL: it cannot be. -1 with `problem`: it goes on. */
	int (*cancel)(void *ctx, struct problem *problem);
	void *cancel_ctx;
	/* Finds out how much is `done`; NULL: it is told. */
	uint64_t (*look)(void *ctx);
	void *look_ctx;
};

struct jobs {
	uint64_t last;
	struct job job[JOBS_KEPT];
	/* Told when one has ended; may be NULL. */
	void (*on_end)(void *ctx, const struct job *job);
	void *on_end_ctx;
};

/* A new one; NULL with `problem` when all places have one under way. */
struct job *job_begin(struct jobs *jobs, enum vm_verb verb, const char *vm,
		      const char *name, struct problem *problem);

/* `problem` NULL: it is done. */
void job_end(struct jobs *jobs, struct job *job,
	     const struct problem *problem);

/* Ends those of a machine that are under way, with one of these verbs. */
void job_end_all(struct jobs *jobs, const char *vm, unsigned int verbs,
		 const struct problem *problem);

struct job *job_find(struct jobs *jobs, uint64_t id);
json_t *job_json(const struct job *job);

#endif
