/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the VHD driver share; after "Virtual Hard Disk Image
 * Format Specification" 1.0 (Microsoft, 2006). All numbers are big-endian.
 */
#ifndef LODGE_DISK_VHD_VHD_H
#define LODGE_DISK_VHD_VHD_H

#include <pthread.h>

#include "disk/driver.h"
#include "disk/table.h"

#define VHD_FOOTER   512u
#define VHD_HEADER   1024u
#define VHD_BLOCK    (2u << 20)
#define VHD_SIZE_MAX (2040ull << 30)
#define VHD_UNUSED   0xffffffffu /* an entry of the table without a block */

/* Places in the footer. */
enum {
	VHD_AT_COOKIE = 0,
	VHD_AT_FEATURES = 8,
	VHD_AT_VERSION = 12,
	VHD_AT_HEADER = 16,
	VHD_AT_TIME = 24, /* seconds since 2000 */
	VHD_AT_CREATOR = 28,
	VHD_AT_CREATOR_VERSION = 32,
	VHD_AT_CREATOR_OS = 36,
	VHD_AT_FIRST_SIZE = 40,
	VHD_AT_SIZE = 48,
	VHD_AT_CYLINDERS = 56,
	VHD_AT_HEADS = 58,
	VHD_AT_SECTORS = 59,
	VHD_AT_TYPE = 60,
	VHD_AT_SUM = 64,
	VHD_AT_ID = 68,
};

enum { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

/* Places in the header of dynamic and differencing images. */
enum {
	VHD_AT_TABLE = 16,
	VHD_AT_HEADER_VERSION = 24,
	VHD_AT_ENTRIES = 28,
	VHD_AT_BLOCK = 32,
	VHD_AT_HEADER_SUM = 36,
	VHD_AT_PARENT_ID = 40,
	VHD_AT_PARENT_TIME = 56,
	VHD_AT_PARENT_NAME = 64,
	VHD_AT_LOCATORS = 576, /* 8 of 24 bytes */
};

#define VHD_PARENT_NAME 512u
#define VHD_LOCATORS	8u
#define VHD_LOCATOR	24u

struct vhd {
	struct disk_node node;
	struct disk_meta meta;
	struct disk_table table;
	uint8_t footer[VHD_FOOTER];
	uint8_t header[VHD_HEADER];
	uint32_t type;
	uint64_t header_at;
	uint32_t entries;
	uint32_t bitmap; /* bytes ahead of each block */
	bool torn;	 /* the footer at the file's end is missing */
	pthread_mutex_t mutex; /* of the file's end; the cache's comes after */
	uint64_t end;	       /* of the blocks: where the footer is */
};

static inline struct vhd *vhd_of(struct disk_node *node)
{
	return (struct vhd *)node;
}

/* One's complement of the sum of all bytes but the sum's own four. */
uint32_t vhd_sum(const uint8_t *bytes, size_t size, size_t sum_at);

/* Cylinders, heads, sectors that a disk of so many sectors shows, to a footer
 * (the specification's appendix). */
void vhd_put_geometry(uint8_t *footer, uint64_t sectors);
uint64_t vhd_geometry_sectors(const uint8_t *footer);

/* Puts the sum in and writes the footer at the file's end; the copy at its
 * beginning, where the type has one, is the caller's. */
int vhd_write_footer(struct vhd *vhd, uint64_t at);

/* Where a block goes that is to lie behind `end`: its data are aligned. */
uint64_t vhd_align_block(const struct vhd *vhd, uint64_t end);

/* Whether the block with this entry lies where blocks may. */
bool vhd_block_fits(const struct vhd *vhd, uint32_t entry);

/* The driver's operations in make.c. */
int vhd_create(struct disk_node *file, const struct disk_create *how,
	       struct disk_error *error);
int vhd_resize(struct disk_node *node, uint64_t size,
	       enum disk_preallocation prealloc, struct disk_error *error);
int vhd_check(struct disk_node *node, bool repair, struct disk_check *check,
	      struct disk_error *error);

#endif
