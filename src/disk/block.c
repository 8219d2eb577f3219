/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as disks of a VM; see block.h.
 *
 * Order of locks: a node's ranges before the block's mutex; neither is held
 * while a request is done or its done() runs.
 */
#include "disk/block.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "disk/copy_on_read.h"
#include "disk/driver.h"
#include "disk/pool.h"
#include "host/linux/thread.h"
#include "vm/host.h"

#define HOPS	  4 /* nodes above a leaf on the short way */
#define SECTOR	  512u
#define NS_PER_S  1000000000ull
#define RETRY_NS  NS_PER_S
#define NEVER	  UINT64_MAX

/* Reasons to keep back what is submitted. */
#define GATE_DRAINED 0x1u
#define GATE_LIMITED 0x2u

#define OPS (BLOCK_ZERO + 1)

/* A request on the short way, and the ranges that it is in. */
struct task {
	struct disk_io io;
	struct disk_block *block;
	struct block_request *request;
	unsigned int hops;
	struct hop {
		struct disk_ranges *ranges;
		struct disk_range range;
	} hop[HOPS];
	struct task *next;
};

struct disk_block {
	struct block block;
	struct disk_node *node;
	enum disk_cache cache;
	_Atomic unsigned int gate;
	_Atomic uint64_t requests[OPS], bytes[OPS]; /* that were submitted */
	_Atomic unsigned int busy; /* requests that are neither kept nor over */
	_Atomic bool awaited;	   /* somebody waits for `busy` to be 0 */
	void (*changed)(void *ctx);
	void *changed_ctx;

	struct disk_pool pool;

	pthread_mutex_t mutex; /* guards the rest */
	pthread_cond_t rest;
	bool end;
	struct task *spare;

	pthread_cond_t tick; /* what the keeper waits for */
	struct thread keeper;
	bool keeping, hurry;
	struct request_queue kept;   /* by the gate */
	struct request_queue parked; /* waiting for room */
	bool full;
	uint64_t retry_at;
	struct disk_meter meter;
};

static struct disk_block *block_of(struct block *block)
{
	return (struct disk_block *)block;
}

/* --- the end of a request --------------------------------------------------- */

static void enter(struct disk_block *b)
{
	atomic_fetch_add(&b->busy, 1);
}

/* The block may be gone afterwards, unless something else keeps it. */
static void leave(struct disk_block *b)
{
	if (atomic_fetch_sub(&b->busy, 1) != 1 || !atomic_load(&b->awaited))
		return;
	pthread_mutex_lock(&b->mutex);
	pthread_cond_broadcast(&b->rest);
	pthread_mutex_unlock(&b->mutex);
}

static void wait_for_rest(struct disk_block *b)
{
	pthread_mutex_lock(&b->mutex);
	atomic_store(&b->awaited, true);
	while (atomic_load(&b->busy))
		pthread_cond_wait(&b->rest, &b->mutex);
	atomic_store(&b->awaited, false);
	pthread_mutex_unlock(&b->mutex);
}

static bool means_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

static int start_keeper(struct disk_block *b);

/* Puts a request by that the host had no room for; false: it is to fail. */
static bool park(struct disk_block *b, struct block_request *r)
{
	bool parked, first;

	pthread_mutex_lock(&b->mutex);
	first = !b->full;
	parked = !b->hurry && !start_keeper(b);
	if (parked) {
		request_queue_put(&b->parked, r);
		b->full = true;
		if (first)
			b->retry_at = host_monotonic_ns() + RETRY_NS;
		pthread_cond_signal(&b->tick);
	}
	pthread_mutex_unlock(&b->mutex);
	if (parked && first && b->changed)
		b->changed(b->changed_ctx);
	return parked;
}

/* True: it is over. False: it was put by. */
static bool settle(struct disk_block *b, struct block_request *r, int error)
{
	if (means_full(error) && park(b, r))
		return false;
	r->error = error;
	return true;
}

static void finish(struct disk_block *b, struct block_request *r, int error)
{
	if (settle(b, r, error))
		r->done(r);
	leave(b);
}

