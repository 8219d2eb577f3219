/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-ahead past the page cache, as a drive does it: while somebody reads
 * large pieces one after the other, the next two are read before they are
 * asked for, into memory of huge pages, so that the disk works while the
 * guest does.
 *
 * What is read ahead is never older than what the file holds: a read ahead has
 * its range alone while it is under way, who writes forgets what was read
 * there, and after 20 ms nobody gets it any more. It is for files that are
 * locked, which have no other writer.
 */
#ifndef LODGE_DISK_AHEAD_H
#define LODGE_DISK_AHEAD_H

#include <pthread.h>
#include <stdbool.h>

#include "disk/driver.h"
#include "disk/range.h"
#include "vm/span.h"

struct disk_ring;

#define DISK_AHEAD_SLOTS 3u
#define DISK_AHEAD_TIMES 2u /* pieces ahead of what is asked for */
#define DISK_AHEAD_MIN	 (256u << 10)
#define DISK_AHEAD_MAX	 (2u << 20)

enum disk_ahead_state {
	DISK_AHEAD_FREE,
	DISK_AHEAD_FLYING, /* under way */
	DISK_AHEAD_READY,
	DISK_AHEAD_TAKEN, /* being copied to whom it is for */
};

struct disk_ahead_slot {
	enum disk_ahead_state state;
	struct disk_ahead *ahead;
	uint64_t since; /* of its state, ns */
	struct span span;
	struct disk_io io;
	struct disk_io *waiter; /* wants it when it has come */
};

struct disk_ahead {
	pthread_mutex_t lock;
	pthread_cond_t landed;
	struct disk_ranges *ranges;
	void *memory;	       /* of all slots; NULL: none yet */
	uint64_t next, length; /* the piece that would go on */
	unsigned int row;      /* pieces in a row so far */
	uint64_t keep_ns;      /* nobody gets what was read earlier */
	struct disk_ahead_slot slot[DISK_AHEAD_SLOTS];
};

/* `ranges`: of those who write the file. */
void disk_ahead_init(struct disk_ahead *ahead, struct disk_ranges *ranges);

/* Waits for what is under way. Nobody else uses it. */
void disk_ahead_drain(struct disk_ahead *ahead);
void disk_ahead_fini(struct disk_ahead *ahead);

/*
 * Has the read done by what was read ahead, now or when that has come: `*over`
 * tells which, as submit() of a leaf does. False: nothing was read ahead
 * there.
 */
bool disk_ahead_read(struct disk_ahead *ahead, struct disk_io *io, bool *over);

/* A piece is asked for, of a file of `size` bytes: reads ahead of it. Before it
 * is read: with its end others may close the file. */
void disk_ahead_follow(struct disk_ahead *ahead, struct disk_ring *ring,
		       uint64_t offset, uint64_t length, uint64_t size);

/* These bytes are about to change, and whoever does it is in that range of
 * `ranges`. */
void disk_ahead_forget(struct disk_ahead *ahead, uint64_t offset,
		       uint64_t length);

#endif
