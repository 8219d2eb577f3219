/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/timer.h"

#include <stddef.h>

#include "host/linux/loop.h"
#include "vm/host.h"

#define NS_PER_MS 1000000u

static void rearm(struct timers *timers)
{
	loop_set_deadline(timers->loop, timers->first ?
						timers->first->deadline :
						UINT64_MAX);
}

static void passed(void *ctx)
{
	struct timers *timers = ctx;
	uint64_t now = host_monotonic_ns();

	while (timers->first && timers->first->deadline <= now) {
		struct timer *timer = timers->first;

		timers->first = timer->next;
		timer->deadline = 0;
		timer->fire(timer->ctx);
	}
	rearm(timers);
}

void timers_init(struct timers *timers, struct loop *loop)
{
	*timers = (struct timers){ .loop = loop };
	loop_on_deadline(loop, passed, timers);
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t ms)
{
	struct timer **at = &timers->first;

	timer_stop(timers, timer);
	timer->deadline = host_monotonic_ns() + ms * NS_PER_MS;
	while (*at && (*at)->deadline <= timer->deadline)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
	rearm(timers);
}

void timer_stop(struct timers *timers, struct timer *timer)
{
	struct timer **at = &timers->first;

	if (!timer->deadline)
		return;
	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = timer->next;
	timer->deadline = 0;
	rearm(timers);
}
