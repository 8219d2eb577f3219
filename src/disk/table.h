/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table in an image's file with an entry for each block of the disk, and
 * what formats that have one do the same way.
 */
#ifndef LODGE_DISK_TABLE_H
#define LODGE_DISK_TABLE_H

#include "disk/meta.h"
#include "disk/node.h"

struct disk_place {
	enum disk_kind kind;
	uint64_t at; /* DATA: the block's place in `in`; PACKED: likewise */
};

struct disk_table {
	struct disk_meta *meta;
	struct disk_node *in; /* what the blocks lie in */
	uint64_t offset;      /* of the first entry, in the file */
	uint64_t first;	      /* byte of the disk that the table begins with */
	uint32_t block;	      /* bytes of a block */
	unsigned int entry;   /* bytes of an entry, at most 8 */
	/* Numbers of entries between block entries: VHDX has others between;
	 * 0: none. */
	uint64_t interleave;
	/* What an entry says; -EIO when it makes no sense. */
	int (*place)(void *ctx, const uint8_t *entry,
		     struct disk_place *place);
	void *ctx;
};

/* Where a block's entry lies in the file. */
uint64_t disk_table_at(const struct disk_table *table, uint64_t block);

/* Driver's map(): neighbours in the table that are neighbours in the file, or
 * not there, are one extent. */
int disk_table_map(const struct disk_table *table, uint64_t offset,
		   uint64_t length, unsigned int flags,
		   struct disk_extent *extent);

/*
 * Drivers' zero() and discard() where blocks keep their place: what has none
 * stays so, what has one is zeroed there. -ENOTSUP where zeros have to be
 * written: what is packed, or has a backing below.
 */
int disk_extents_zero(struct disk_node *node, uint64_t offset, uint64_t length,
		      unsigned int flags);
int disk_extents_discard(struct disk_node *node, uint64_t offset,
			 uint64_t length);

/*
 * For resizing: what a node that keeps places has in [from, end) reads as
 * zeros, behind the disk's end also.
 */
int disk_zero_behind(struct disk_node *node, uint64_t from, uint64_t end);

/* Copies room of a file to other room of it that nothing uses; zeros become
 * holes. The two do not meet. */
int disk_copy_room(struct disk_node *file, uint64_t from, uint64_t to,
		   uint64_t size);

/* Whether a backing file would show behind the end of a node that grows; then
 * there is an error. */
int disk_check_growth(const struct disk_node *node, struct disk_error *error);

/*
 * Makes room of `size` bytes at `offset` of a file, at its end or in it, that
 * reads as zeros. Callers see to it that one does so at a time.
 */
int disk_make_room(struct disk_node *file, uint64_t offset, uint64_t size);

/* Tells a finding of a check. */
void disk_check_say(struct disk_check *check, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
