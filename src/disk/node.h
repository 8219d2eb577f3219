/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block graph. Every image is a node: a leaf holds bytes (a file, a
 * device, a server), any other gives the bytes of its `file` a meaning (raw,
 * qcow2, luks, ...) and reads its `backing` where it has nothing of its own.
 *
 * All calls wait until they are done, and any number of threads may call at
 * once: a VM's disk serves its guest by threads of its own (disk/block.h) and
 * takes a short cut where a request needs none. Functions give 0 or a negative
 * errno: -EIO for what cannot be read or makes no sense, -ENOSPC when the host
 * is full (the same request may work later), -EROFS, -ENOTSUP, -EINVAL for a
 * range that leaves the node.
 */
#ifndef LODGE_DISK_NODE_H
#define LODGE_DISK_NODE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/error.h"
#include "disk/join.h"
#include "disk/range.h"
#include "disk/vec.h"

struct disk_driver;

struct disk_node {
	const struct disk_driver *driver;
	char *name; /* the path or address that it was opened by */
	_Atomic uint64_t size; /* bytes that its reader sees */
	uint32_t cluster; /* unit of allocation: a power of two; 0: none */
	bool readonly;
	bool grows;  /* leaf: a write beyond the end makes it longer */
	bool instant; /* leaf: in memory, no call waits for a device */
	uint32_t physical; /* leaf: best unit of access; 0: nothing special */
	bool encrypted; /* by a passphrase of its own */
	bool stream; /* new: is written by disk_write_packed() only, front to
		      * back */
	struct disk_node *file;	   /* owned; NULL: a leaf */
	struct disk_node *backing; /* owned; may be NULL, and shorter */
	char *parent; /* what a format that has one kind of backing file calls
		       * it, for disk_info(); NULL: none */
	struct disk_ranges ranges;
	struct disk_join flushes;
};

/* --- opening and making ------------------------------------------------------- */

enum disk_cache {
	DISK_CACHE_WRITEBACK,	 /* the host's page cache; flushes are heeded */
	DISK_CACHE_NONE,	 /* past the page cache (O_DIRECT) */
	DISK_CACHE_WRITETHROUGH, /* every write is flushed */
	DISK_CACHE_UNSAFE,	 /* flushes are not heeded */
};

/* By name: "writeback", "none", ...; false: there is none called so. */
bool disk_cache_find(const char *name, enum disk_cache *cache);
const char *disk_cache_name(enum disk_cache cache);

/* A passphrase: the caller's memory. */
struct disk_secret {
	const void *data;
	size_t size;
	/* Of the next encrypted image below; NULL: this one is, too. */
	const struct disk_secret *next;
};

struct disk_open {
	const char *path;
	const char *format; /* a driver's name; NULL: as the path's ending says,
			     * raw without one. Never as the content says. */
	const char *format_option; /* by which users say it, up to the name;
				    * NULL: "format=" of a machine's disk */
	bool readonly;
	bool unlocked;	/* look only, even when others use it */
	bool alone;	/* opens no backing file: its holes read as zeros */
	bool repair;	/* for disk_check(): damage is no reason to refuse */
	bool sealed;	/* encrypted content stays so when there is no secret */
	const struct disk_secret *secret; /* NULL: none; for the call only */
	enum disk_cache cache;
	bool copies; /* disk_block_open(): see disk/copy_on_read.h */
	/* Folders that backing files may lie in besides the image's own, and
	 * addresses that they may be at. */
	const char *const *folders;
	unsigned int folder_count;
	const char *named; /* one more such address; NULL: none */
	const struct disk_open *above; /* whose backing this is; callers: NULL */
};

/*
 * Opens an image with all that it stands on, and locks it: for us alone, or
 * with others that read when `readonly`. disk_close() ends it.
 */
int disk_open(struct disk_node **node, const struct disk_open *how,
	      struct disk_error *error);

/*
 * The same on a leaf that is open already (memory, a server): it is the
 * image's when this succeeds. how->path is what the image is called.
 */
int disk_open_on(struct disk_node **node, struct disk_node *file,
		 const struct disk_open *how, struct disk_error *error);

/* Flushes what the driver holds back, gives everything back. NULL is fine. */
void disk_close(struct disk_node *node);