/* --- the long way ----------------------------------------------------------- */

/* Does a request to its end, waiting where needed. */
static int perform(struct disk_block *b, struct block_request *r)
{
	const struct disk_vec vec = { r->span, r->spans, 0 };
	struct disk_node *node = b->node;
	int error = -EIO;

	switch (r->op) {
	case BLOCK_READ:
		return disk_read(node, r->offset, r->length, vec);
	case BLOCK_FLUSH:
		return disk_flush(node);
	case BLOCK_WRITE:
		error = disk_write(node, r->offset, r->length, vec);
		break;
	case BLOCK_DISCARD:
		error = disk_discard(node, r->offset, r->length);
		break;
	case BLOCK_ZERO:
		error = disk_zero(node, r->offset, r->length,
				  r->may_unmap ? DISK_UNMAP : 0);
		break;
	}
	if (!error && b->cache == DISK_CACHE_WRITETHROUGH)
		error = disk_flush(node);
	return error;
}

static void serve(void *ctx, struct block_request *r)
{
	finish(ctx, r, perform(ctx, r));
}

/* --- the short way ---------------------------------------------------------- */

enum way { OVER, UNDER_WAY, LONG_WAY };

static struct task *take_task(struct disk_block *b)
{
	struct task *task;

	pthread_mutex_lock(&b->mutex);
	task = b->spare;
	if (task)
		b->spare = task->next;
	pthread_mutex_unlock(&b->mutex);
	if (!task)
		task = malloc(sizeof(*task));
	if (task)
		task->block = b;
	return task;
}

static void give_task(struct task *task)
{
	struct disk_block *b = task->block;

	while (task->hops) {
		struct hop *hop = &task->hop[--task->hops];

		disk_range_leave(hop->ranges, &hop->range);
	}
	pthread_mutex_lock(&b->mutex);
	task->next = b->spare;
	b->spare = task;
	pthread_mutex_unlock(&b->mutex);
}

/* A leaf has ended a transfer that it began. */
static void io_done(struct disk_io *io)
{
	struct task *task = (struct task *)io;
	struct disk_block *b = task->block;
	struct block_request *r = task->request;
	int error = io->error;

	give_task(task);
	if (error != -EAGAIN)
		finish(b, r, error);
	else if (!disk_pool_put(&b->pool, r))
		finish(b, r, -EIO);
}

static enum way clear(const struct task *task)
{
	const struct block_request *r = task->request;

	disk_vec_clear(task->io.vec, r->length);
	return OVER;
}

/* Enters the node's range there and looks where the bytes lie. */
static bool look(struct task *task, struct disk_node *node, uint64_t offset,
		 struct disk_extent *extent)
{
	uint64_t length = task->io.length, size = node->size;
	struct hop *hop = &task->hop[task->hops];

	if (task->hops == HOPS || offset > size || length > size - offset ||
	    !disk_range_try(&node->ranges, &hop->range, offset, length, false))
		return false;
	hop->ranges = &node->ranges;
	task->hops++;
	return !node->driver->map(node, offset, length, DISK_NOWAIT, extent) &&
	       extent->length >= length;
}

/* Follows extents down to a leaf, which is told to begin. */
static enum way descend(struct task *task)
{
	struct disk_node *node = task->block->node;
	const bool write = task->io.write;
	uint64_t offset = task->io.offset;
	struct disk_extent extent;

	while (!node->driver->leaf) {
		if (!look(task, node, offset, &extent))
			return LONG_WAY;
		if (extent.kind == DISK_PACKED ||
		    (write && !(extent.kind == DISK_DATA && extent.in_place)))
			return LONG_WAY;
		if (extent.kind == DISK_ZERO)
			return clear(task);
		node = extent.kind == DISK_HOLE ? node->backing : extent.in;
		if (!node)
			return clear(task);
		if (extent.kind == DISK_DATA)
			offset = extent.at;
	}
	if (!node->driver->submit || offset > node->size ||
	    task->io.length > node->size - offset)
		return LONG_WAY;
	task->io.offset = offset;
	if (!node->driver->submit(node, &task->io))
		return UNDER_WAY;
	return task->io.error == -EAGAIN ? LONG_WAY : OVER;
}

