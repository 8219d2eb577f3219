/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a disk that do what has to wait. They start when first
 * needed, up to POOL_THREADS. Nobody is woken while somebody is on the way:
 * who comes and finds more than one request calls the next thread. One of
 * those that have nothing to do looks for a while before it sleeps
 * (host/linux/eager.h), so a guest that does one thing at a time does not
 * wait for a thread to wake up.
 */
#ifndef LODGE_DISK_POOL_H
#define LODGE_DISK_POOL_H

#include <pthread.h>
#include <stdbool.h>

#include "host/linux/thread.h"
#include "vm/block.h"

#define POOL_THREADS 8

/* Requests in the order of arrival. */
struct request_queue {
	struct block_request *first, **last;
};

struct disk_pool {
	void (*perform)(void *ctx, struct block_request *request);
	void *ctx;
	_Atomic uint32_t waiting; /* requests in `ready` */

	pthread_mutex_t mutex; /* guards the rest */
	pthread_cond_t more;
	struct request_queue ready;
	unsigned int started, asleep;
	bool called;  /* one has been woken, or is starting */
	bool looking; /* one looks for requests */
	bool end;
	struct thread thread[POOL_THREADS];
};

void request_queue_init(struct request_queue *queue);
void request_queue_put(struct request_queue *queue, struct block_request *r);

/* NULL: it is empty. */
struct block_request *request_queue_take(struct request_queue *queue);

/* `perform` does a request to its end, with no lock held. */
void disk_pool_init(struct disk_pool *pool,
		    void (*perform)(void *ctx, struct block_request *request),
		    void *ctx);

/* False: there is no thread for it, and none can be had. */
bool disk_pool_put(struct disk_pool *pool, struct block_request *request);

/* Does what there still is, and ends the threads. */
void disk_pool_end(struct disk_pool *pool);

#endif
