/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/ahead.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "disk/ring.h"
#include "disk/stage.h"
#include "host/linux/eager.h"

#define KEEP_NS 20000000u
#define ROW_MIN 2u

void disk_ahead_init(struct disk_ahead *ahead, struct disk_ranges *ranges)
{
	memset(ahead, 0, sizeof(*ahead));
	pthread_mutex_init(&ahead->lock, NULL);
	pthread_cond_init(&ahead->landed, NULL);
	ahead->ranges = ranges;
	ahead->keep_ns = KEEP_NS;
}

void disk_ahead_drain(struct disk_ahead *ahead)
{
	pthread_mutex_lock(&ahead->lock);
	for (unsigned int i = 0; i < DISK_AHEAD_SLOTS; i++)
		while (ahead->slot[i].state == DISK_AHEAD_FLYING)
			pthread_cond_wait(&ahead->landed, &ahead->lock);
	pthread_mutex_unlock(&ahead->lock);
}

void disk_ahead_fini(struct disk_ahead *ahead)
{
	if (ahead->memory)
		munmap(ahead->memory, DISK_AHEAD_SLOTS * DISK_AHEAD_MAX);
	pthread_cond_destroy(&ahead->landed);
	pthread_mutex_destroy(&ahead->lock);
}

/* Held: the lock. */
static void set_state(struct disk_ahead_slot *slot, enum disk_ahead_state state)
{
	slot->state = state;
	slot->since = eager_now();
}

static bool is_fresh(const struct disk_ahead_slot *slot)
{
	return slot->state == DISK_AHEAD_FLYING ||
	       eager_now() - slot->since < slot->ahead->keep_ns;
}

/* --- what was read ----------------------------------------------------------
 */

/* Held: the lock. What is under way counts, too; NULL: nothing. */
static struct disk_ahead_slot *find(struct disk_ahead *ahead, uint64_t offset,
				    uint64_t length)
{
	for (unsigned int i = 0; i < DISK_AHEAD_SLOTS; i++) {
		struct disk_ahead_slot *slot = &ahead->slot[i];

		if ((slot->state == DISK_AHEAD_FLYING ||
		     slot->state == DISK_AHEAD_READY) &&
		    slot->io.offset == offset && slot->io.length == length)
			return slot;
	}
	return NULL;
}

/* Gives what a slot that is taken has to `io`. */
static void hand_over(struct disk_ahead_slot *slot, struct disk_io *io)
{
	disk_vec_fill(io->vec, slot->span.data, io->length);
	io->error = 0;
	pthread_mutex_lock(&slot->ahead->lock);
	set_state(slot, DISK_AHEAD_FREE);
	pthread_mutex_unlock(&slot->ahead->lock);
}

bool disk_ahead_read(struct disk_ahead *ahead, struct disk_io *io, bool *over)
{
	struct disk_ahead_slot *slot;

	*over = false;
	pthread_mutex_lock(&ahead->lock);
	slot = find(ahead, io->offset, io->length);
	if (slot && (slot->waiter || !is_fresh(slot))) {
		slot = NULL;
	} else if (slot && slot->state == DISK_AHEAD_FLYING) {
		slot->waiter = io;
	} else if (slot) {
		set_state(slot, DISK_AHEAD_TAKEN);
		*over = true;
	}
	pthread_mutex_unlock(&ahead->lock);
	if (*over)
		hand_over(slot, io);
	return slot;
}

void disk_ahead_forget(struct disk_ahead *ahead, uint64_t offset,
		       uint64_t length)
{
	pthread_mutex_lock(&ahead->lock);
	for (unsigned int i = 0; i < DISK_AHEAD_SLOTS; i++) {
		struct disk_ahead_slot *slot = &ahead->slot[i];
		uint64_t from = slot->io.offset;

		if (slot->state == DISK_AHEAD_READY && from < offset + length &&
		    offset < from + slot->io.length)
			set_state(slot, DISK_AHEAD_FREE);
	}
	pthread_mutex_unlock(&ahead->lock);
}

/* --- reading ahead ----------------------------------------------------------
 */

