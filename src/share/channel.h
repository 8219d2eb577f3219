/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine's process and the server of a shared folder have in common: a
 * piece of memory with places for requests, and words to sleep on. The machine
 * writes a request into a place and marks it SENT; a thread of the server takes
 * it, writes the answer behind it and marks it DONE; then the place is the
 * machine's again.
 *
 * The machine trusts nothing in here: it keeps to itself which places are in
 * use, and how large each answer may be. The server trusts the machine, but
 * not what a request says.
 *
 * The thread that sends a request may look for the answer for a moment, and
 * needs no waking then.
 *
 * To sleep: raise `asleep` of the side, look once more, wait for a change of
 * its `news` (futex(2)). To wake: raise `news`, wake one if any is asleep.
 */
#ifndef LODGE_SHARE_CHANNEL_H
#define LODGE_SHARE_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CHANNEL_SLOTS	 16u
#define CHANNEL_DATA_MAX 1048576u /* bytes of a file in one request */
#define CHANNEL_SLOT	 (CHANNEL_DATA_MAX + 131072u) /* request and answer */
#define CHANNEL_OUT_MAX	 (CHANNEL_DATA_MAX + 65536u)  /* of a request */
#define CHANNEL_ALIGN	 64u /* an answer begins at a multiple of it */

/* Descriptors of the server when it starts. */
#define CHANNEL_FD_FOLDER 3
#define CHANNEL_FD_MEMORY 4
#define CHANNEL_FD_LIFE	  5 /* its other end closes with the machine */

enum channel_state {
	CHANNEL_FREE,
	CHANNEL_SENT,
	CHANNEL_TAKEN,
	CHANNEL_DONE,
};

struct channel_side {
	_Alignas(64) _Atomic uint32_t news;
	_Atomic uint32_t asleep;  /* threads */
	_Atomic uint32_t looking; /* one looks for news, and needs no waking */
	_Atomic uint32_t waiting; /* places that it has not looked at yet */
};

struct channel_slot {
	_Alignas(64) _Atomic uint32_t state;
	uint32_t out_size, in_room; /* of the request; for the answer */
	uint32_t in_size;	    /* of the answer */
	_Atomic uint32_t looked_at; /* who sent it sees the answer by itself */
};

struct channel {
	struct channel_side server, machine;
	struct channel_slot slot[CHANNEL_SLOTS];
	_Alignas(4096) uint8_t data[CHANNEL_SLOTS][CHANNEL_SLOT];
};

/* The other side has something new in one place. */
void channel_tell(struct channel_side *side);

/* Wakes all of its threads, for another reason. */
void channel_wake(struct channel_side *side);

/* There is more than one thread can take: wakes another. */
void channel_call(struct channel_side *side);

struct channel_wait {
	bool eager;
	unsigned int busy; /* see host/linux/eager.h */
};

/*
 * Sleeps until there is news, perhaps after a look; `idle` is asked before the
 * sleep whether there is nothing to do.
 */
void channel_sleep(struct channel_side *side, struct channel_wait *wait,
		   bool (*idle)(void *ctx), void *ctx);

/* Where the answer to a request of that size begins. */
static inline uint32_t channel_answer_at(uint32_t out_size)
{
	return (out_size + CHANNEL_ALIGN - 1) & ~(CHANNEL_ALIGN - 1);
}

#endif
