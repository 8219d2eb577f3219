/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long work on images: copy, compare, commit, rebase. Each runs in the
 * caller's thread with helpers of its own, tells how far it is, and ends with
 * -ECANCELED soon after it was told to.
 */
#ifndef LODGE_DISK_JOB_H
#define LODGE_DISK_JOB_H

#include "disk/node.h"

/* Zero-initialised; any thread may look and cancel. */
struct disk_job {
	_Atomic uint64_t done, total; /* bytes of the disk */
	/* All before this byte is written (not: flushed). */
	_Atomic uint64_t settled;
	_Atomic bool cancel;
};

struct disk_copy {
	struct disk_node *from, *to; /* `to` is at least as large */
	/* Only what `from` has above this one of its chain; NULL: all. */
	const struct disk_node *base;
	uint64_t start; /* what is before it is there already */
	bool zeroed;	/* `to` reads as zeros wherever nothing is written */
	bool packed;	/* compressed */
	unsigned int threads; /* 0: as many as there are processors */
};

/* Copies content; zeros take no room in `to` where they need not. */
int disk_copy(const struct disk_copy *copy, struct disk_job *job,
	      struct disk_error *error);

/*
 * Compares content; a longer one must have zeros beyond the other's end. 0:
 * the same; 1: *differs is the first byte that is not.
 */
int disk_compare(struct disk_node *a, struct disk_node *b, uint64_t *differs,
		 struct disk_job *job, struct disk_error *error);

/*
 * Makes `node` give the same content on `to` (NULL: on nothing) that it gives
 * now: what differs is copied into it. The caller records `to` afterwards by
 * disk_set_backing().
 */
int disk_rebase(struct disk_node *node, struct disk_node *to,
		struct disk_job *job, struct disk_error *error);

/*
 * The same for one extent that begins at `offset`, of at most *length bytes,
 * which nobody else uses; *length: how far it went. `buf` has room for twice
 * that many, *moved: bytes that were copied are added to it.
 */
int disk_rebase_extent(struct disk_node *node, struct disk_node *to,
		       uint64_t offset, uint64_t *length, uint8_t *buf,
		       uint64_t *moved);

#endif