/* What opens the images below `node`, of what opened it. */
const struct disk_secret *disk_secret_below(const struct disk_node *node,
					    const struct disk_secret *secret);

/* Removes the image's files; it stays open until disk_close(). */
void disk_remove(struct disk_node *node);

/*
 * A node that was opened read-only, and that nobody uses meanwhile, may be
 * written from now on; another one may take its place. An error leaves it to
 * be read as before.
 */
int disk_make_writable(struct disk_node **node, struct disk_error *error);

struct disk_create {
	const char *path;
	const char *format;
	uint64_t size; /* bytes, a multiple of 512; 0: the backing file's */
	const char *backing;	    /* as it is to be recorded; NULL: none */
	const char *backing_format; /* NULL: as its name's ending says */
	/* "name=value" each, as the driver's table of options has them. */
	const char *const *options;
	unsigned int option_count;
	const struct disk_secret *secret; /* of an encrypted image, then those
					   * of what it stands on */
	/* Those alone, where formats ask the backing file what it is. */
	const struct disk_secret *backing_secret;
	const char *const *folders; /* as in struct disk_open */
	unsigned int folder_count;
};

/* Makes an image where there is nothing yet; a failure leaves nothing. */
int disk_create(const struct disk_create *how, struct disk_error *error);

/* Makes it in a leaf that is empty and stays the caller's. */
int disk_create_on(struct disk_node *file, const struct disk_create *how,
		   struct disk_error *error);

/* The value of option `name`, or NULL. */
const char *disk_create_option(const struct disk_create *how,
			       const char *name);

/* The bytes of option `name`, "65536", "64K", "1M" or "2G"; `fallback` when it
 * is not given, 0 when it is none of these. */
uint64_t disk_create_size(const struct disk_create *how, const char *name,
			  uint64_t fallback);

/* The driver called so, or NULL; driver `index` of all, NULL behind them. */
const struct disk_driver *disk_driver_find(const char *name);
const struct disk_driver *disk_driver_at(unsigned int index);

/* The driver that a path's ending names; NULL: none does. */
const struct disk_driver *disk_driver_by_path(const char *path);

/* --- bytes ---------------------------------------------------------------------- */

int disk_read(struct disk_node *node, uint64_t offset, uint64_t length,
	      struct disk_vec to);
int disk_write(struct disk_node *node, uint64_t offset, uint64_t length,
	       struct disk_vec from);

/* The same with one piece of memory. */
int disk_read_bytes(struct disk_node *node, uint64_t offset, void *buf,
		    size_t size);
int disk_write_bytes(struct disk_node *node, uint64_t offset, const void *buf,
		     size_t size);

/*
 * Writes one cluster compressed, or the node's last bytes, where nothing was
 * written yet. -ENOTSUP: the format does not compress.
 */
int disk_write_packed(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec from);

/* Writes zeros as bytes, whatever the format could do instead. */
int disk_write_zeros(struct disk_node *node, uint64_t offset, uint64_t length);

#define DISK_UNMAP 0x1u /* disk_zero(): room may be given back */

/* Reads as zeros from now on. */
int disk_zero(struct disk_node *node, uint64_t offset, uint64_t length,
	      unsigned int flags);

/* The content matters no more: zeros, or what was there. */
int disk_discard(struct disk_node *node, uint64_t offset, uint64_t length);

/* What was written before the call survives a loss of power. */
int disk_flush(struct disk_node *node);

/* --- what lies where ------------------------------------------------------------- */

enum disk_kind {
	DISK_HOLE,   /* not in this node: the backing's bytes, else zeros */
	DISK_ZERO,   /* zeros that take no room */
	DISK_DATA,   /* plain bytes in a node below */
	DISK_PACKED, /* compressed or encrypted: only the driver can read it */
};

struct disk_extent {
	enum disk_kind kind;
	bool in_place; /* DATA: may be written where it lies, by anybody */
	uint64_t length;
	struct disk_node *in; /* DATA: the node that has it; NULL: a leaf's */
	uint64_t at;	      /* DATA: there; PACKED: place in the file */
};

#define DISK_NOWAIT 0x2u /* -EAGAIN rather than waiting for anything */
#define DISK_SPARSE 0x4u /* look for holes in files below, too */

