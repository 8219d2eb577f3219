/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of an event loop, any number of them. They fire on its thread.
 */
#ifndef LODGE_MANAGE_TIMER_H
#define LODGE_MANAGE_TIMER_H

#include <stdint.h>

struct loop;

struct timer {
	struct timer *next; /* by deadline; its own when it is not set */
	uint64_t deadline;  /* host_monotonic_ns(); 0: not set */
	void (*fire)(void *ctx);
	void *ctx;
};

struct timers {
	struct loop *loop;
	struct timer *first;
};

/* Takes the loop's deadline. */
void timers_init(struct timers *timers, struct loop *loop);

/* Fires once, `ms` from now; set anew, it fires then instead. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t ms);

/* Does not fire; also when it was not set. */
void timer_stop(struct timers *timers, struct timer *timer);

#endif
