/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM's clock and its timers. Nanoseconds that pass only while the VM
 * runs; every chip's time derives from it, so that a paused or restored
 * guest sees none pass.
 *
 * Timers fire under the VM's device lock, on the thread that calls
 * clock_run() (the event loop), never from timer_arm().
 */
#ifndef LODGE_VM_CLOCK_H
#define LODGE_VM_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm/host.h"

#define TIMER_NEVER UINT64_MAX

struct timer {
	uint64_t deadline; /* VM nanoseconds; TIMER_NEVER when idle */
	void (*fire)(void *ctx);
	void *ctx;
	struct timer *next; /* clock.first list, sorted by deadline */
	bool armed;
};

struct clock {
	/* VM time = host_monotonic_ns() + offset while running */
	_Atomic int64_t offset;
	_Atomic uint64_t stopped_at; /* VM time while stopped */
	_Atomic bool running;
	struct timer *first;
	struct host_lock lock; /* list and deadlines; innermost lock */
	struct host_lock *device_lock; /* held around fire() */

	/*
	 * Told when the earliest deadline changes to `host_deadline_ns` (of
	 * host_monotonic_ns(), or TIMER_NEVER). Any thread, clock.lock
	 * held: it must not call the clock. May be NULL.
	 */
	void (*rearm)(void *ctx, uint64_t host_deadline_ns);
	void *rearm_ctx;
};

void clock_init(struct clock *clock, struct host_lock *device_lock);
uint64_t clock_now(struct clock *clock);
void clock_start(struct clock *clock);
void clock_stop(struct clock *clock);

/* Sets VM time while stopped (restore). */
void clock_set(struct clock *clock, uint64_t now);

void timer_init(struct timer *timer, void (*fire)(void *ctx), void *ctx);

/* (Re-)arms for VM time `deadline`; a deadline in the past fires soon. */
void timer_arm(struct clock *clock, struct timer *timer, uint64_t deadline);
void timer_cancel(struct clock *clock, struct timer *timer);

/*
 * Fires the timers that are due, taking the device lock around each. Returns
 * the host_monotonic_ns() time of the next deadline, or TIMER_NEVER, and
 * tells it to rearm() as well. A guest that arms timers for the past over and
 * over cannot keep it here: after some hundred it returns with a deadline
 * that has already passed.
 */
uint64_t clock_run(struct clock *clock);

#endif
