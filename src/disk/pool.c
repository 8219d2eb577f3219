/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a disk; see pool.h.
 */
#include "disk/pool.h"

#include <stdatomic.h>

#include "host/linux/eager.h"

void request_queue_init(struct request_queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
}

void request_queue_put(struct request_queue *queue, struct block_request *r)
{
	r->next = NULL;
	*queue->last = r;
	queue->last = &r->next;
}

struct block_request *request_queue_take(struct request_queue *queue)
{
	struct block_request *r = queue->first;

	if (r) {
		queue->first = r->next;
		if (!queue->first)
			queue->last = &queue->first;
	}
	return r;
}

static void serve(void *ctx);

/* Held: the mutex. Makes somebody come; false: there is nobody. */
static bool call(struct disk_pool *pool)
{
	if (pool->looking || pool->called)
		return true;
	if (pool->asleep) {
		pool->called = true;
		pthread_cond_signal(&pool->more);
		return true;
	}
	if (pool->started < POOL_THREADS &&
	    !thread_start(&pool->thread[pool->started], "disk", serve, pool)) {
		pool->started++;
		pool->called = true;
	}
	return pool->started; /* who is busy comes later */
}

/* Held: the mutex, which is let go meanwhile. */
static void sleep_or_look(struct disk_pool *pool, bool eager)
{
	if (eager && !pool->looking) {
		pool->looking = true;
		pthread_mutex_unlock(&pool->mutex);
		eager = eager_look(&pool->waiting);
		pthread_mutex_lock(&pool->mutex);
		pool->looking = false;
		if (eager)
			return;
	}
	if (pool->ready.first || pool->end)
		return;
	pool->asleep++;
	pthread_cond_wait(&pool->more, &pool->mutex);
	pool->asleep--;
	pool->called = false;
}

static void serve(void *ctx)
{
	struct disk_pool *pool = ctx;
	uint64_t since = 0; /* when there was nothing to do */
	bool eager = false;

	pthread_mutex_lock(&pool->mutex);
	pool->called = false;
	for (;;) {
		struct block_request *r = request_queue_take(&pool->ready);

		if (!r && pool->end)
			break;
		if (!r) {
			if (!since)
				since = eager_now();
			sleep_or_look(pool, eager);
			continue;
		}
		atomic_fetch_sub(&pool->waiting, 1);
		if (pool->ready.first)
			call(pool);
		pthread_mutex_unlock(&pool->mutex);
		if (since)
			eager = eager_next(eager, eager_now() - since,
					   0);
		since = 0;
		pool->perform(pool->ctx, r);
		pthread_mutex_lock(&pool->mutex);
	}
	pthread_mutex_unlock(&pool->mutex);
}

void disk_pool_init(struct disk_pool *pool,
		    void (*perform)(void *ctx, struct block_request *request),
		    void *ctx)
{
	pool->perform = perform;
	pool->ctx = ctx;
	request_queue_init(&pool->ready);
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->more, NULL);
}

bool disk_pool_put(struct disk_pool *pool, struct block_request *request)
{
	bool taken;

	pthread_mutex_lock(&pool->mutex);
	taken = call(pool);
	if (taken) {
		request_queue_put(&pool->ready, request);
		atomic_fetch_add(&pool->waiting, 1);
	}
	pthread_mutex_unlock(&pool->mutex);
	return taken;
}

static unsigned int count_started(struct disk_pool *pool)
{
	unsigned int started;

	pthread_mutex_lock(&pool->mutex);
	started = pool->started;
	pthread_mutex_unlock(&pool->mutex);
	return started;
}

void disk_pool_end(struct disk_pool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	pool->end = true;
	pthread_cond_broadcast(&pool->more);
	pthread_mutex_unlock(&pool->mutex);
	/* One that ends has started the next where there was need of it. */
	for (unsigned int i = 0; i < count_started(pool); i++)
		thread_join(&pool->thread[i]);
	pthread_cond_destroy(&pool->more);
	pthread_mutex_destroy(&pool->mutex);
}
