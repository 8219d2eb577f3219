/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the VHDX driver share; after [MS-VHDX], "Virtual Hard Disk
 * v2 (VHDX) File Format". All numbers are little-endian; the file consists of
 * regions of whole MiB behind a first MiB of headers.
 */
#ifndef LODGE_DISK_VHDX_VHDX_H
#define LODGE_DISK_VHDX_VHDX_H

#include <pthread.h>

#include "disk/driver.h"
#include "disk/table.h"

#define VHDX_MIB	(1u << 20)
#define VHDX_SECTOR	4096u /* of the headers and the log */
#define VHDX_SIZE_MAX	(64ull << 40)
#define VHDX_PLACE_MAX	(1ull << 47) /* in the file */
#define VHDX_BLOCK_MIN	VHDX_MIB
#define VHDX_BLOCK_MAX	(256u << 20)
#define VHDX_LOG_MAX	(32u << 20) /* that is looked through here */
#define VHDX_REGIONS_AT { 192u << 10, 256u << 10 }
#define VHDX_REGIONS	(64u << 10) /* bytes of a region table */
#define VHDX_METADATA	(64u << 10) /* bytes of the metadata table */
#define VHDX_BITMAP	VHDX_MIB /* bytes of a block of sector bitmaps */
#define VHDX_LOCATOR	8192u /* bytes of a parent locator that are read */

/* Places in a header (section 2.2.2). */
enum {
	VHDX_AT_SUM = 4,
	VHDX_AT_SEQUENCE = 8,
	VHDX_AT_FILE_GUID = 16,
	VHDX_AT_DATA_GUID = 32,
	VHDX_AT_LOG_GUID = 48,
	VHDX_AT_LOG_VERSION = 64,
	VHDX_AT_VERSION = 66,
	VHDX_AT_LOG_LENGTH = 68,
	VHDX_AT_LOG = 72,
};

/* States of a payload block (section 2.5.1.1): bits 0-2 of its entry, which
 * has the place in MiB in bits 20-63. */
enum {
	VHDX_NOT_PRESENT = 0,
	VHDX_UNDEFINED = 1,
	VHDX_ZERO = 2,
	VHDX_UNMAPPED = 3,
	VHDX_PRESENT = 6,
	VHDX_PARTIAL = 7,
};

struct vhdx_region {
	uint64_t at, length;
};

struct vhdx {
	struct disk_node node;
	struct disk_meta meta;
	struct disk_table table;
	struct vhdx_region log, bat, metadata;
	uint64_t size_at;      /* of the disk's size, in the file */
	uint64_t payloads;     /* blocks of the disk */
	uint32_t sector;       /* that the disk shows: 512 or 4096 */
	uint32_t physical;     /* and says that it has */
	uint8_t id[16];	       /* of the disk */
	bool fixed;
	bool differs; /* has a parent */
	struct vhdx_region locator; /* of that, in the file */

	pthread_mutex_t change; /* of the headers; the cache's may be held */
	uint8_t header[VHDX_SECTOR]; /* the newest */
	unsigned int header_slot;    /* where that is */
	_Atomic bool changed;	     /* by this opening: has new GUIDs */

	/* Guarded by the cache's mutex, under which the log is written. */
	uint64_t log_sequence;
	unsigned int log_slot; /* half of the log that is written next */

	pthread_mutex_t bitmaps; /* of their entries; the next come after */
	pthread_mutex_t mutex; /* of the file's end; the cache's comes after */
	bool has_end;
	uint64_t end; /* of all blocks and regions */
};

static inline struct vhdx *vhdx_of(struct disk_node *node)
{
	return (struct vhdx *)node;
}

bool vhdx_is_null(const uint8_t *guid);

/* New GUIDs in the headers, ahead of the first change. */
int vhdx_begin_change(struct vhdx *vhdx);

/* Room at the file's end that reads as zeros. */
int vhdx_take_room(struct vhdx *vhdx, uint64_t size, uint64_t *at);

/* --- header.c ------------------------------------------------------------------- */

/* The newest header that is whole. */
int vhdx_read_header(struct vhdx *vhdx, struct disk_error *error);
/* vhdx->header with the next number, to the slot of the older one; flushed. */
int vhdx_write_header(struct vhdx *vhdx);
/* The regions' places, and what the metadata say of the disk. */
int vhdx_read_regions(struct vhdx *vhdx, struct disk_error *error);
int vhdx_read_metadata(struct vhdx *vhdx, struct disk_error *error);
/* Entries of a table for so many blocks of so many bytes. */
uint64_t vhdx_entries(uint64_t payloads, uint32_t block, uint32_t sector,
		      bool differs);

/* --- parent.c ------------------------------------------------------------------- */

int vhdx_open_parent(struct vhdx *vhdx, const struct disk_open *how,
		     struct disk_error *error);
/* A locator of `parent`, which the image calls `path`: bytes of it, at most
 * `size`; 0: the path is too long. */
uint32_t vhdx_make_locator(uint8_t *to, uint32_t size,
			   const struct vhdx *parent, const char *path);

/* --- differ.c: images that have a parent ----------------------------------------- */

/* Whether the entry `index` of the table is a sector bitmap's. */
bool vhdx_is_bitmap(const struct vhdx *vhdx, uint64_t index);
/* Where that of a block's bitmap lies in the file. */
uint64_t vhdx_bitmap_entry_at(const struct vhdx *vhdx, uint64_t block);
/* Where the bitmaps lie that an entry names; 0: nowhere. -EIO. */
int vhdx_bitmap_place(const struct vhdx *vhdx, const uint8_t *entry,
		      uint64_t *at);
/* Cuts an extent in a block that is present in part to sectors that are, or
 * are the parent's. */
int vhdx_cut(struct vhdx *vhdx, uint64_t offset, unsigned int flags,
	     struct disk_extent *extent);
/* Writes what is the parent's so far, in one block. */
int vhdx_write_absent(struct vhdx *vhdx, uint64_t offset, uint64_t length,
		      struct disk_vec from);
/* Whether blocks may lie in [at, at + length) of the file. */
bool vhdx_fits(const struct vhdx *vhdx, uint64_t at, uint64_t length);

/* --- log.c ---------------------------------------------------------------------- */

/* Does what the log has, and empties it. */
int vhdx_replay(struct vhdx *vhdx, struct disk_error *error);
/* Pages that one entry has room for. */
unsigned int vhdx_log_pages(const struct vhdx *vhdx);
/* struct disk_meta's `log`. */
int vhdx_log_write(void *ctx, struct disk_meta_page *const *page,
		   unsigned int count);
/* Everything that it has was done. */
int vhdx_log_end(struct vhdx *vhdx);

/* --- make.c --------------------------------------------------------------------- */

extern const uint8_t vhdx_bat_guid[16], vhdx_metadata_guid[16];
extern const uint8_t vhdx_item_guids[6][16];
enum { VHDX_ITEM_FILE, VHDX_ITEM_SIZE, VHDX_ITEM_ID, VHDX_ITEM_SECTOR,
       VHDX_ITEM_PHYSICAL, VHDX_ITEM_PARENT };

int vhdx_create(struct disk_node *file, const struct disk_create *how,
		struct disk_error *error);
int vhdx_resize(struct disk_node *node, uint64_t size,
		enum disk_preallocation prealloc, struct disk_error *error);
int vhdx_check(struct disk_node *node, bool repair, struct disk_check *check,
	       struct disk_error *error);

#endif
