/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/live/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk/live/impl.h"
#include "vm/host.h"

#define PIECE	 DISK_LIVE_PIECE
#define CLUSTER	 65536u /* what a guest's write has alone */
#define NS_PER_S 1000000000ull

static struct disk_live *live_of(struct disk_node *node)
{
	return (struct disk_live *)node;
}

static void give_up(struct disk_live *live, int error)
{
	int none = 0;

	if (error)
		atomic_compare_exchange_strong(&live->error, &none, error);
}

static bool goes_on(struct disk_live *live)
{
	return !atomic_load(&live->error);
}

/* --- the guest's requests ----------------------------------------------------- */

/* Reads are the image's; a write is to come to filter_write(). */
static int filter_map(struct disk_node *node, uint64_t offset, uint64_t length,
		      unsigned int flags, struct disk_extent *extent)
{
	*extent = (struct disk_extent){ .kind = DISK_DATA, .length = length,
					.in = node->file, .at = offset };
	return 0;
}

/*
 * How many of `length` bytes from `offset` on are to change in the twin, too.
 * Those that were not reached yet will be copied: the thread says that it
 * comes to them before it waits for who is there.
 */
static uint64_t twin_part(struct disk_live *live, uint64_t offset,
			  uint64_t length)
{
	uint64_t reached = atomic_load(&live->reached);

	if (!live->twin || !goes_on(live) || offset >= reached)
		return 0;
	return length < reached - offset ? length : reached - offset;
}

static int filter_write(struct disk_node *node, uint64_t offset,
			uint64_t length, struct disk_vec from)
{
	struct disk_live *live = live_of(node);
	int error = disk_write(node->file, offset, length, from);
	uint64_t part = error ? 0 : twin_part(live, offset, length);

	if (part)
		give_up(live, disk_write(live->twin, offset, part, from));
	return error;
}

static int filter_zero(struct disk_node *node, uint64_t offset,
		       uint64_t length, unsigned int flags)
{
	struct disk_live *live = live_of(node);
	int error = disk_zero(node->file, offset, length, flags);
	uint64_t part = error ? 0 : twin_part(live, offset, length);

	if (part)
		give_up(live, disk_zero(live->twin, offset, part, flags));
	return error;
}

static int filter_discard(struct disk_node *node, uint64_t offset,
			  uint64_t length)
{
	struct disk_live *live = live_of(node);
	int error = disk_discard(node->file, offset, length);
	uint64_t part = error ? 0 : twin_part(live, offset, length);

	if (part)
		give_up(live, disk_discard(live->twin, offset, part));
	return error;
}

static void filter_close(struct disk_node *node)
{
	struct disk_live *live = live_of(node);

	pthread_cond_destroy(&live->changed);
	pthread_mutex_destroy(&live->mutex);
	free(live->buf);
}

static const struct disk_driver filter_driver = {
	.name = "live",
	.title = "live",
	.filter = true,
	.close = filter_close,
	.map = filter_map,
	.write = filter_write,
	.zero = filter_zero,
	.discard = filter_discard,
};

struct disk_node *disk_live_image(struct block *block)
{
	struct disk_node *node = disk_block_node(block);

	while (node->driver->filter)
		node = node->file;
	return node;
}

/* --- the work ----------------------------------------------------------------- */

/* Held: the mutex. */
static void wait_for_change(struct disk_live *live, uint64_t ns)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(ns / NS_PER_S);
	until.tv_nsec = (long)(ns % NS_PER_S);
	pthread_cond_timedwait(&live->changed, &live->mutex, &until);
}

/* Waits until so many bytes more may be copied; false: it is to end. */
static bool pace(struct disk_live *live, uint64_t bytes)
{
	bool stop;

	pthread_mutex_lock(&live->mutex);
	while (!live->stop) {
		uint64_t wait = bytes ? disk_meter_take(&live->meter, bytes,
							host_monotonic_ns())
				      : 0;

		if (!wait)
			break;
		wait_for_change(live, wait);
	}
	stop = live->stop;
	pthread_mutex_unlock(&live->mutex);
	return !stop && goes_on(live);
}

static void do_piece(struct disk_live *live, uint64_t offset, uint64_t length,
		     uint64_t *moved)
{
	struct disk_range range;

	atomic_store(&live->reached, offset + length);
	disk_range_enter(&live->node.ranges, &range, offset, length, true);
	give_up(live, live->ops->piece(live, offset, length, moved));
	disk_range_leave(&live->node.ranges, &range);
	atomic_store(&live->done, offset + length);
}