/* The ring's thread. */
static void landed(struct disk_io *io)
{
	struct disk_ahead_slot *slot = io->leaf;
	struct disk_ahead *ahead = slot->ahead;
	struct disk_io *waiter;

	pthread_mutex_lock(&ahead->lock);
	waiter = slot->waiter;
	slot->waiter = NULL;
	if (io->error)
		set_state(slot, DISK_AHEAD_FREE);
	else
		set_state(slot, waiter ? DISK_AHEAD_TAKEN : DISK_AHEAD_READY);
	/* Not before: who writes there next is to find it. Not after: the
	 * slot may be another's then. */
	disk_range_leave(ahead->ranges, &io->range);
	pthread_cond_broadcast(&ahead->landed);
	pthread_mutex_unlock(&ahead->lock);
	if (!waiter)
		return;
	if (io->error)
		waiter->error = -EAGAIN;
	else
		hand_over(slot, waiter);
	waiter->done(waiter);
}

/* Held: the lock. A slot that nobody is going to ask for; NULL: none. */
static struct disk_ahead_slot *spare(struct disk_ahead *ahead, uint64_t offset,
				     uint64_t end)
{
	for (unsigned int i = 0; i < DISK_AHEAD_SLOTS; i++) {
		struct disk_ahead_slot *slot = &ahead->slot[i];
		bool wanted =
			slot->io.offset >= offset && slot->io.offset < end;

		if (slot->state == DISK_AHEAD_FREE ||
		    (slot->state == DISK_AHEAD_READY &&
		     (!wanted || !is_fresh(slot))))
			return slot;
	}
	return NULL;
}

/* Held: the lock. */
static void start(struct disk_ahead *ahead, struct disk_ahead_slot *slot,
		  struct disk_ring *ring, uint64_t offset, uint64_t length)
{
	/* Somebody writes there: then it is not read ahead. */
	if (!disk_range_try(ahead->ranges, &slot->io.range, offset, length,
			    true))
		return;
	slot->ahead = ahead;
	slot->span.data = (char *)ahead->memory +
			  (size_t)(slot - ahead->slot) * DISK_AHEAD_MAX;
	slot->span.size = length;
	slot->io.write = false;
	slot->io.offset = offset;
	slot->io.length = length;
	slot->io.vec = (struct disk_vec){ .span = &slot->span, .spans = 1 };
	slot->io.done = landed;
	slot->io.leaf = slot;
	slot->waiter = NULL;
	set_state(slot, DISK_AHEAD_FLYING);
	disk_ring_submit(ring, &slot->io);
}

/* Held: the lock. Whether this piece goes on from the last ones. */
static bool note(struct disk_ahead *ahead, uint64_t offset, uint64_t length)
{
	if (offset != ahead->next || length != ahead->length)
		ahead->row = 0;
	else if (ahead->row < ROW_MIN)
		ahead->row++;
	ahead->next = offset + length;
	ahead->length = length;
	return ahead->row == ROW_MIN;
}

void disk_ahead_follow(struct disk_ahead *ahead, struct disk_ring *ring,
		       uint64_t offset, uint64_t length, uint64_t size)
{
	uint64_t end = offset + (DISK_AHEAD_TIMES + 1) * length;

	if (length < DISK_AHEAD_MIN || length > DISK_AHEAD_MAX)
		return;
	pthread_mutex_lock(&ahead->lock);
	if (!note(ahead, offset, length))
		goto out;
	if (!ahead->memory)
		ahead->memory =
			disk_stage_map(DISK_AHEAD_SLOTS * DISK_AHEAD_MAX);
	for (uint64_t at = offset + length; at < end; at += length) {
		struct disk_ahead_slot *slot = find(ahead, at, length);

		if (!ahead->memory || at + length > size)
			break;
		if (slot && is_fresh(slot))
			continue;
		if (!slot)
			slot = spare(ahead, offset, end);
		if (!slot)
			break;
		start(ahead, slot, ring, at, length);
	}
out:
	pthread_mutex_unlock(&ahead->lock);
}
