/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory with the faults of real ones, for tests of image formats:
 * operations fail, room runs out, and when the power goes whatever was not
 * flushed is there, is not, or is there in part.
 *
 *	struct fake_disk *disk = fake_disk_create();
 *	struct disk_node *leaf = fake_disk_open(disk), *image;
 *
 *	disk_create_on(leaf, &create, &error);
 *	disk_open_on(&image, leaf, &open, &error); (it owns the leaf now)
 *	... disk_write(image, ...), disk_flush(image) ...
 *	struct fake_disk *left = fake_disk_cut(disk, seed);
 *	(open `left` as the next start would, check it, read it back)
 *
 * To cut at every step, set `before`: it is called ahead of each operation
 * that changes something, and may call fake_disk_cut(). What was flushed by a
 * call that had returned by then must be there in each of them.
 *
 * The disk outlives the nodes on it. Any thread may use these; the fields of
 * struct fake_disk are set while none does, or by `before`.
 */
#ifndef LODGE_FAKE_DISK_H
#define LODGE_FAKE_DISK_H

#include <pthread.h>

#include "disk/node.h"

#define FAKE_DISK_SECTOR 512u
#define FAKE_DISK_ROOM	 4096u /* unit of `room` */

/* Kinds of operation. */
#define FAKE_READ    0x01u
#define FAKE_WRITE   0x02u
#define FAKE_ZERO    0x04u
#define FAKE_DISCARD 0x08u
#define FAKE_FLUSH   0x10u
#define FAKE_RESIZE  0x20u

struct fake_disk {
	/* Operations begun, by bit of their kind and together. */
	uint64_t count[6], total;

	/*
	 * Operations of these kinds fail with `error`: the first `after` of
	 * them still succeed, then `times` fail (UINT64_MAX: all). A failed
	 * write may have done a part.
	 */
	unsigned int fail;
	uint64_t after, times;
	int error;

	/* Bytes that the host has for this disk; what needs more fails with
	 * -ENOSPC. UINT64_MAX at first. */
	uint64_t room, used;

	/* Ahead of each operation but reads. */
	void (*before)(struct fake_disk *disk, unsigned int kind, void *ctx);
	void *ctx;

	/* Its own. */
	pthread_mutex_t own, *mutex; /* shared by disks that lose power
				      * together */
	struct fake_bytes *now, *flushed;
	struct fake_change *first, **last; /* since the last flush */
	unsigned int changes;
};

/* Empty; a write beyond the end makes it longer, up to 4 GiB. */
struct fake_disk *fake_disk_create(void);
void fake_disk_free(struct fake_disk *disk);

/* A leaf on it, with the name "fake" and no lock; disk_close() ends it. */
struct disk_node *fake_disk_open(struct fake_disk *disk);

/* The same with how->path as its name, and perhaps readonly. */
struct disk_node *fake_disk_open_as(struct fake_disk *disk,
				    const struct disk_open *how);

/* A leaf on an empty disk that goes with it. */
struct disk_node *fake_disk_open_new(void);

/* The disk has these bytes now, all flushed, and no others: a file in the
 * place of another. */
void fake_disk_replace(struct fake_disk *disk, const void *bytes,
		       uint64_t size);

/*
 * What is left when the power goes now, as a new disk without faults. `seed`:
 * 0: what was flushed, no more (the power goes, the cache is lost);
 * 1: all (the process alone is killed);
 * others: of what was not flushed the first so many changes and a part of the
 * next, or some changes, or some sectors of each, chosen by the seed.
 * Sectors of 512 bytes are whole. For `before`, or while nobody uses the disk.
 */
struct fake_disk *fake_disk_cut(struct fake_disk *disk, uint64_t seed);

#endif
