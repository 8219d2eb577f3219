/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kinds of work on a running VM's disk share (live.h). Each is a
 * struct that begins with struct disk_live, and one table of operations.
 */
#ifndef LODGE_DISK_LIVE_IMPL_H
#define LODGE_DISK_LIVE_IMPL_H

#include "disk/driver.h"
#include "disk/limit.h"
#include "disk/live/live.h"
#include "host/linux/thread.h"

#define DISK_LIVE_PIECE (1u << 20) /* bytes done while nobody writes there */

struct disk_live_ops {
	/*
	 * Does a piece, of which the thread has the range alone. *moved: bytes
	 * that were copied, for the limit.
	 */
	int (*piece)(struct disk_live *live, uint64_t offset, uint64_t length,
		     uint64_t *moved);
	/*
	 * Drained and READY: makes all durable, then puts what the disk goes
	 * on with in its place by disk_live_leave(). *rest: what is to be
	 * closed when it runs again. An error leaves all as it was.
	 */
	int (*finish)(struct disk_live *live, bool keep,
		      struct disk_node **rest, struct disk_error *error);
	/* Drained: the same when it is given up. */
	void (*cancel)(struct disk_live *live, struct disk_node **rest);
};

/* A filter: its file is what the disk had before. */
struct disk_live {
	struct disk_node node;
	const struct disk_live_ops *ops;
	struct block *block;
	struct disk_node *image; /* the disk's, under the filters */
	/* Where the guest's writes go, too, as far as the work has come. */
	struct disk_node *twin;
	_Atomic uint64_t reached; /* bytes before it are done or under way */
	_Atomic uint64_t done;
	_Atomic int error; /* the first one: it is given up */
	_Atomic bool ready;
	struct thread thread;
	uint8_t *buf; /* two pieces, for the thread */
	int (*moved)(void *ctx, const struct disk_node *to); /* or NULL */
	void *moved_ctx;

	pthread_mutex_t mutex; /* guards the rest */
	pthread_cond_t changed;
	bool stop;
	struct disk_meter meter;
};

/* A new one of `size` bytes; NULL: out of memory, which is told. */
void *disk_live_create(size_t size, const struct disk_live_ops *ops,
		       struct block *block, struct disk_error *error);

/* Puts it in place and starts it, no faster than `speed`. An error: it is gone. */
int disk_live_start(struct disk_live *live, uint64_t speed,
		    struct disk_error *error);

/* Drained: `node`, what the disk had or another, takes the filter's place. */
void disk_live_leave(struct disk_live *live, struct disk_node *node);

#endif
