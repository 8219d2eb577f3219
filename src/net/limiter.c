/* SPDX-License-Identifier: Apache-2.0 */
#include "net/limiter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "host/linux/thread.h"
#include "vm/host.h"

#define NS_PER_MS 1000000ull

struct limiter {
	void (*again)(void *ctx, enum net_way way);
	void *ctx;
	_Atomic bool on, ending;
	struct host_event event;
	struct thread thread; /* there when on, and started */
	bool started;

	pthread_mutex_t lock;
	struct net_limits limits;
	struct net_meter meter[NET_WAYS];
	uint64_t due[NET_WAYS]; /* UINT64_MAX: nobody waits */
};

struct limiter *limiter_create(void (*again)(void *ctx, enum net_way way),
			       void *ctx)
{
	struct limiter *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->again = again;
	l->ctx = ctx;
	for (unsigned int i = 0; i < NET_WAYS; i++)
		l->due[i] = UINT64_MAX;
	return l;
}

void limiter_destroy(struct limiter *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* --- frames ------------------------------------------------------------------ */

static uint32_t frames_of(const struct nic_frame *frame)
{
	if (!frame->cut)
		return 1;
	return (frame->size - frame->header + frame->segment - 1) /
	       frame->segment;
}

bool limiter_take(struct limiter *l, enum net_way way,
		  const struct nic_frame *frame)
{
	uint64_t now, wait;

	if (!atomic_load_explicit(&l->on, memory_order_relaxed))
		return true;
	now = host_monotonic_ns();
	pthread_mutex_lock(&l->lock);
	wait = net_meter_take(&l->meter[way], frames_of(frame), frame->size,
			      now);
	if (wait)
		l->due[way] = now + wait;
	pthread_mutex_unlock(&l->lock);
	if (wait)
		host_event_set(&l->event);
	return !wait;
}

uint64_t limiter_pass(struct limiter *l)
{
	uint64_t now = host_monotonic_ns(), next = UINT64_MAX;
	bool over[NET_WAYS];

	pthread_mutex_lock(&l->lock);
	for (unsigned int i = 0; i < NET_WAYS; i++) {
		over[i] = l->due[i] <= now;
		if (over[i])
			l->due[i] = UINT64_MAX;
		if (l->due[i] < next)
			next = l->due[i];
	}
	pthread_mutex_unlock(&l->lock);
	for (unsigned int i = 0; i < NET_WAYS; i++)
		if (over[i])
			l->again(l->ctx, (enum net_way)i);
	return next;
}

static void run(void *ctx)
{
	struct limiter *l = ctx;

	while (!atomic_load(&l->ending))
		host_event_wait(&l->event, limiter_pass(l));
}

/* --- limits -------------------------------------------------------------------- */

/* Held: the lock. The thread, once there is something for it to do. */
static int begin(struct limiter *l)
{
	int rc;

	if (!l->started || l->thread.started || !atomic_load(&l->on))
		return 0;
	rc = thread_start(&l->thread, "net-limit", run, l);
	if (rc)
		atomic_store(&l->on, false);
	return rc;
}

int limiter_start(struct limiter *l)
{
	int rc;

	pthread_mutex_lock(&l->lock);
	l->started = true;
	rc = begin(l);
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void limiter_stop(struct limiter *l)
{
	atomic_store(&l->ending, true);
	host_event_set(&l->event);
	thread_join(&l->thread);
	atomic_store(&l->ending, false);
	l->started = false;
}

static bool any(const struct net_limits *limits)
{
	bool is = false;

	for (unsigned int i = 0; i < NET_WAYS; i++)
		is |= limits->rate[i].pps || limits->rate[i].bps;
	return is;
}

int limiter_set(struct limiter *l, const struct net_limits *limits)
{
	const uint64_t now = host_monotonic_ns();
	int rc;

	pthread_mutex_lock(&l->lock);
	l->limits = *limits;
	if (!l->limits.burst_ms)
		l->limits.burst_ms = LIMITER_BURST_MS;
	for (unsigned int i = 0; i < NET_WAYS; i++) {
		net_meter_set(&l->meter[i], &l->limits.rate[i],
			      l->limits.burst_ms * NS_PER_MS, now);
		/* Who waits tries at once. */
		if (l->due[i] != UINT64_MAX)
			l->due[i] = now;
	}
	atomic_store(&l->on, any(limits));
	rc = begin(l);
	pthread_mutex_unlock(&l->lock);
	host_event_set(&l->event);
	return rc;
}

void limiter_get(struct limiter *l, struct net_limits *limits)
{
	pthread_mutex_lock(&l->lock);
	*limits = l->limits;
	if (!limits->burst_ms)
		limits->burst_ms = LIMITER_BURST_MS;
	pthread_mutex_unlock(&l->lock);
}
