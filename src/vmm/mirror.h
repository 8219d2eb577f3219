/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running machine's disk is copied to another image (disk/mirror.h): one at
 * a time, by its path or the name that it was attached by. All of it on the
 * loop's thread.
 */
#ifndef LODGE_VMM_MIRROR_H
#define LODGE_VMM_MIRROR_H

#include <jansson.h>

#include "disk/mirror.h"
#include "vmm/error.h"

struct hotplug;
struct media;

struct mirror {
	struct media *media;
	struct hotplug *hotplug;
	struct disk_mirror *copy; /* NULL: none under way */
	struct block *block;	  /* its disk */
	char *target;
};

enum mirror_outcome {
	MIRROR_DONE,
	MIRROR_NOT_FOUND, /* no such disk */
	MIRROR_BUSY,	  /* one is under way; or not ready */
	MIRROR_FAILED,
};

/* How one ends. */
enum mirror_end {
	MIRROR_MOVE,   /* the disk goes on with the new image */
	MIRROR_KEEP,   /* the new image is a copy as of now */
	MIRROR_CANCEL, /* the new image is removed */
};

/* `disk` NULL: the only one. `how` says the new image's path and format; its
 * size is the disk's. */
enum mirror_outcome mirror_begin(struct mirror *mirror, const char *disk,
				 const struct disk_create *how,
				 struct vmm_error *error);

enum mirror_outcome mirror_finish(struct mirror *mirror, enum mirror_end end,
				  struct vmm_error *error);

/* "state": none, copies, ready or failed; disk, target, done, total. */
json_t *mirror_json(const struct mirror *mirror);

/* The machine's disks but for drives: a list of objects with path, format,
 * size and, of an attached one, name. */
json_t *mirror_disks(const struct mirror *mirror);

/* Before the disk is closed: ends a copy of it. NULL: of any. */
void mirror_forget(void *mirror, struct block *block);

#endif
