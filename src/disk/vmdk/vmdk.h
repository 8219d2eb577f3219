/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the VMDK driver share; after VMware's "Virtual Disk Format
 * 5.0". A disk is a row of extents, flat or sparse, in one file or several,
 * that a text describes. A sparse extent has a directory of tables of grains.
 */
#ifndef LODGE_DISK_VMDK_VMDK_H
#define LODGE_DISK_VMDK_VMDK_H

#include <pthread.h>
#include <stdio.h>

#include "disk/driver.h"
#include "disk/table.h"

#define VMDK_SECTOR	512u
#define VMDK_GRAIN	(64u << 10) /* of images made here */
#define VMDK_TABLE	512u	    /* entries of a grain table */
#define VMDK_NO_CID	0xffffffffu
#define VMDK_GD_AT_END	UINT64_MAX
#define VMDK_DESCRIPTOR_MAX (256u << 10)
#define VMDK_EXTENTS_MAX    1024u
#define VMDK_PART	(2ull << 30)	/* bytes of an extent of several */
#define VMDK_SPARSE_MAX (2048ull << 30) /* places are sectors of 32 bits */
#define VMDK_STEM	256u
#define VMDK_NAME	300u

/* Places in the header of a sparse extent; numbers are little-endian, places
 * and sizes in sectors. */
enum {
	VMDK_AT_MAGIC = 0,
	VMDK_AT_VERSION = 4,
	VMDK_AT_FLAGS = 8,
	VMDK_AT_CAPACITY = 12,
	VMDK_AT_GRAIN = 20,
	VMDK_AT_DESCRIPTOR = 28,
	VMDK_AT_DESCRIPTOR_SIZE = 36,
	VMDK_AT_TABLE = 44,
	VMDK_AT_SPARE_DIRECTORY = 48,
	VMDK_AT_DIRECTORY = 56,
	VMDK_AT_OVERHEAD = 64,
	VMDK_AT_UNCLEAN = 72,
	VMDK_AT_LINE_ENDS = 73,
	VMDK_AT_COMPRESSION = 77,
};

#define VMDK_FLAG_LINE_ENDS  0x00001u
#define VMDK_FLAG_SPARE	     0x00002u /* there are two of each table */
#define VMDK_FLAG_ZERO_GRAIN 0x00004u
#define VMDK_FLAG_PACKED     0x10000u
#define VMDK_FLAG_MARKERS    0x20000u

enum { VMDK_FLAT, VMDK_SPARSE, VMDK_ZEROS };

/* A line of the descriptor: what one extent is. */
struct vmdk_line {
	uint64_t size; /* bytes */
	int kind;
	bool readonly;
	char name[256]; /* of its file; no folder in it */
	uint64_t at;	/* flat: byte of the file that it begins with */
};

struct vmdk_descriptor {
	char type[32];
	uint32_t cid, parent_cid;
	size_t cid_at; /* of the number's digits in the text */
	unsigned int cid_digits;
	char parent[512]; /* empty: none */
	struct vmdk_line *line;
	unsigned int lines;
};

struct vmdk_stream;

struct vmdk_extent {
	int kind;
	bool readonly;
	struct disk_node *file; /* owned, unless it is the node's own */
	uint64_t first, size;	/* bytes of the disk */
	uint64_t whole;		/* sparse: bytes that the header says, which
				 * may be more when a resize was cut short */
	uint64_t at;		/* flat: see struct vmdk_line */

	/* Sparse ones: bytes, and places in the file. */
	struct disk_meta meta;
	uint64_t directory, spare; /* spare: 0: there is none */
	uint64_t overhead;	   /* grains lie behind it */
	uint64_t descriptor, descriptor_size;
	uint32_t grain;
	bool zero_grain, packed, fresh;
	pthread_mutex_t mutex; /* of `end` and new tables; the cache's comes
				* after */
	uint64_t end;
};

struct vmdk {
	struct disk_node node;
	struct vmdk_extent *extent;
	unsigned int extents;
	char type[32];
	uint32_t cid;
	uint64_t cid_at; /* in the node's file; 0: is not to be changed */
	unsigned int cid_digits;
	_Atomic bool changed; /* by this opening: has a new CID */
	pthread_mutex_t change;
	struct vmdk_stream *stream; /* being written front to back, or NULL */
};

static inline struct vmdk *vmdk_of(struct disk_node *node)
{
	return (struct vmdk *)node;
}

