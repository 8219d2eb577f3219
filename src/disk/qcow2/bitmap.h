/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty bitmaps that qcow2 images keep: which parts of the disk were written
 * since a moment, for backups of what has changed.
 *
 * A bitmap with the flag "auto" follows each write. It does so in memory, from
 * the first write on; until the image is closed the file says that the bitmap
 * is in use, so that one that a crash left is not believed. Writes to what is
 * marked already go in place, past the driver.
 */
#ifndef LODGE_DISK_QCOW2_BITMAP_H
#define LODGE_DISK_QCOW2_BITMAP_H

#include "disk/qcow2/qcow2.h"

#define QCOW2_BITMAP_IN_USE	0x1u
#define QCOW2_BITMAP_AUTO	0x2u
#define QCOW2_BITMAP_COMPATIBLE 0x4u /* usable whatever its extra data is */
#define QCOW2_BITMAP_DIRTY	1u   /* type: dirty tracking */

struct qcow2_bitmap {
	uint64_t table_at;
	uint32_t entries, flags, extra_size;
	uint16_t name_size;
	uint8_t type, granularity; /* granularity: log2 of bytes a bit */
	char *name;
	uint8_t *extra;
	uint8_t *bits; /* while it follows writes; NULL: as in the file */
};

/* --- for their users ---------------------------------------------------------- */

/* A new one, empty, that records from now on. Granularity: bytes a bit. */
int qcow2_bitmap_add(struct disk_node *node, const char *name,
		     uint64_t granularity, struct disk_error *error);
int qcow2_bitmap_remove(struct disk_node *node, const char *name,
			struct disk_error *error);

/* Empty again, and believed again. */
int qcow2_bitmap_clear(struct disk_node *node, const char *name,
		       struct disk_error *error);

/* A copy of the bits, to be freed; bit 0 of a byte is the first. -ESTALE: a
 * crash left it behind, it is not to be believed. */
int qcow2_bitmap_read(struct disk_node *node, const char *name, uint8_t **bits,
		      uint64_t *granularity, struct disk_error *error);

extern const struct disk_bitmap_ops qcow2_bitmap_ops;

/* --- within the driver -------------------------------------------------------- */

void qcow2_bitmap_free(struct qcow2_bitmap *bitmap);

/* The bits as the file has them, in new memory. With `lock`, as the next. */
int qcow2_bitmap_load(struct qcow2 *q, const struct qcow2_bitmap *bitmap,
		      uint8_t **bits);

/* What a bitmap's table refers to, and itself, is let go. */
int qcow2_bitmap_free_table(struct qcow2 *q, uint64_t at, uint32_t entries);

uint64_t qcow2_bitmap_record(const struct qcow2_bitmap *bitmap);

/* Bytes of a bitmap of the disk's size. */
uint64_t qcow2_bitmap_bytes(const struct qcow2 *q,
			    const struct qcow2_bitmap *bitmap);

/* The directory's bytes, q->directory_size of them. */
void qcow2_bitmaps_format(const struct qcow2 *q, uint8_t *to);

#endif
