/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from a card that wait for the stack's thread. The ring is one piece of
 * memory, filled from the start again whenever it runs empty: a quiet network
 * touches little of it.
 */
#ifndef LODGE_NET_USER_RING_H
#define LODGE_NET_USER_RING_H

#include <pthread.h>

#include "vm/nic.h"

/* A frame; a size of 0: go on at the ring's start. */
struct user_slot {
	uint32_t size;
	uint32_t unused; /* so that the frame is aligned */
	uint8_t frame[];
};

struct user_ring {
	pthread_mutex_t lock; /* guards the rest */
	uint8_t *bytes;	      /* NULL: not mapped, so not in use */
	uint32_t head, tail;  /* next to write; next to read */
	bool full;	      /* a card was told "later" */
};

void user_ring_init(struct user_ring *ring);
void user_ring_fini(struct user_ring *ring);

/* Makes it ready for use, once. False: no memory. */
bool user_ring_map(struct user_ring *ring);

/* Copies the frame, its sums filled in. False: there is no room now. */
bool user_ring_put(struct user_ring *ring, const struct nic_frame *frame,
		   unsigned int mtu);

/* Frames are there. */
bool user_ring_any(struct user_ring *ring);

/*
 * The next frames, `max` at most, and how many. They stay in the ring until it
 * is told that all before *end are done with. One thread alone.
 */
unsigned int user_ring_peek(struct user_ring *ring, struct user_slot **slot,
			    unsigned int max, uint32_t *end);

/* True: a card waits for room, and there is much now. */
bool user_ring_drop(struct user_ring *ring, uint32_t end);

/* Nobody uses it meanwhile. */
void user_ring_empty(struct user_ring *ring);

#endif