static void do_all(void *ctx)
{
	struct disk_live *live = ctx;
	uint64_t size = live->node.size, moved = 0;

	for (uint64_t offset = 0; offset < size; offset += PIECE) {
		uint64_t part = size - offset < PIECE ? size - offset : PIECE;

		if (!pace(live, moved))
			return;
		moved = 0;
		do_piece(live, offset, part, &moved);
	}
	atomic_store(&live->ready, goes_on(live));
}

/* --- begin and end ------------------------------------------------------------ */

static void init_conditions(struct disk_live *live)
{
	pthread_condattr_t clock;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&live->mutex, NULL);
	pthread_cond_init(&live->changed, &clock);
	pthread_condattr_destroy(&clock);
}

void *disk_live_create(size_t size, const struct disk_live_ops *ops,
		       struct block *block, struct disk_error *error)
{
	struct disk_node *image = disk_live_image(block);
	const struct disk_open how = { .path = image->name };
	struct disk_live *live = calloc(1, size);
	uint8_t *buf = aligned_alloc(4096, 2 * PIECE);

	if (!live || !buf ||
	    disk_node_init(&live->node, &filter_driver, NULL, &how)) {
		free(buf);
		free(live);
		disk_error_set(error, -ENOMEM, "out of memory");
		return NULL;
	}
	init_conditions(live);
	live->node.size = image->size;
	live->node.cluster = CLUSTER;
	live->node.readonly = image->readonly;
	live->ops = ops;
	live->block = block;
	live->image = image;
	live->buf = buf;
	return live;
}

int disk_live_start(struct disk_live *live, uint64_t speed,
		    struct disk_error *error)
{
	int result;

	disk_live_speed(live, speed);
	disk_block_drain(live->block);
	live->node.file = disk_block_swap(live->block, &live->node);
	result = thread_start(&live->thread, "disk-live", do_all, live);
	if (result)
		disk_live_leave(live, live->node.file);
	disk_block_resume(live->block);
	if (!result)
		return 0;
	disk_close(&live->node);
	return disk_error_set(error, result, "%s", strerror(-result));
}

void disk_live_on_move(struct disk_live *live,
		       int (*moved)(void *ctx, const struct disk_node *to),
		       void *ctx)
{
	live->moved = moved;
	live->moved_ctx = ctx;
}

void disk_live_leave(struct disk_live *live, struct disk_node *node)
{
	disk_block_swap(live->block, node);
	live->node.file = NULL;
}

void disk_live_look(struct disk_live *live, struct disk_live_status *status)
{
	status->done = atomic_load(&live->done);
	status->total = live->node.size;
	status->error = atomic_load(&live->error);
	status->state = status->error		    ? DISK_LIVE_FAILED
			: atomic_load(&live->ready) ? DISK_LIVE_READY
						    : DISK_LIVE_WORKS;
}

void disk_live_speed(struct disk_live *live, uint64_t bytes)
{
	const struct disk_limits limits = { .bps = bytes };

	pthread_mutex_lock(&live->mutex);
	disk_meter_set(&live->meter, &limits, host_monotonic_ns());
	pthread_cond_signal(&live->changed);
	pthread_mutex_unlock(&live->mutex);
}

/* Frees all but the images. */
static void dissolve(struct disk_live *live)
{
	pthread_mutex_lock(&live->mutex);
	live->stop = true;
	pthread_cond_signal(&live->changed);
	pthread_mutex_unlock(&live->mutex);
	thread_join(&live->thread);
}

int disk_live_finish(struct disk_live *live, bool keep,
		     struct disk_error *error)
{
	struct block *block = live->block;
	struct disk_live_status status;
	struct disk_node *rest = NULL;
	int result;

	disk_block_drain(block);
	disk_live_look(live, &status);
	if (status.state == DISK_LIVE_WORKS)
		result = disk_error_set(error, -EBUSY, "not all is done yet");
	else if (status.error)
		result = disk_error_set(error, status.error, "%s",
					strerror(-status.error));
	else
		result = live->ops->finish(live, keep, &rest, error);
	if (!result)
		dissolve(live);
	disk_block_resume(block);
	if (result)
		return result;
	disk_close(&live->node);
	disk_close(rest);
	return 0;
}

void disk_live_cancel(struct disk_live *live)
{
	struct disk_node *rest = NULL;
	struct block *block;

	if (!live)
		return;
	block = live->block;
	disk_block_drain(block);
	dissolve(live);
	live->ops->cancel(live, &rest);
	disk_block_resume(block);
	disk_close(&live->node);
	disk_close(rest);
}
