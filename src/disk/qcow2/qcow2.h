/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open qcow2 image, shared by the files of this folder.
 *
 * What refers to what: header -> L1 -> L2 -> clusters, and header -> refcount
 * table -> refcount blocks, which count the references to every cluster. At
 * every moment the file on the disk must hold no reference to a cluster that
 * is not counted or not written; counts that are too high are leaks and do no
 * harm. So there is an order, kept by qcow2_flush():
 *
 *  1. Data and new L2 tables are written when they are made, nothing refers
 *     to them yet. Counts, the refcount table's entries behind their blocks;
 *     wait until the disk has all that.
 *  2. Changed L2 tables and the L1 table's entries; wait.
 *  3. Only now are clusters that lost a reference counted down (until then
 *     they are `freed`), and may be used again.
 *
 * Changes of L2 tables and refcount blocks stay in the cache until a flush,
 * or until there are many. Header changes are written at once.
 *
 * Locks: `flushing` (may be taken again by who has it) before `lock` before
 * `unpack_lock`. `lock` guards all that is here but what is
 * set while opening. Guest clusters are guarded by node.c's ranges.
 */
#ifndef LODGE_DISK_QCOW2_QCOW2_H
#define LODGE_DISK_QCOW2_QCOW2_H

#include <pthread.h>

#include "disk/driver.h"
#include "disk/qcow2/format.h"
#include "disk/wire.h"

/* A part of an L2 table or refcount block. */
struct qcow2_slice {
	struct qcow2_slice *next; /* of the same hash */
	uint64_t at;		  /* in the file; 0: holds nothing */
	uint8_t *bytes;
	bool counts;  /* of a refcount block, not of an L2 table */
	bool dirty;   /* differs from the file */
	bool writing; /* a flush writes what it was; stays until then */
	bool used;    /* since the hand last came by */
};

struct qcow2_cache {
	struct qcow2_slice **slices, **hash;
	unsigned int count, room, limit, hand, dirty, buckets;
	uint32_t size; /* bytes of a slice */
};

/* A table that is in memory as a whole, and which sectors of it are dirty. */
struct qcow2_table {
	uint64_t *entry; /* host byte order */
	uint64_t at;	 /* in the file */
	uint32_t entries;
	uint64_t *dirty; /* bits of sectors of 64 entries */
	bool any_dirty;
};

/* Clusters that lost a reference. */
struct qcow2_freed {
	uint64_t cluster, count;
	bool give_back; /* to the host when nothing refers to them */
};

struct qcow2_freed_list {
	struct qcow2_freed *item;
	size_t count, room;
};

/* A set of the clusters that hold tables: nothing else may be written there. */
struct qcow2_set {
	uint64_t *key; /* cluster + 1; 0: free */
	uint64_t count, room;
};

struct qcow2_ext {
	uint32_t type, size;
	uint8_t *data;
};

struct qcow2_snapshot {
	uint64_t l1_at;
	uint32_t l1_entries;
	char *id, *name;
	uint16_t id_size, name_size;
	uint32_t seconds, nanoseconds;
	uint64_t clock_ns;	  /* how long the guest had run */
	uint64_t vm_state, size;
	uint32_t extra_size;
	uint8_t *extra;		  /* as it was read */
};

struct qcow2_header {
	unsigned int version;
	uint64_t backing, size, l1_at, reftable_at, snapshots_at;
	uint32_t backing_size, crypt, l1_entries, reftable_clusters;
	uint32_t snapshot_count, length;
	uint64_t incompatible, compatible, autoclear;
	unsigned int cluster_bits, refcount_order;
	unsigned int compression;
};

struct qcow2 {
	struct disk_node node;
	struct disk_node *store; /* what guest clusters lie in: the file, or */
	bool external;		 /* a data file of its own */
	struct disk_node *data;	 /* the same, decrypted */
	struct qcow2_crypt *crypt; /* NULL: is not encrypted */
	uint64_t crypt_at, crypt_size; /* the LUKS header's clusters */
	uint32_t cluster_size;
	unsigned int l2_bits;	 /* entries of an L2 table */
	unsigned int entry_size; /* of L2 tables: 8, 16 when extended */
	unsigned int sub_bits;	 /* bytes that are there or not by themselves */
	unsigned int ref_bits;	 /* counts in a refcount block */

	pthread_mutex_t flushing, lock;
	struct qcow2_header header;
	uint8_t *head; /* the header and its fields that we do not know */
	struct qcow2_ext *ext;
	unsigned int exts;
	char *backing_path, *backing_format, *data_path;
	struct qcow2_snapshot *snapshots;
	struct qcow2_bitmap *bitmaps; /* that are believed */
	uint32_t bitmap_count;
	uint64_t directory_at, directory_size; /* of bitmaps */
	bool bitmaps_changed; /* the directory is not as in the file */

