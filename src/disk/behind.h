/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes behind, past the page cache, as a drive with a cache does it: a large
 * write is copied, and over for its owner as soon as the kernel has it under
 * way, so that the disk works while the guest makes its next one. A kill of
 * this process stops none of them.
 *
 * A flush waits for them, and so does who uses the same bytes in any other
 * way, but who writes large pieces elsewhere. One that fails is tried again by
 * whoever waits for it, who gets the error; and none is written behind any
 * more, so that later errors are those of the writes themselves.
 *
 * It is for files that are locked, which nobody else looks at.
 */
#ifndef LODGE_DISK_BEHIND_H
#define LODGE_DISK_BEHIND_H

#include <pthread.h>
#include <stdbool.h>

#include "disk/driver.h"
#include "disk/range.h"
#include "vm/span.h"

struct disk_ring;

#define DISK_BEHIND_SLOTS 4u
#define DISK_BEHIND_MIN	  (256u << 10)
#define DISK_BEHIND_MAX	  (2u << 20)

enum disk_behind_state {
	DISK_BEHIND_FREE,
	DISK_BEHIND_FLYING, /* under way, or about to be */
	DISK_BEHIND_FAILED, /* and nobody was told */
};

struct disk_behind_slot {
	enum disk_behind_state state;
	struct disk_behind *behind;
	uint64_t number; /* later ones have higher ones */
	struct span span;
	struct disk_io io;
	struct disk_io *waiter; /* was not told yet that it is over */
	struct disk_ring *ring; /* to try again by; NULL: it was */
};

struct disk_behind {
	pthread_mutex_t lock;
	pthread_cond_t landed;
	struct disk_ranges *ranges;
	int fd;
	_Atomic bool off; /* none any more */
	void *memory;	  /* of all slots; NULL: none yet */
	uint64_t numbers; /* given so far */
	_Atomic unsigned int used; /* slots that are not free */
	struct disk_behind_slot slot[DISK_BEHIND_SLOTS];
};

/* `ranges`: of those who write the file. */
void disk_behind_init(struct disk_behind *behind, struct disk_ranges *ranges);
void disk_behind_fini(struct disk_behind *behind);

/*
 * A slot that has what io writes, and its range; NULL: nothing has changed, it
 * is to be written in another way. disk_behind_begin() follows.
 */
struct disk_behind_slot *disk_behind_take(struct disk_behind *behind,
					  const struct disk_io *io);

/* io->done() comes on the ring's thread; -EAGAIN as the ring has it. */
void disk_behind_begin(struct disk_behind_slot *slot, struct disk_io *io,
		       struct disk_ring *ring);

/* Whether something is to be waited for. Never waits. */
bool disk_behind_holds(struct disk_behind *behind, uint64_t offset,
		       uint64_t length);

/*
 * What was written behind there is in the file now: 0, or why not. `last`:
 * nobody is told again, unless the host had no room.
 */
int disk_behind_settle(struct disk_behind *behind, uint64_t offset,
		       uint64_t length, bool last);

#endif
