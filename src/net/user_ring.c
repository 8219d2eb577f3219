/* SPDX-License-Identifier: Apache-2.0 */
#include "net/user_ring.h"

#include <sys/mman.h>

#include "net/offload.h"
#include "net/segment.h"

#define SIZE  (1u << 20)
#define ALIGN 8u

static uint32_t room_of(uint32_t size)
{
	return (uint32_t)(sizeof(struct user_slot) + size + ALIGN - 1) &
	       ~(ALIGN - 1);
}

static struct user_slot *slot_at(struct user_ring *r, uint32_t at)
{
	return (struct user_slot *)(void *)(r->bytes + at);
}

void user_ring_init(struct user_ring *r)
{
	pthread_mutex_init(&r->lock, NULL);
}

void user_ring_fini(struct user_ring *r)
{
	if (r->bytes)
		munmap(r->bytes, SIZE);
	pthread_mutex_destroy(&r->lock);
}

bool user_ring_map(struct user_ring *r)
{
	void *bytes;

	if (r->bytes)
		return true;
	bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return false;
	r->bytes = bytes;
	return true;
}

/* Held: the lock. Where a frame of `size` bytes goes; NULL: nowhere now. */
static struct user_slot *place(struct user_ring *r, uint32_t size)
{
	const uint32_t need = room_of(size), mark = room_of(0);

	if (r->head == r->tail)
		r->head = r->tail = 0;
	/* A mark fits behind every frame; head never reaches tail. */
	if (r->head >= r->tail) {
		if (r->head + need + mark <= SIZE)
			return slot_at(r, r->head);
		if (need >= r->tail)
			return NULL;
		slot_at(r, r->head)->size = 0;
		r->head = 0;
		return slot_at(r, 0);
	}
	return r->head + need < r->tail ? slot_at(r, r->head) : NULL;
}

bool user_ring_put(struct user_ring *r, const struct nic_frame *frame,
		   unsigned int mtu)
{
	struct user_slot *slot;

	pthread_mutex_lock(&r->lock);
	slot = place(r, frame->size);
	if (slot) {
		offload_copy_near(frame, slot->frame);
		segment_offer(slot->frame, frame->size, mtu);
		slot->size = frame->size;
		r->head += room_of(frame->size);
	} else {
		r->full = true;
	}
	pthread_mutex_unlock(&r->lock);
	return slot;
}

/* Held: the lock. Bytes that are taken. */
static uint32_t used(const struct user_ring *r)
{
	return r->head - r->tail + (r->head < r->tail ? SIZE : 0);
}

bool user_ring_any(struct user_ring *r)
{
	bool any;

	pthread_mutex_lock(&r->lock);
	any = r->head != r->tail;
	pthread_mutex_unlock(&r->lock);
	return any;
}

unsigned int user_ring_peek(struct user_ring *r, struct user_slot **slot,
			    unsigned int max, uint32_t *end)
{
	unsigned int count = 0;
	uint32_t at;

	pthread_mutex_lock(&r->lock);
	at = r->tail;
	while (count < max && at != r->head) {
		slot[count] = slot_at(r, at);
		if (slot[count]->size)
			at += room_of(slot[count++]->size);
		else
			at = 0;
	}
	pthread_mutex_unlock(&r->lock);
	*end = at;
	return count;
}

bool user_ring_drop(struct user_ring *r, uint32_t end)
{
	bool again;

	pthread_mutex_lock(&r->lock);
	r->tail = end;
	again = r->full && used(r) <= SIZE / 2;
	if (again)
		r->full = false;
	pthread_mutex_unlock(&r->lock);
	return again;
}

void user_ring_empty(struct user_ring *r)
{
	r->head = r->tail = 0;
	r->full = false;
}
