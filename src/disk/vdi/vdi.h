/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the VDI driver share. VDI has no specification; this is
 * after what VirtualBox and QEMU make.
 */
#ifndef LODGE_DISK_VDI_VDI_H
#define LODGE_DISK_VDI_VDI_H

#include <pthread.h>

#include "disk/driver.h"
#include "disk/table.h"

#define VDI_HEADER     512u
#define VDI_BLOCKS_MAX (1u << 28) /* what the bitmap of a check has room for */
#define VDI_DATA_ALIGN (1u << 20)

/* Places in the header, which is one sector; numbers are little-endian. */
enum {
	VDI_AT_TEXT = 0,
	VDI_AT_SIGNATURE = 0x40,
	VDI_AT_VERSION = 0x44,
	VDI_AT_HEADER_SIZE = 0x48,
	VDI_AT_TYPE = 0x4c,
	VDI_AT_TABLE = 0x154,
	VDI_AT_DATA = 0x158,
	VDI_AT_SECTOR_SIZE = 0x168,
	VDI_AT_DISK_SIZE = 0x170,
	VDI_AT_BLOCK_SIZE = 0x178,
	VDI_AT_BLOCK_EXTRA = 0x17c,
	VDI_AT_BLOCKS = 0x180,
	VDI_AT_COUNT = 0x184,
	VDI_AT_UUID = 0x188,
	VDI_AT_UUID_CHANGE = 0x198,
	VDI_AT_UUID_PARENT = 0x1a8,
	VDI_AT_UUID_PARENT_CHANGE = 0x1b8,
	VDI_AT_LCHS_SECTOR_SIZE = 0x1d4,
};

/* Entries that are no number of a block. */
#define VDI_FREE 0xffffffffu
#define VDI_ZERO 0xfffffffeu

struct vdi {
	struct disk_node node;
	struct disk_meta meta;
	struct disk_table table;
	uint64_t data; /* where the blocks begin */
	uint32_t blocks;
	bool is_static;
	pthread_mutex_t mutex; /* of what follows; the cache's comes after */
	bool counted;
	uint32_t next;	 /* beyond the highest number in use */
	uint32_t gap;	 /* none before this one */
	uint8_t *used;	 /* a bit for each below `next`; NULL: no gaps */
};

static inline struct vdi *vdi_of(struct disk_node *node)
{
	return (struct vdi *)node;
}

/*
 * Numbers that the file has room for. Those in use are below the count of the
 * disk's blocks, but for a while when a full image gets a longer table.
 */
uint32_t vdi_numbers(const struct vdi *vdi);

/* Calls for every entry of the file's table that is a number. */
typedef void (*vdi_entry_fn)(void *ctx, uint32_t block, uint32_t number);
int vdi_each_entry(struct vdi *vdi, vdi_entry_fn call, void *ctx);

/* The place of an entry's block; -EIO: it lies outside of the file. */
int vdi_place(void *ctx, const uint8_t *entry, struct disk_place *place);

/* --- the numbers in use; alone in the node, or with the mutex held -------------- */

/* Learns which they are, unless they are known. */
int vdi_count(struct vdi *vdi);
/* They are to be learned anew. */
void vdi_forget_count(struct vdi *vdi);
/* The lowest number in a gap, now in use; false: there is none. */
bool vdi_take_gap(struct vdi *vdi, uint32_t *number);
/* The header's count is to be `next`; goes with the next flush. */
int vdi_set_count(struct vdi *vdi);
int vdi_set_entry(struct vdi *vdi, uint64_t block, uint32_t number);

/* --- another size, and checks --------------------------------------------------- */

int vdi_resize(struct disk_node *node, uint64_t size,
	       enum disk_preallocation prealloc, struct disk_error *error);

/* Blocks without gaps, and the file ends behind the last. */
int vdi_compact(struct vdi *vdi);

int vdi_check(struct disk_node *node, bool repair, struct disk_check *check,
	      struct disk_error *error);

#endif