static enum way short_way(struct disk_block *b, struct block_request *r,
			  int *error)
{
	const bool write = r->op == BLOCK_WRITE;
	struct task *task;
	enum way way;

	*error = 0;
	if (r->op == BLOCK_FLUSH && b->node->file && b->node->file->instant &&
	    !b->node->driver->flush) {
		*error = disk_flush(b->node);
		return OVER;
	}
	if ((r->op != BLOCK_READ && !write) || !r->length ||
	    (write && b->cache == DISK_CACHE_WRITETHROUGH))
		return LONG_WAY;
	task = take_task(b);
	if (!task)
		return LONG_WAY;
	task->request = r;
	task->hops = 0;
	task->io = (struct disk_io){
		.write = write,
		.offset = r->offset,
		.length = r->length,
		.vec = { r->span, r->spans, 0 },
		.done = io_done,
	};
	way = descend(task);
	if (way == UNDER_WAY)
		return way;
	*error = task->io.error;
	give_task(task);
	return way;
}

/* Entered. True: it is over. */
static bool begin(struct disk_block *b, struct block_request *r)
{
	int error;
	enum way way = short_way(b, r, &error);

	if (way == UNDER_WAY || (way == LONG_WAY && disk_pool_put(&b->pool, r)))
		return false;
	if (way == LONG_WAY)
		error = -EIO;
	if (!settle(b, r, error)) {
		leave(b);
		return false;
	}
	leave(b);
	return true;
}

static void count(struct disk_block *b, const struct block_request *r)
{
	atomic_fetch_add_explicit(&b->requests[r->op], 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&b->bytes[r->op], r->length,
				  memory_order_relaxed);
}

static bool disk_submit(struct block *block, struct block_request *r)
{
	struct disk_block *b = block_of(block);

	count(b, r);
	enter(b);
	if (!atomic_load(&b->gate))
		return begin(b, r);
	pthread_mutex_lock(&b->mutex);
	if (!atomic_load(&b->gate)) {
		pthread_mutex_unlock(&b->mutex);
		return begin(b, r);
	}
	request_queue_put(&b->kept, r);
	pthread_cond_signal(&b->tick);
	pthread_mutex_unlock(&b->mutex);
	leave(b);
	return false;
}

/* --- what was put off ------------------------------------------------------- */

/* Held: the mutex, which is let go meanwhile. Begins one that was kept. */
static void release(struct disk_block *b)
{
	struct block_request *r = request_queue_take(&b->kept);

	enter(b);
	pthread_mutex_unlock(&b->mutex);
	if (begin(b, r))
		r->done(r);
	pthread_mutex_lock(&b->mutex);
}

/* Held: the mutex. ns until the first that was kept may begin; NEVER. */
static uint64_t wait_of_kept(struct disk_block *b, uint64_t now)
{
	unsigned int gate = atomic_load(&b->gate);

	if (!b->kept.first || gate & GATE_DRAINED)
		return NEVER;
	if (!(gate & GATE_LIMITED) || b->hurry)
		return 0;
	return disk_meter_take(&b->meter, b->kept.first->length, now);
}

/*
 * Held: the mutex, which is let go meanwhile. Tries those again that wait for
 * room, up to the first that there still is none for.
 */
static void retry(struct disk_block *b)
{
	while (b->parked.first && !(atomic_load(&b->gate) & GATE_DRAINED)) {
		struct block_request *r = request_queue_take(&b->parked);
		bool hurry = b->hurry;
		int error = -ENOSPC;

		enter(b);
		pthread_mutex_unlock(&b->mutex);
		if (!hurry)
			error = perform(b, r);
		pthread_mutex_lock(&b->mutex);
		if (means_full(error) && !b->hurry) {
			r->next = b->parked.first; /* the first again */
			b->parked.first = r;
			if (!r->next)
				b->parked.last = &r->next;
			pthread_mutex_unlock(&b->mutex);
			leave(b);
			pthread_mutex_lock(&b->mutex);
			break;
		}
		pthread_mutex_unlock(&b->mutex);
		r->error = error;
		r->done(r);
		leave(b);
		pthread_mutex_lock(&b->mutex);
	}
	b->retry_at = host_monotonic_ns() + RETRY_NS;
	if (b->parked.first)
		return;
	b->full = false;
	pthread_mutex_unlock(&b->mutex);
	if (b->changed)
		b->changed(b->changed_ctx);
	pthread_mutex_lock(&b->mutex);
}

