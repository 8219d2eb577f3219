/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long work on the disk of a running VM: mirror, commit, rebase. A filter
 * comes between the disk and its image, and a thread does the work piece by
 * piece; the guest's writes wait while the thread is at their bytes. When all
 * is done the guest does not notice that the disk goes on with another image
 * or stands on another one. Work that fails leaves the disk as it is.
 *
 *  - mirror: the whole content goes to another image, `target`;
 *  - commit: what the disk's image and those below it have above `base` goes
 *    into that one, and the disk goes on with it;
 *  - rebase: the disk's image gets what it needs to stand on another image,
 *    or on none.
 *
 * At each moment the images on the host are sound and give what was flushed.
 * Images below the disk's give what they gave, but for the base of a commit:
 * what it gets is hidden from the disk by the images above until the end, but
 * seen by any other image that stands on it.
 *
 * To be called by one thread at a time.
 */
#ifndef LODGE_DISK_LIVE_LIVE_H
#define LODGE_DISK_LIVE_LIVE_H

#include "disk/block.h"

struct disk_live;

enum disk_live_state {
	DISK_LIVE_WORKS,
	DISK_LIVE_READY,
	DISK_LIVE_FAILED,
};

struct disk_live_status {
	enum disk_live_state state;
	uint64_t done, total; /* bytes of the disk */
	int error;	      /* why it failed */
};

/*
 * Begins to copy `block` to `target`, which has the same size and is the
 * work's when this succeeds. `zeroed`: it reads as zeros so far. `speed`: as
 * of disk_live_speed().
 */
int disk_live_mirror(struct disk_live **live, struct block *block,
		     struct disk_node *target, bool zeroed, uint64_t speed,
		     struct disk_error *error);

/*
 * Begins to move what the disk has above `base`, one of its chain, into that.
 * It is locked for us alone from now on, until the disk is closed. At the end
 * the files of the images above it are removed, for they would give a mixture;
 * `keep`: they stay.
 */
int disk_live_commit(struct disk_live **live, struct block *block,
		     struct disk_node *base, bool keep, uint64_t speed,
		     struct disk_error *error);

/*
 * Begins to make the disk's image independent of what it stands on but for
 * `to`: one of its chain; or another image, which is the work's when this
 * succeeds; or NULL. `path` and `format` of `to` are what is recorded.
 */
int disk_live_rebase(struct disk_live **live, struct block *block,
		     struct disk_node *to, const char *path,
		     const char *format, uint64_t speed,
		     struct disk_error *error);

/*
 * Of a mirror or commit: is told the image that the disk goes on with, all of it
 * on the host's disk by then, before the guest writes there alone and before
 * files go. 0; a negative errno ends the work, and the disk stays where it is.
 */
void disk_live_on_move(struct disk_live *live,
		       int (*moved)(void *ctx, const struct disk_node *to),
		       void *ctx);

/* The image of the disk: what is under the filters. */
struct disk_node *disk_live_image(struct block *block);

void disk_live_look(struct disk_live *live, struct disk_live_status *status);

/* Bytes that are copied in a second from now on, at most; 0: as it comes. */
void disk_live_speed(struct disk_live *live, uint64_t bytes);

/*
 * READY: ends the work as it was meant to; all is flushed before the guest
 * goes on. `keep`: a mirror's disk stays with its image, and the target is
 * closed, a copy as of now. An error leaves all as it was.
 */
int disk_live_finish(struct disk_live *live, bool keep,
		     struct disk_error *error);

/* Ends it; the disk keeps its image and what that stands on. A mirror's target
 * is removed. NULL is fine. */
void disk_live_cancel(struct disk_live *live);

#endif