	struct qcow2_cache cache;
	struct qcow2_table l1, reftable;
	struct qcow2_set tables;
	struct qcow2_freed_list freed;
	/*
	 * Clusters: below `scan` none is free; from `end` on all are, and from
	 * `clean` on the file reads as zeros. `end` is 0 until it is known.
	 */
	uint64_t scan, end, clean;
	bool started; /* the header says that it is written to */
	bool corrupt; /* the tables contradict themselves: no more writing */

	/* Where the next compressed cluster goes, up to a cluster's end. */
	uint64_t packed_at, packed_end;

	pthread_mutex_t unpack_lock;
	uint64_t unpacked_entry; /* what `unpacked` was; 0: nothing */
	uint8_t *unpacked;
};

static inline struct qcow2 *qcow2_of(struct disk_node *node)
{
	return (struct qcow2 *)node;
}

static inline uint64_t qcow2_round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) & ~(unit - 1);
}

static inline bool qcow2_extended(const struct qcow2 *q)
{
	return q->header.incompatible & QCOW2_EXTENDED_L2;
}

/* --- header.c --------------------------------------------------------------- */

/* Reads and checks the header and its extensions. */
int qcow2_header_load(struct qcow2 *q, struct disk_node *file,
		      struct disk_error *error);
void qcow2_header_free(struct qcow2 *q);

/* Writes the fields that may change; they are on the disk then. With `lock`. */
int qcow2_header_store(struct qcow2 *q);

/* Writes header, extensions and names anew; when `durable` so that a loss of
 * power leaves the old ones or the new. With `lock`. */
int qcow2_header_rewrite(struct qcow2 *q, bool durable);

/* Replaces, adds, or with `data` NULL removes an extension in memory. */
int qcow2_ext_set(struct qcow2 *q, uint32_t type, const void *data,
		  uint32_t size);
const struct qcow2_ext *qcow2_ext_find(const struct qcow2 *q, uint32_t type);

/* The names of the features that there are, for headers that we write. */
uint32_t qcow2_feature_names(uint8_t *to);

/* --- cache.c ---------------------------------------------------------------- */

int qcow2_cache_init(struct qcow2_cache *cache, uint32_t cluster_size);
void qcow2_cache_free(struct qcow2_cache *cache);

/*
 * The slice that has the file's byte `at`; valid until the next call here or
 * until `lock` is given back. -EAGAIN with DISK_NOWAIT when it has to be read.
 * With `lock`, as the next two.
 */
int qcow2_cache_get(struct qcow2 *q, uint64_t at, bool counts,
		    unsigned int flags, struct qcow2_slice **slice);
void qcow2_cache_dirty(struct qcow2 *q, struct qcow2_slice *slice);

/* Forgets what lies in [at, at + length) of the file. */
void qcow2_cache_forget(struct qcow2 *q, uint64_t at, uint64_t length);

/* Reads; what lies behind the file's end is zeros. */
int qcow2_read_padded(struct disk_node *file, uint64_t at, void *buf,
		      size_t size);

/* --- flush.c ---------------------------------------------------------------- */

int qcow2_flush(struct disk_node *node);
int qcow2_flush_held(struct qcow2 *q); /* with `flushing` */

/* Flushes until the counts are exact. With `flushing`. */
int qcow2_settle(struct qcow2 *q);

/* --- table.c ---------------------------------------------------------------- */

int qcow2_table_load(struct qcow2_table *table, struct disk_node *file,
		     uint64_t at, uint32_t entries);
int qcow2_table_make(struct qcow2_table *table, uint32_t entries);
void qcow2_table_free(struct qcow2_table *table);
void qcow2_table_set(struct qcow2_table *table, uint32_t index,
		     uint64_t value);

/* Writes all of it to `at`. */
int qcow2_table_write(const struct qcow2_table *table, struct disk_node *file,
		      uint64_t at);

int qcow2_set_add(struct qcow2_set *set, uint64_t cluster);
bool qcow2_set_has(const struct qcow2_set *set, uint64_t cluster);

/* The clusters of [at, at + length), to or from the set of tables. */
int qcow2_tables_add(struct qcow2 *q, uint64_t at, uint64_t length);
void qcow2_tables_remove(struct qcow2 *q, uint64_t at, uint64_t length);

/* --- count.c: refcounts; all with `lock` ------------------------------------ */

uint64_t qcow2_count_get(const uint8_t *block, unsigned int order,
			 uint64_t index);
void qcow2_count_put(uint8_t *block, unsigned int order, uint64_t index,
		     uint64_t value);

int qcow2_count(struct qcow2 *q, uint64_t cluster, uint64_t *count);