/*
 * What begins at `offset` and how far that goes, at most `length` bytes. Asks
 * this node only, not its backing. Flags: DISK_NOWAIT, DISK_SPARSE.
 */
int disk_map(struct disk_node *node, uint64_t offset, uint64_t length,
	     unsigned int flags, struct disk_extent *extent);

/* Bytes that the node and what is below it take on the host; not backing. */
uint64_t disk_allocated(struct disk_node *node);

/* --- care ------------------------------------------------------------------------ */

enum disk_preallocation {
	DISK_PREALLOC_OFF,
	DISK_PREALLOC_METADATA,
	DISK_PREALLOC_FALLOC, /* room reserved on the host */
	DISK_PREALLOC_FULL,   /* written */
};

/* Grows with zeros, or cuts. `size`: a multiple of 512. */
int disk_resize(struct disk_node *node, uint64_t size,
		enum disk_preallocation prealloc, struct disk_error *error);

/* What the format knows of this image beyond struct disk_node: a new object,
 * with names as in `lodge disk info --json`. */
json_t *disk_info(struct disk_node *node);

struct disk_check {
	uint64_t clusters, allocated, compressed;
	uint64_t corruptions; /* data is or may be lost */
	uint64_t leaks;	      /* room that nothing uses */
	uint64_t corruptions_fixed, leaks_fixed;
	/* Told a line for each finding; may be NULL. */
	void (*say)(void *ctx, const char *line);
	void *ctx;
};

/* Looks for damage; mends what can be when `repair`. An error is one that
 * ended the check; findings are in `check`. -ENOTSUP: nothing to check. */
int disk_check(struct disk_node *node, bool repair, struct disk_check *check,
	       struct disk_error *error);

struct disk_snapshot {
	char id[32], name[256];
	uint64_t date_ns;  /* since 1970 */
	uint64_t size;	   /* of the disk then */
	uint64_t vm_state; /* bytes of machine state kept with it */
};

/* Internal snapshots; `id_or_name` fits one of them. -ENOTSUP. */
int disk_snapshot_list(struct disk_node *node, struct disk_snapshot **list,
		       unsigned int *count); /* free() the list */
int disk_snapshot_create(struct disk_node *node, const char *name,
			 struct disk_error *error);
int disk_snapshot_apply(struct disk_node *node, const char *id_or_name,
			struct disk_error *error);
int disk_snapshot_delete(struct disk_node *node, const char *id_or_name,
			 struct disk_error *error);

/* What is written since a moment, as the image keeps it. */
struct disk_bitmap {
	char name[1024];
	uint64_t granularity; /* bytes a bit */
	bool recording;
	bool lost; /* not to be believed: a crash left it behind */
};

/* -ENOTSUP: the format has none. */
int disk_bitmap_list(struct disk_node *node, struct disk_bitmap **list,
		     unsigned int *count); /* free() the list */
int disk_bitmap_create(struct disk_node *node, const char *name,
		       uint64_t granularity, struct disk_error *error);
int disk_bitmap_delete(struct disk_node *node, const char *name,
		       struct disk_error *error);
/* Empty again, and believed again. */
int disk_bitmap_clear(struct disk_node *node, const char *name,
		      struct disk_error *error);
/* Marks in `name` what is marked in `from`. */
int disk_bitmap_merge(struct disk_node *node, const char *name,
		      const char *from, struct disk_error *error);
/* A copy of the bits, to be freed; bit 0 of a byte is the first. */
int disk_bitmap_read(struct disk_node *node, const char *name, uint8_t **bits,
		     uint64_t *granularity, struct disk_error *error);

/* Another passphrase of an encrypted image; one less, but not the last.
 * -ENOTSUP, -EACCES: it is none of them. */
int disk_add_key(struct disk_node *node, const struct disk_secret *secret,
		 struct disk_error *error);
int disk_remove_key(struct disk_node *node, const struct disk_secret *secret,
		    struct disk_error *error);

/*
 * Records another backing file (NULL: none). The content is not looked at: who
 * calls sees to it that reads give the same. -ENOTSUP.
 */
int disk_set_backing(struct disk_node *node, const char *path,
		     const char *format, struct disk_error *error);

#endif