/* Held: the mutex. Waits for a tick, `ns` at most. */
static void doze(struct disk_block *b, uint64_t ns)
{
	struct timespec until;

	if (ns == NEVER) {
		pthread_cond_wait(&b->tick, &b->mutex);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(ns / NS_PER_S);
	until.tv_nsec = (long)(ns % NS_PER_S);
	pthread_cond_timedwait(&b->tick, &b->mutex, &until);
}

static void keep(void *ctx)
{
	struct disk_block *b = ctx;

	pthread_mutex_lock(&b->mutex);
	while (!b->end) {
		uint64_t now = host_monotonic_ns();
		bool drained = atomic_load(&b->gate) & GATE_DRAINED;
		uint64_t wait = wait_of_kept(b, now);

		if (!wait) {
			release(b);
			continue;
		}
		if (b->full && !drained && (b->hurry || now >= b->retry_at)) {
			retry(b);
			continue;
		}
		if (b->full && !drained && b->retry_at - now < wait)
			wait = b->retry_at - now;
		doze(b, wait);
	}
	pthread_mutex_unlock(&b->mutex);
}

/* Held: the mutex. 0 or a negative errno. */
static int start_keeper(struct disk_block *b)
{
	int error = 0;

	if (!b->keeping)
		error = thread_start(&b->keeper, "disk-wait", keep, b);
	b->keeping = !error;
	return error;
}

/* --- for jobs --------------------------------------------------------------- */

struct disk_node *disk_block_node(struct block *block)
{
	return block_of(block)->node;
}

void disk_block_drain(struct block *block)
{
	atomic_fetch_or(&block_of(block)->gate, GATE_DRAINED);
	wait_for_rest(block_of(block));
}

void disk_block_resume(struct block *block)
{
	struct disk_block *b = block_of(block);

	pthread_mutex_lock(&b->mutex);
	atomic_fetch_and(&b->gate, ~GATE_DRAINED);
	while (b->kept.first && !atomic_load(&b->gate))
		release(b);
	pthread_cond_signal(&b->tick);
	pthread_mutex_unlock(&b->mutex);
}

struct disk_node *disk_block_swap(struct block *block, struct disk_node *node)
{
	struct disk_node *old = block_of(block)->node;

	bug_on(old->size != node->size);
	block_of(block)->node = node;
	return old;
}

void disk_block_counts(struct block *block, struct disk_counts *counts)
{
	struct disk_block *b = block_of(block);

	*counts = (struct disk_counts){
		.reads = b->requests[BLOCK_READ],
		.read_bytes = b->bytes[BLOCK_READ],
		.writes = b->requests[BLOCK_WRITE] + b->requests[BLOCK_ZERO],
		.written_bytes = b->bytes[BLOCK_WRITE] + b->bytes[BLOCK_ZERO],
		.discards = b->requests[BLOCK_DISCARD],
		.discarded_bytes = b->bytes[BLOCK_DISCARD],
		.flushes = b->requests[BLOCK_FLUSH],
	};
}

void disk_block_limits(struct block *block, struct disk_limits *limits)
{
	struct disk_block *b = block_of(block);

	pthread_mutex_lock(&b->mutex);
	*limits = b->meter.limits;
	pthread_mutex_unlock(&b->mutex);
}

int disk_block_limit(struct block *block, const struct disk_limits *limits)
{
	struct disk_block *b = block_of(block);
	bool any = limits->iops || limits->bps;
	int error = 0;

	pthread_mutex_lock(&b->mutex);
	if (any)
		error = start_keeper(b);
	if (!error) {
		disk_meter_set(&b->meter, limits, host_monotonic_ns());
		if (any)
			atomic_fetch_or(&b->gate, GATE_LIMITED);
		else
			atomic_fetch_and(&b->gate, ~GATE_LIMITED);
		pthread_cond_signal(&b->tick);
	}
	pthread_mutex_unlock(&b->mutex);
	return error;
}

/* --- a full host ------------------------------------------------------------ */

void disk_block_on_full(struct block *block, void (*changed)(void *ctx),
			void *ctx)
{
	block_of(block)->changed_ctx = ctx;
	block_of(block)->changed = changed;
}

bool disk_block_full(struct block *block)
{
	struct disk_block *b = block_of(block);
	bool full;

	pthread_mutex_lock(&b->mutex);
	full = b->full;
	pthread_mutex_unlock(&b->mutex);
	return full;
}

void disk_block_hurry(struct block *block, bool hurry)
{
	struct disk_block *b = block_of(block);

	pthread_mutex_lock(&b->mutex);
	b->hurry = hurry;
	pthread_cond_signal(&b->tick);
	pthread_mutex_unlock(&b->mutex);
}

/* --- the whole -------------------------------------------------------------- */

static void disk_block_close(struct block *block)
{
	struct disk_block *b = block_of(block);

	disk_block_hurry(block, true);
	wait_for_rest(b);
	pthread_mutex_lock(&b->mutex);
	b->end = true;
	pthread_cond_signal(&b->tick);
	pthread_mutex_unlock(&b->mutex);
	disk_pool_end(&b->pool);
	thread_join(&b->keeper);
	disk_close(b->node); /* ends the leaf's threads, which may be here */
	while (b->spare) {
		struct task *next = b->spare->next;

		free(b->spare);
		b->spare = next;
	}
	pthread_cond_destroy(&b->tick);
	pthread_cond_destroy(&b->rest);
	pthread_mutex_destroy(&b->mutex);
	free(b);
}

static const struct block_ops disk_block_ops = {
	.submit = disk_submit,
	.close = disk_block_close,
};

static void init_conditions(struct disk_block *b)
{
	pthread_condattr_t clock;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&b->mutex, NULL);
	pthread_cond_init(&b->rest, NULL);
	pthread_cond_init(&b->tick, &clock);
	pthread_condattr_destroy(&clock);
}

