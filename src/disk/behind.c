/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/behind.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "disk/ring.h"
#include "disk/stage.h"
#include "disk/transfer.h"

void disk_behind_init(struct disk_behind *behind, struct disk_ranges *ranges)
{
	memset(behind, 0, sizeof(*behind));
	pthread_mutex_init(&behind->lock, NULL);
	pthread_cond_init(&behind->landed, NULL);
	behind->ranges = ranges;
	behind->fd = -1;
}

void disk_behind_fini(struct disk_behind *behind)
{
	if (behind->memory)
		munmap(behind->memory, DISK_BEHIND_SLOTS * DISK_BEHIND_MAX);
	pthread_cond_destroy(&behind->landed);
	pthread_mutex_destroy(&behind->lock);
}

static bool is_at(const struct disk_behind_slot *slot, uint64_t offset,
		  uint64_t length)
{
	uint64_t from = slot->io.offset;

	return slot->state != DISK_BEHIND_FREE && offset < from + slot->io.length &&
	       (offset >= from || from - offset < length);
}

/* Held: the lock. */
static bool holds(const struct disk_behind *behind, uint64_t offset,
		  uint64_t length)
{
	for (unsigned int i = 0; i < DISK_BEHIND_SLOTS; i++)
		if (is_at(&behind->slot[i], offset, length))
			return true;
	return false;
}

bool disk_behind_holds(struct disk_behind *behind, uint64_t offset,
		       uint64_t length)
{
	bool there;

	if (!atomic_load(&behind->used))
		return false;
	pthread_mutex_lock(&behind->lock);
	there = holds(behind, offset, length);
	pthread_mutex_unlock(&behind->lock);
	return there;
}

/* Held: the lock. */
static void set_state(struct disk_behind_slot *slot,
		      enum disk_behind_state state)
{
	slot->state = state;
	if (state == DISK_BEHIND_FREE)
		atomic_fetch_sub(&slot->behind->used, 1);
	pthread_cond_broadcast(&slot->behind->landed);
}

/* --- beginning --------------------------------------------------------------
 */

/* The ring's thread: the kernel has it. */
static void begun(struct disk_io *io)
{
	struct disk_behind_slot *slot = io->leaf;
	struct disk_io *waiter = slot->waiter;

	slot->waiter = NULL;
	waiter->error = 0;
	waiter->done(waiter);
}

/* The ring's thread. */
static void landed(struct disk_io *io)
{
	struct disk_behind_slot *slot = io->leaf;
	struct disk_behind *behind = slot->behind;
	struct disk_io *waiter = slot->waiter;
	struct disk_ring *ring = slot->ring;
	int error = io->error;

	slot->ring = NULL;
	slot->waiter = NULL;
	if (waiter && error && ring) {
		/* The kernel would have to wait first: then we do, too. */
		if (error == -EOPNOTSUPP)
			behind->off = true;
		slot->waiter = waiter;
		io->begun = NULL;
		disk_ring_submit(ring, io);
		return;
	}
	pthread_mutex_lock(&behind->lock);
	disk_range_leave(behind->ranges, &io->range);
	behind->off |= !waiter && error;
	set_state(slot, !waiter && error ? DISK_BEHIND_FAILED
					 : DISK_BEHIND_FREE);
	pthread_mutex_unlock(&behind->lock);
	if (!waiter)
		return;
	waiter->error = error;
	waiter->done(waiter);
}

/* Held: the lock. With the range; NULL: none, or somebody is there. */
static struct disk_behind_slot *find_slot(struct disk_behind *behind,
					  const struct disk_io *io)
{
	struct disk_behind_slot *slot = behind->slot;
	struct disk_behind_slot *end = slot + DISK_BEHIND_SLOTS;

	if (behind->off || holds(behind, io->offset, io->length))
		return NULL;
	if (!behind->memory)
		behind->memory =
			disk_stage_map(DISK_BEHIND_SLOTS * DISK_BEHIND_MAX);
	while (slot < end && slot->state != DISK_BEHIND_FREE)
		slot++;
	if (!behind->memory || slot == end ||
	    !disk_range_try(behind->ranges, &slot->io.range, io->offset,
			    io->length, false))
		return NULL;
	return slot;
}

struct disk_behind_slot *disk_behind_take(struct disk_behind *behind,
					  const struct disk_io *io)
{
	struct disk_behind_slot *slot;

	if (io->length < DISK_BEHIND_MIN || io->length > DISK_BEHIND_MAX)
		return NULL;
	pthread_mutex_lock(&behind->lock);
	slot = find_slot(behind, io);
	if (slot) {
		slot->behind = behind;
		slot->number = behind->numbers++;
		slot->io.write = true;
		slot->io.offset = io->offset;
		slot->io.length = io->length;
		atomic_fetch_add(&behind->used, 1);
		set_state(slot, DISK_BEHIND_FLYING);
	}
	pthread_mutex_unlock(&behind->lock);
	if (!slot)
		return NULL;
	slot->span.data = (char *)behind->memory +
			  (size_t)(slot - behind->slot) * DISK_BEHIND_MAX;
	slot->span.size = io->length;
	slot->io.vec = (struct disk_vec){ .span = &slot->span, .spans = 1 };
	disk_vec_gather(slot->span.data, io->vec, io->length);
	return slot;
}

void disk_behind_begin(struct disk_behind_slot *slot, struct disk_io *io,
		       struct disk_ring *ring)
{
	slot->waiter = io;
	slot->ring = ring;
	slot->io.leaf = slot;
	slot->io.begun = begun;
	slot->io.done = landed;
	disk_ring_submit(ring, &slot->io);
}

/* --- waiting ----------------------------------------------------------------
 */

/* Held: the lock, which is let go meanwhile. */
static int try_again(struct disk_behind_slot *slot, bool last)
{
	struct disk_behind *behind = slot->behind;
	struct disk_io *io = &slot->io;
	int error;

	set_state(slot, DISK_BEHIND_FLYING);
	pthread_mutex_unlock(&behind->lock);
	disk_range_enter(behind->ranges, &io->range, io->offset, io->length,
			 false);
	error = disk_transfer(behind->fd, io->offset, io->length, io->vec,
			      true);
	pthread_mutex_lock(&behind->lock);
	disk_range_leave(behind->ranges, &io->range);
	last &= error != -ENOSPC && error != -EDQUOT;
	set_state(slot, error && !last ? DISK_BEHIND_FAILED
				       : DISK_BEHIND_FREE);
	return error;
}

int disk_behind_settle(struct disk_behind *behind, uint64_t offset,
		       uint64_t length, bool last)
{
	int error = 0;
	uint64_t numbers;

	if (!atomic_load(&behind->used))
		return 0;
	pthread_mutex_lock(&behind->lock);
	numbers = behind->numbers;
	for (unsigned int i = 0; i < DISK_BEHIND_SLOTS; i++) {
		struct disk_behind_slot *slot = &behind->slot[i];
		int result = 0;

		while (is_at(slot, offset, length) && slot->number < numbers &&
		       slot->state == DISK_BEHIND_FLYING)
			pthread_cond_wait(&behind->landed, &behind->lock);
		if (is_at(slot, offset, length) &&
		    slot->state == DISK_BEHIND_FAILED)
			result = try_again(slot, last);
		error = error ? error : result;
	}
	pthread_mutex_unlock(&behind->lock);
	return error;
}