/* Adds to the counts of some clusters at once; -ERANGE: too many. */
int qcow2_count_change(struct qcow2 *q, uint64_t cluster, uint64_t clusters,
		       int change);

/*
 * Takes up to `want` free clusters in a row, at least one, which are counted
 * then. *clean: they read as zeros.
 */
int qcow2_alloc(struct qcow2 *q, uint64_t want, uint64_t *at, uint64_t *got,
		bool *clean);

/* Looks where the last cluster that is counted lies. */
int qcow2_find_end(struct qcow2 *q);

/* As many in a row as asked for. */
int qcow2_alloc_all(struct qcow2 *q, uint64_t clusters, uint64_t *at);

/* Gives back what qcow2_alloc() gave and nothing refers to. */
void qcow2_alloc_undo(struct qcow2 *q, uint64_t at, uint64_t clusters);

/* A reference to each cluster of [at, at + length) goes with the next flush. */
int qcow2_free(struct qcow2 *q, uint64_t at, uint64_t length, bool give_back);

/* --- map.c: L1 and L2; all with `lock` -------------------------------------- */

struct qcow2_entry {
	uint64_t desc, bits; /* bits: of subclusters, when extended */
};

/* Where the entry of a guest cluster lies; slice NULL: it has no L2 table. */
struct qcow2_spot {
	struct qcow2_slice *slice;
	unsigned int index; /* in the slice */
	unsigned int left;  /* entries in the slice from there on */
};

int qcow2_find(struct qcow2 *q, uint64_t offset, unsigned int flags,
	       struct qcow2_spot *spot);

/* The same, and the L2 table is there and ours alone. */
int qcow2_find_own(struct qcow2 *q, uint64_t offset, struct qcow2_spot *spot);

struct qcow2_entry qcow2_entry_get(const struct qcow2 *q,
				   const struct qcow2_slice *slice,
				   unsigned int index);
void qcow2_entry_put(struct qcow2 *q, struct qcow2_slice *slice,
		     unsigned int index, struct qcow2_entry entry);

/* What subcluster `sub` of an entry is; -EIO when it makes no sense. */
int qcow2_kind(const struct qcow2 *q, struct qcow2_entry entry,
	       unsigned int sub, enum disk_kind *kind);

/* Whether a cluster has a place of its own that may be written. */
bool qcow2_has_place(const struct qcow2 *q, struct qcow2_entry entry);

/* Where a compressed cluster's bytes lie, at most so many. */
void qcow2_packed_place(const struct qcow2 *q, uint64_t desc, uint64_t *at,
			uint32_t *size);

int qcow2_extent(struct qcow2 *q, uint64_t offset, uint64_t length,
		 unsigned int flags, struct disk_extent *extent);

/* Drops what an entry refers to. */
int qcow2_entry_free(struct qcow2 *q, struct qcow2_entry entry,
		     bool give_back);

/* --- write.c ---------------------------------------------------------------- */

int qcow2_write(struct disk_node *node, uint64_t offset, uint64_t length,
		struct disk_vec from);
int qcow2_zero(struct disk_node *node, uint64_t offset, uint64_t length,
	       unsigned int flags);
int qcow2_discard(struct disk_node *node, uint64_t offset, uint64_t length);

/* Before anything is changed; takes `lock` itself. What the guest sees of the
 * change lies in [offset, offset + length). */
int qcow2_begin(struct qcow2 *q, uint64_t offset, uint64_t length);

/* For resizing, also behind the disk's end: a range within a cluster reads as
 * zeros; whole clusters are as if they had never been written. */
int qcow2_zero_held(struct qcow2 *q, uint64_t offset, uint64_t length);
int qcow2_drop_held(struct qcow2 *q, uint64_t from, uint64_t end);

/* Notes that the tables make no sense: -EIO, and no more writing. With
 * `lock`. */
int qcow2_is_corrupt(struct qcow2 *q);

/* --- packed.c: compressed clusters ------------------------------------------- */

int qcow2_read_packed(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec to);
int qcow2_write_packed(struct disk_node *node, uint64_t offset,
		       uint64_t length, struct disk_vec from);

/* A cluster is about to be free: no more is written there. With `lock`. */
void qcow2_packed_forget(struct qcow2 *q, uint64_t cluster);

/* --- tree.c ----------------------------------------------------------------- */

enum qcow2_way {
	QCOW2_TRY,    /* nothing: -EUCLEAN when something makes no sense */
	QCOW2_RAISE,  /* one more reference to all; all or nothing */
	QCOW2_LOWER,  /* one fewer, with the next flush */
	QCOW2_UNFLAG, /* nothing is marked as copied */
	QCOW2_FLAGS,  /* what has one reference is */
};