/* The leaf's, which a guest's requests are best of. */
static uint32_t physical_of(const struct disk_node *node)
{
	while (node->file)
		node = node->file;
	return node->physical < SECTOR ? SECTOR : node->physical;
}

int disk_block_create(struct block **block, struct disk_node *node,
		      enum disk_cache cache, struct disk_error *error)
{
	struct disk_block *b;

	*block = NULL;
	if (!node->size || node->size % SECTOR)
		return disk_error_set(error, -EINVAL, "has %llu bytes, no "
				      "multiple of 512",
				      (unsigned long long)node->size);
	b = calloc(1, sizeof(*b));
	if (!b)
		return disk_error_set(error, -ENOMEM, "out of memory");
	b->block = (struct block){
		.ops = &disk_block_ops,
		.size = node->size,
		.physical = physical_of(node),
		.readonly = node->readonly,
		.can_discard = !node->readonly,
	};
	b->node = node;
	b->cache = cache;
	disk_pool_init(&b->pool, serve, b);
	request_queue_init(&b->kept);
	request_queue_init(&b->parked);
	init_conditions(b);
	*block = &b->block;
	return 0;
}

int disk_block_open(struct block **block, const struct disk_open *how,
		    struct disk_error *error)
{
	struct disk_node *node;
	int result = disk_open(&node, how, error);

	*block = NULL;
	if (result)
		return result;
	if (how->copies)
		result = disk_copy_on_read(&node, node, error);
	if (!result)
		result = disk_block_create(block, node, how->cache, error);
	if (result)
		disk_close(node);
	return result;
}
