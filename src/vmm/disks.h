/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a running machine, by their path or the name that they were
 * attached by, and the long work on one of them (disk/live/live.h): one at a time.
 * All of it on the loop's thread.
 */
#ifndef LODGE_VMM_DISKS_H
#define LODGE_VMM_DISKS_H

#include <jansson.h>

#include "disk/live/live.h"
#include "vmm/error.h"

struct hotplug;
struct media;

enum disks_work {
	DISKS_MIRROR,
	DISKS_COMMIT,
	DISKS_REBASE,
};

struct disks {
	struct media *media;
	struct hotplug *hotplug;
	struct disk_live *live; /* NULL: no work is under way */
	enum disks_work work;
	struct block *block; /* its disk */
	uint64_t speed;	     /* bytes a second; 0: no limit */
	char *target;	     /* what the disk is to go to; NULL: nothing */
};

enum disks_outcome {
	DISKS_DONE,
	DISKS_NOT_FOUND, /* no such disk, or nothing under way */
	DISKS_BUSY,	 /* work is under way; or not ready */
	DISKS_FAILED,
};

/* How work ends. */
enum disks_end {
	DISKS_FINISH, /* as it was meant to */
	DISKS_KEEP,   /* mirror: the new image is a copy as of now */
	DISKS_CANCEL, /* the disk stays as it is */
};

/* What disks_begin() is to do; of paths all are absolute but `backing`. */
struct disks_task {
	enum disks_work work;
	const char *disk; /* NULL: the only one */
	uint64_t speed;	  /* bytes a second; 0: as it comes */
	/* mirror: the new image */
	const char *target, *format;
	/* commit: one of the chain; NULL: the next. Keep what is above it. */
	const char *base;
	bool keep;
	/* rebase: as it is recorded; NULL: none */
	const char *backing, *backing_format;
};

enum disks_outcome disks_begin(struct disks *disks,
			       const struct disks_task *task,
			       struct vmm_error *error);

/* Another speed for the work under way. */
enum disks_outcome disks_speed(struct disks *disks, uint64_t speed,
			       struct vmm_error *error);

enum disks_outcome disks_end(struct disks *disks, enum disks_end end,
			     struct vmm_error *error);

/* One of struct disk_limits, which a request may leave as it is. */
struct disks_limits {
	bool iops, bps, burst; /* which to change */
	struct disk_limits to;
};

/* Changes limits of the disk; they are in `now` then. */
enum disks_outcome disks_limit(struct disks *disks, const char *disk,
			       const struct disks_limits *change,
			       struct disk_limits *now,
			       struct vmm_error *error);

/* "state": none, works, ready or failed; work, disk, target, done, total,
 * speed, error. */
json_t *disks_work_json(const struct disks *disks);

/* The machine's disks but for drives: a list of objects with path, format,
 * size, chain and, of an attached one, name. */
json_t *disks_json(const struct disks *disks);

/* What the guest has asked of each since it was opened, likewise. */
json_t *disks_figures(const struct disks *disks);

/* Before the disk is closed: ends work on it. NULL: on any. */
void disks_forget(void *disks, struct block *block);

#endif