/* With `flushing`. L2 tables are changed in the file, `l1` in memory. */
int qcow2_tree_change(struct qcow2 *q, struct qcow2_table *l1,
		      enum qcow2_way way);

/* Writes an L1 table to a new place. */
int qcow2_tree_place(struct qcow2 *q, struct qcow2_table *l1);

/* --- snapshot.c ------------------------------------------------------------- */

int qcow2_snapshots_load(struct qcow2 *q, struct disk_node *file);
void qcow2_snapshots_free(struct qcow2 *q);
uint64_t qcow2_snapshots_size(const struct qcow2 *q); /* of their table */
int qcow2_snapshot_list(struct disk_node *node, struct disk_snapshot **list,
			unsigned int *count);
int qcow2_snapshot_create(struct disk_node *node, const char *name,
			  struct disk_error *error);
int qcow2_snapshot_apply(struct disk_node *node, const char *id_or_name,
			 struct disk_error *error);
int qcow2_snapshot_delete(struct disk_node *node, const char *id_or_name,
			  struct disk_error *error);

/* Makes `l1`, which is in its place, the disk's, and `size` its size, by one
 * store of the header; the old table is *old then. With `flushing`. */
int qcow2_switch_l1(struct qcow2 *q, struct qcow2_table *l1, uint64_t size,
		    struct qcow2_table *old);

/* Lets go what a table has, and the table. With `flushing`. */
int qcow2_drop_l1(struct qcow2 *q, struct qcow2_table *l1);

/* --- bitmap.c, dirty.c ------------------------------------------------------ */

struct qcow2_checker;

int qcow2_bitmaps_load(struct qcow2 *q, struct disk_node *file);
void qcow2_bitmaps_free(struct qcow2 *q);
int qcow2_bitmaps_check(struct qcow2_checker *checker);

/* Before the first change: those that follow writes are in use. With `lock`,
 * as the next two. */
int qcow2_bitmaps_begin(struct qcow2 *q);
void qcow2_bitmaps_note(struct qcow2 *q, uint64_t offset, uint64_t length);

/* Whether a range is noted in all bitmaps that follow. */
bool qcow2_bitmaps_noted(const struct qcow2 *q, uint64_t offset,
			 uint64_t length);

/* Writes those that followed. With `flushing`, the image being closed. */
int qcow2_bitmaps_store(struct qcow2 *q);

/* --- crypt.c ---------------------------------------------------------------- */

/* Where the extension says that the LUKS header lies. */
int qcow2_crypt_load(struct qcow2 *q, struct disk_error *error);

/* Unlocks what is stored in q->store: q->data, and q->crypt of an image that
 * is encrypted. */
int qcow2_crypt_open(struct qcow2 *q, const struct disk_open *how,
		     struct disk_error *error);
void qcow2_crypt_set_readonly(struct qcow2 *q, bool readonly);
void qcow2_crypt_close(struct qcow2 *q);

/* Adds to what is told of the image. */
void qcow2_crypt_info(const struct qcow2 *q, json_t *info);

int qcow2_add_key(struct disk_node *node, const struct disk_secret *secret,
		  struct disk_error *error);
int qcow2_remove_key(struct disk_node *node, const struct disk_secret *secret,
		     struct disk_error *error);

/* A new LUKS header, in memory: *header is to be closed. */
int qcow2_crypt_make(const struct disk_create *how, struct disk_node **header,
		     struct disk_error *error);

/* Writes it to `at` of the file. */
int qcow2_crypt_write(struct disk_node *file, uint64_t at,
		      struct disk_node *header);

/* --- others ----------------------------------------------------------------- */

int qcow2_create(struct disk_node *file, const struct disk_create *how,
		 struct disk_error *error);
extern const struct disk_option qcow2_options[];

/* --- room.c ----------------------------------------------------------------- */

/* Gives places to clusters of [offset, end), which have none. */
int qcow2_preallocate(struct qcow2 *q, uint64_t offset, uint64_t end,
		      enum disk_preallocation mode);

/* The same in an image that was just made in `file`. */
int qcow2_preallocate_new(struct disk_node *file,
			  const struct disk_create *how,
			  enum disk_preallocation mode,
			  struct disk_error *error);

int qcow2_resize(struct disk_node *node, uint64_t size,
		 enum disk_preallocation mode, struct disk_error *error);
int qcow2_check(struct disk_node *node, bool repair, struct disk_check *check,
		struct disk_error *error);
json_t *qcow2_info(struct disk_node *node);
int qcow2_set_backing(struct disk_node *node, const char *path,
		      const char *format, struct disk_error *error);

/* The tables are as the file has them; nothing is held back. With `lock`. */
int qcow2_reload(struct qcow2 *q);

int qcow2_open(struct disk_node **node, struct disk_node *file,
	       const struct disk_open *how, struct disk_error *error);

#endif