/* The text, `size` bytes, as what it says; vmdk_descriptor_free() in any
 * case. */
int vmdk_descriptor_read(struct vmdk_descriptor *descriptor, const char *text,
			 size_t size, struct disk_error *error);
void vmdk_descriptor_free(struct vmdk_descriptor *descriptor);

/* --- sparse extents ------------------------------------------------------------- */

bool vmdk_is_sparse(const uint8_t *head, size_t size);

/* Reads the header of extent->file. The size is the header's. */
int vmdk_sparse_open(struct vmdk_extent *extent, struct disk_error *error);

int vmdk_sparse_map(struct vmdk_extent *extent, uint64_t offset,
		    uint64_t length, unsigned int flags,
		    struct disk_extent *found);
int vmdk_sparse_write(struct vmdk_extent *extent, struct disk_node *node,
		      uint64_t offset, uint64_t length, struct disk_vec from);
int vmdk_sparse_read_packed(struct vmdk_extent *extent, uint64_t offset,
			    uint64_t length, struct disk_vec to);

/* A grain at `at` of the file, of `want` bytes unpacked. `sector`: of the
 * disk, which its marker must name. */
int vmdk_unpack(struct disk_node *file, uint64_t at, uint64_t sector,
		uint8_t *grain, size_t want);

int vmdk_sparse_check(struct vmdk_extent *extent, bool repair,
		      struct disk_check *check);

/* --- another size ----------------------------------------------------------------- */

int vmdk_resize(struct disk_node *node, uint64_t size,
		enum disk_preallocation prealloc, struct disk_error *error);

/* One extent, the last of the disk, in its file; not in the descriptor. It
 * knows its new size. */
int vmdk_extent_resize(struct vmdk *vmdk, struct vmdk_extent *extent,
		       uint64_t size);
/* A sparse extent's header says no more than the descriptor. */
int vmdk_extent_trim(struct vmdk *vmdk, struct vmdk_extent *extent);

/* What of the descriptor changes with the size. */
struct vmdk_change {
	uint64_t size;	  /* the disk's */
	unsigned int keep; /* lines of extents; others go */
	uint64_t last;	  /* size of the last that stays */
	/* Lines of new ones, whole; NULL: none. */
	const char *added;
};

/* The descriptor, on the disk. */
int vmdk_write_text(struct vmdk *vmdk, const struct vmdk_change *change);

/* An image of several extents, or of one that is a part of 2 GiB. */
int vmdk_split_resize(struct vmdk *vmdk, uint64_t size,
		      struct disk_error *error);

/* A new CID, ahead of the first change of an opening. */
int vmdk_note_change(struct vmdk *vmdk);

/* Clears the entries of grains in [from, end) of the extent. */
int vmdk_sparse_drop(struct vmdk_extent *extent, uint64_t from, uint64_t end);
/* Room at the extent's end that reads as zeros, on whole grains. */
int vmdk_sparse_room(struct vmdk_extent *extent, uint64_t size, uint64_t *at);

/* --- streamOptimized images being written --------------------------------------- */

int vmdk_stream_open(struct vmdk *vmdk);
void vmdk_stream_close(struct vmdk *vmdk);
int vmdk_stream_map(struct vmdk *vmdk, uint64_t offset, uint64_t length,
		    struct disk_extent *found);
int vmdk_stream_write(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec from);
int vmdk_stream_read(struct vmdk *vmdk, uint64_t offset, uint64_t length,
		     struct disk_vec to);
/* The tables and the footer behind the grains: whole, for as much as there is
 * so far. */
int vmdk_stream_finish(struct vmdk *vmdk);

/* --- making --------------------------------------------------------------------- */

int vmdk_create(struct disk_node *file, const struct disk_create *how,
		struct disk_error *error);

/* The image's name without its folder and suffix, for the descriptor. */
int vmdk_stem(const char *path, char stem[VMDK_STEM], struct disk_error *error);
/* Of extent `number` of a split image, from 1 on. */
void vmdk_extent_name(const char *stem, bool flat, unsigned int number,
		      char name[VMDK_NAME]);
void vmdk_put_extent(FILE *text, bool flat, uint64_t size, const char *name);
/* An empty extent in a file of its own, which stays open. */
int vmdk_make_extent(struct disk_node **extent, const char *path, bool flat,
		     uint64_t size, struct disk_error *error);

#endif
