/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a machine may have: whether there is room for one more
 * (admission), and the control group of each run.
 */
#ifndef LODGE_MANAGE_LIMITS_LIMITER_H
#define LODGE_MANAGE_LIMITS_LIMITER_H

#include "manage/api/problem.h"
#include "manage/limits/cgroup.h"

struct ending;
struct limiter;
struct manager;
struct vm;

/* Reads lodged's settings. NULL with `problem`. */
struct limiter *limiter_open(struct manager *manager, struct problem *problem);

/* Groups of machines that run stay. */
void limiter_close(struct limiter *limiter);

/* Groups of runs that are over go, now or when their processes are gone. */
void limiter_sweep(struct limiter *limiter);

/*
 * Whether the machine may run beside those that do. 0, or -1 with `problem`,
 * which says what is given away and how it is to be had.
 */
int limiter_admit(struct limiter *limiter, const struct vm *vm,
		 struct problem *problem);

/*
 * The group of the machine's new run; its process is to enter it
 * (cgroup_enter()), then it is closed. 0, or -1 with `problem`: the host
 * cannot keep a limit that was asked for.
 */
int limiter_begin(struct limiter *limiter, const struct vm *vm,
		 struct cgroup *group, struct problem *problem);

/*
 * A running machine's configuration has changed: its limits are new at once,
 * but less memory than it may have now. As limiter_begin().
 */
int limiter_change(struct limiter *limiter, const struct vm *vm,
		  struct problem *problem);

/* Its run has ended: why, if by a limit; and its group goes. */
void limiter_end(struct limiter *limiter, const struct vm *vm,
		struct ending *ending);

/* What its group has used. False: it has none. */
bool limiter_usage(const struct limiter *limiter, const struct vm *vm,
		  struct cgroup_usage *usage);

#endif
