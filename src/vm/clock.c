/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VM time and timers. Armed timers are a list sorted by deadline: a machine
 * has a handful and one more for each vCPU.
 *
 * clock_now() takes no lock: `running` is written last with release order,
 * and offset and stopped_at only change while the other of the two counts.
 */
#include "vm/clock.h"

#include "vm/bytes.h"

/* Timers fired by one clock_run() at most: the event loop has other work. */
#define FIRE_MAX 256

void clock_init(struct clock *clock, struct host_lock *device_lock)
{
	memset(clock, 0, sizeof(*clock));
	clock->device_lock = device_lock;
}

uint64_t clock_now(struct clock *clock)
{
	if (!atomic_load_explicit(&clock->running, memory_order_acquire))
		return clock->stopped_at;
	return host_monotonic_ns() + (uint64_t)clock->offset;
}

/* Host time of the first deadline. Held: clock.lock. */
static uint64_t host_deadline(const struct clock *clock)
{
	uint64_t deadline, host;
	int64_t offset = clock->offset;

	if (!clock->running || !clock->first)
		return TIMER_NEVER;
	deadline = clock->first->deadline;
	host = deadline - (uint64_t)offset;
	if (offset > 0 && deadline < (uint64_t)offset)
		return 0; /* before the host's clock began */
	if (offset < 0 && host < deadline)
		return TIMER_NEVER - 1; /* centuries away */
	return host;
}

/* Held: clock.lock. */
static uint64_t tell_deadline(struct clock *clock)
{
	uint64_t deadline = host_deadline(clock);

	if (clock->rearm)
		clock->rearm(clock->rearm_ctx, deadline);
	return deadline;
}

void clock_start(struct clock *clock)
{
	host_lock(&clock->lock);
	if (!clock->running) {
		clock->offset =
			(int64_t)(clock->stopped_at - host_monotonic_ns());
		atomic_store_explicit(&clock->running, true,
				      memory_order_release);
		tell_deadline(clock);
	}
	host_unlock(&clock->lock);
}

void clock_stop(struct clock *clock)
{
	host_lock(&clock->lock);
	if (clock->running) {
		clock->stopped_at =
			host_monotonic_ns() + (uint64_t)clock->offset;
		atomic_store_explicit(&clock->running, false,
				      memory_order_release);
		tell_deadline(clock);
	}
	host_unlock(&clock->lock);
}

void clock_set(struct clock *clock, uint64_t now)
{
	host_lock(&clock->lock);
	bug_on(clock->running);
	clock->stopped_at = now;
	host_unlock(&clock->lock);
}

void timer_init(struct timer *timer, void (*fire)(void *ctx), void *ctx)
{
	*timer = (struct timer){
		.deadline = TIMER_NEVER,
		.fire = fire,
		.ctx = ctx,
	};
}

/* Takes an armed timer off the list. Held: clock.lock. */
static void unlink_timer(struct clock *clock, struct timer *timer)
{
	struct timer **at = &clock->first;

	while (*at && *at != timer)
		at = &(*at)->next;
	bug_on(!*at);
	*at = timer->next;
	timer->next = NULL;
	timer->armed = false;
	timer->deadline = TIMER_NEVER;
}

/* Held: clock.lock. Timers of one deadline fire in the order armed. */
static void link_timer(struct clock *clock, struct timer *timer,
		       uint64_t deadline)
{
	struct timer **at = &clock->first;

	while (*at && (*at)->deadline <= deadline)
		at = &(*at)->next;
	timer->deadline = deadline;
	timer->armed = true;
	timer->next = *at;
	*at = timer;
}

void timer_arm(struct clock *clock, struct timer *timer, uint64_t deadline)
{
	uint64_t before;

	host_lock(&clock->lock);
	before = host_deadline(clock);
	if (timer->armed)
		unlink_timer(clock, timer);
	if (deadline != TIMER_NEVER)
		link_timer(clock, timer, deadline);
	if (host_deadline(clock) != before)
		tell_deadline(clock);
	host_unlock(&clock->lock);
}

void timer_cancel(struct clock *clock, struct timer *timer)
{
	timer_arm(clock, timer, TIMER_NEVER);
}

/* Held: clock.lock. */
static bool first_is_due(struct clock *clock)
{
	return clock->running && clock->first &&
	       clock->first->deadline <= clock_now(clock);
}

/*
 * Fires the first timer if it is due. The device lock is taken before the
 * timer leaves the list: a device that cancels its timer under that lock
 * never sees it fire afterwards.
 */
static void fire_first(struct clock *clock)
{
	struct timer *timer = NULL;

	host_lock(clock->device_lock);
	host_lock(&clock->lock);
	if (first_is_due(clock)) {
		timer = clock->first;
		unlink_timer(clock, timer);
	}
	host_unlock(&clock->lock);
	if (timer)
		timer->fire(timer->ctx);
	host_unlock(clock->device_lock);
}

uint64_t clock_run(struct clock *clock)
{
	unsigned int fired = 0;
	uint64_t deadline;

	host_lock(&clock->lock);
	while (fired++ < FIRE_MAX && first_is_due(clock)) {
		host_unlock(&clock->lock);
		fire_first(clock);
		host_lock(&clock->lock);
	}
	deadline = tell_deadline(clock);
	host_unlock(&clock->lock);
	return deadline;
}
