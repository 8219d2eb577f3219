/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running VM's disk moves to another image. A filter comes between the
 * disk and its image: what the guest writes goes to both, while a thread
 * copies the rest piece by piece. When all is there the disk can go on with
 * the new image alone. A target that fails is given up; the guest does not
 * notice.
 *
 * To be called by one thread at a time.
 */
#ifndef LODGE_DISK_MIRROR_H
#define LODGE_DISK_MIRROR_H

#include "disk/block.h"

struct disk_mirror;

enum disk_mirror_state {
	DISK_MIRROR_COPIES,
	DISK_MIRROR_READY, /* both images have the same content */
	DISK_MIRROR_FAILED,
};

struct disk_mirror_status {
	enum disk_mirror_state state;
	uint64_t done, total; /* bytes */
	int error;	      /* of the target or a read, when it failed */
};

/*
 * Begins to copy `block` to `target`, which has the same size and is the
 * mirror's when this succeeds. `zeroed`: it reads as zeros so far.
 */
int disk_mirror_start(struct disk_mirror **mirror, struct block *block,
		      struct disk_node *target, bool zeroed,
		      struct disk_error *error);

void disk_mirror_look(struct disk_mirror *mirror,
		      struct disk_mirror_status *status);

/*
 * READY: flushes the target. It is the disk's then and the old image is
 * closed; or, unless `move`, the target is closed, a copy as of now. The
 * mirror has ended. An error leaves all as it was.
 */
int disk_mirror_finish(struct disk_mirror *mirror, bool move,
		       struct disk_error *error);

/* Ends it; the disk keeps its old image. NULL is fine. */
void disk_mirror_cancel(struct disk_mirror *mirror);

#endif
