/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 images, versions 2 and 3: opening and closing, and the driver. See
 * qcow2.h for how they are kept sound; QEMU's docs/interop/qcow2.txt for the
 * format.
 */
#include "disk/qcow2/bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- opening ---------------------------------------------------------------- */

static int say_error(struct disk_error *error, int result)
{
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

/* A table's clusters join the set, which has none of them yet. */
static int claim(struct qcow2 *q, uint64_t at, uint64_t length)
{
	uint64_t before = q->tables.count;
	uint64_t clusters = (length + q->cluster_size - 1) >>
			    q->header.cluster_bits;
	int error = qcow2_tables_add(q, at, length);

	if (!error && q->tables.count != before + clusters)
		error = -EUCLEAN;
	return error;
}

static int claim_entries(struct qcow2 *q, const struct qcow2_table *table,
			 uint64_t mask)
{
	int error = 0;

	for (uint32_t i = 0; i < table->entries && !error; i++) {
		uint64_t at = table->entry[i] & mask;

		if (at & (q->cluster_size - 1) || at >= QCOW2_OFFSET_MAX)
			error = -EUCLEAN;
		else if (at)
			error = claim(q, at, q->cluster_size);
	}
	return error;
}

/* What writing needs: where tables are, each in a place of its own. */
static int claim_tables(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->header;
	uint64_t size = (uint64_t)h->reftable_clusters << h->cluster_bits;
	int result = claim(q, 0, q->cluster_size);

	if (!result && h->l1_entries)
		result = claim(q, h->l1_at, h->l1_entries * 8ull);
	if (!result)
		result = claim(q, h->reftable_at, size);
	if (!result && q->crypt_size)
		result = claim(q, q->crypt_at, q->crypt_size);
	if (!result && h->snapshot_count)
		result = claim(q, h->snapshots_at, qcow2_snapshots_size(q));
	for (uint32_t i = 0; i < h->snapshot_count && !result; i++)
		result = claim(q, q->snapshots[i].l1_at,
			       q->snapshots[i].l1_entries * 8ull);
	if (!result)
		result = claim_entries(q, &q->l1, QCOW2_OFFSET);
	if (!result)
		result = claim_entries(q, &q->reftable, QCOW2_REF_OFFSET);
	return result;
}

static int is_damaged(const struct qcow2 *q, const char *how,
		      struct disk_error *error)
{
	return disk_error_set(error, -EUCLEAN, "%s; mend it with: lodge disk "
			      "check --repair %s", how, q->node.name);
}

static int check_marks(const struct qcow2 *q, struct disk_error *error)
{
	if (q->header.incompatible & QCOW2_CORRUPT)
		return is_damaged(q, "is marked as damaged", error);
	return 0;
}

/* Others write refcounts late and say so; a crash of theirs is mended here. */
static bool is_dirty(const struct qcow2 *q, const struct disk_open *how)
{
	return q->header.incompatible & QCOW2_DIRTY && !q->node.readonly &&
	       !how->repair;
}

static int recount(struct qcow2 *q, struct disk_error *error)
{
	struct disk_check check = { 0 };
	int result = qcow2_check(&q->node, true, &check, error);

	if (!result && (check.corruptions > check.corruptions_fixed ||
			q->corrupt))
		return is_damaged(q, "was not closed well", error);
	return result;
}

/* L1 and, to write, the refcount table and the set of all tables. */
static int load_tables(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->header;
	struct disk_node *file = q->node.file;
	int result = qcow2_table_load(&q->l1, file, h->l1_at, h->l1_entries);

	if (result || q->node.readonly)
		return result;
	result = qcow2_table_load(&q->reftable, file, h->reftable_at,
				  h->reftable_clusters
					  << (h->cluster_bits - 3));
	return result ? result : claim_tables(q);
}

int qcow2_reload(struct qcow2 *q)
{
	int result;

	qcow2_cache_free(&q->cache);
	qcow2_table_free(&q->l1);
	qcow2_table_free(&q->reftable);
	free(q->tables.key);
	q->tables = (struct qcow2_set){ 0 };
	q->freed.count = 0;
	q->scan = q->end = q->clean = 0;
	q->packed_at = q->packed_end = 0;
	q->corrupt = false;
	result = qcow2_cache_init(&q->cache, q->cluster_size);
	if (!result)
		result = load_tables(q);
	q->corrupt = result;
	return result == -EUCLEAN ? 0 : result;
}

/* Bitmaps that make no sense are not believed. */
static int load_bitmaps(struct qcow2 *q)
{
	int result = qcow2_bitmaps_load(q, q->node.file);

	if (result == -EUCLEAN) {
		qcow2_bitmaps_free(q);
		q->header.autoclear &= ~QCOW2_BITMAPS;
		q->started = false;
		result = 0;
	}
	for (uint32_t i = 0; i < q->bitmap_count; i++)
		if (q->bitmaps[i].flags & QCOW2_BITMAP_AUTO)
			q->started = false;
	return result;
}

static int load(struct qcow2 *q, const struct disk_open *how,
		struct disk_error *error)
{
	bool mend = (how->repair && !q->node.readonly) || is_dirty(q, how);
	int result = q->node.readonly || how->repair ? 0
						     : check_marks(q, error);

	if (result)
		return result;
	q->node.size = q->header.size;
	q->node.cluster = q->cluster_size;
	q->store = q->external ? NULL : q->node.file;
	/* Bits of others have to go before the first change. */
	q->started = !(q->header.autoclear & ~QCOW2_AUTOCLEAR);
	result = qcow2_snapshots_load(q, q->node.file);
	if (result == -EUCLEAN)
		return disk_error_set(error, result, "has a damaged table of "
				      "snapshots; take a good copy");
	if (!result)
		result = load_bitmaps(q);
	if (!result)
		result = qcow2_cache_init(&q->cache, q->cluster_size);
	if (!result)
		result = load_tables(q);
	if (result == -EUCLEAN && !mend)
		return is_damaged(q, "has damaged tables", error);
	q->corrupt = result == -EUCLEAN;
	return q->corrupt ? 0 : say_error(error, result);
}

static int open_others(struct qcow2 *q, const struct disk_open *how,
		       struct disk_error *error)
{
	struct disk_open below = *how;
	int result = 0;

	if (q->external && !q->data_path)
		return disk_error_set(error, -EINVAL, "has its data in a file "
				      "of its own, but does not name it");
	if (q->external)
		result = disk_open_data(&q->store, q->node.file, q->data_path,
					how, error);
	if (!result)
		result = qcow2_crypt_open(q, how, error);
	if (result || !q->backing_path)
		return result;
	below.secret = disk_secret_below(&q->node, how->secret);
	return disk_open_backing(&q->node.backing, q->node.file,
				 q->backing_path, q->backing_format, &below,
				 error);
}

static void free_all(struct qcow2 *q)
{
	qcow2_header_free(q);
	qcow2_cache_free(&q->cache);
	qcow2_table_free(&q->l1);
	qcow2_table_free(&q->reftable);
	free(q->tables.key);
	free(q->freed.item);
	free(q->unpacked);
	qcow2_snapshots_free(q);
	qcow2_bitmaps_free(q);
	qcow2_crypt_close(q);
	if (q->external)
		disk_close(q->store);
	pthread_mutex_destroy(&q->flushing);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->unpack_lock);
}

int qcow2_open(struct disk_node **node, struct disk_node *file,
	       const struct disk_open *how, struct disk_error *error)
{
	struct qcow2 *q = calloc(1, sizeof(*q));
	int result = q ? disk_node_init(&q->node, &disk_qcow2, file, how)
		       : -ENOMEM;
	pthread_mutexattr_t again;

	if (result) {
		free(q);
		return say_error(error, result);
	}
	pthread_mutexattr_init(&again);
	pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&q->flushing, &again);
	pthread_mutexattr_destroy(&again);
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->unpack_lock, NULL);
	result = qcow2_header_load(q, file, error);
	if (!result)
		result = load(q, how, error);
	if (!result)
		result = open_others(q, how, error);
	if (!result && is_dirty(q, how))
		result = recount(q, error);
	if (result) {
		q->node.readonly = true; /* nothing to settle */
		disk_node_abandon(&q->node);
		return result;
	}
	*node = &q->node;
	return 0;
}

static void set_readonly(struct qcow2 *q, bool readonly)
{
	q->node.readonly = readonly;
	qcow2_crypt_set_readonly(q, readonly);
}

/* What load() does beyond a reader's part. */
static int make_writable(struct disk_node *node, struct disk_error *error)
{
	const struct disk_open how = { .path = node->name };
	struct qcow2 *q = qcow2_of(node);
	int result = check_marks(q, error);

	if (!result)
		result = disk_leaf_make_writable(node->file, true, error);
	if (!result && q->external)
		result = disk_leaf_make_writable(q->store, true, error);
	if (result)
		return result;
	set_readonly(q, false);
	result = say_error(error, qcow2_reload(q));
	if (!result && q->corrupt && !is_dirty(q, &how))
		result = is_damaged(q, "has damaged tables", error);
	if (!result && is_dirty(q, &how))
		result = recount(q, error);
	if (!result)
		return 0;
	set_readonly(q, true);
	(void)qcow2_reload(q);
	return result;
}

static void close_image(struct disk_node *node)
{
	struct qcow2 *q = qcow2_of(node);

	if (!node->readonly && !q->corrupt) {
		pthread_mutex_lock(&q->flushing);
		(void)qcow2_settle(q);
		(void)qcow2_bitmaps_store(q);
		pthread_mutex_unlock(&q->flushing);
	}
	free_all(q);
}

/* --- the driver ------------------------------------------------------------- */

static bool probe(const uint8_t *head, size_t size)
{
	return size >= 4 && get_be32(head) == QCOW2_MAGIC;
}

static int map(struct disk_node *node, uint64_t offset, uint64_t length,
	       unsigned int flags, struct disk_extent *extent)
{
	struct qcow2 *q = qcow2_of(node);
	int error;

	if (!(flags & DISK_NOWAIT))
		pthread_mutex_lock(&q->lock);
	else if (pthread_mutex_trylock(&q->lock))
		return -EAGAIN;
	error = qcow2_extent(q, offset, length, flags, extent);
	pthread_mutex_unlock(&q->lock);
	return error;
}

const struct disk_driver disk_qcow2 = {
	.name = "qcow2",
	.title = "qcow2",
	.suffixes = ".qcow2 .qcow",
	.options = qcow2_options,
	.backing = true,
	.encrypts = true,
	.probe = probe,
	.open = qcow2_open,
	.create = qcow2_create,
	.close = close_image,
	.map = map,
	.read = qcow2_read_packed,
	.write = qcow2_write,
	.write_packed = qcow2_write_packed,
	.zero = qcow2_zero,
	.discard = qcow2_discard,
	.flush = qcow2_flush,
	.resize = qcow2_resize,
	.info = qcow2_info,
	.check = qcow2_check,
	.snapshot_list = qcow2_snapshot_list,
	.snapshot_create = qcow2_snapshot_create,
	.snapshot_apply = qcow2_snapshot_apply,
	.snapshot_delete = qcow2_snapshot_delete,
	.bitmap = &qcow2_bitmap_ops,
	.add_key = qcow2_add_key,
	.remove_key = qcow2_remove_key,
	.set_backing = qcow2_set_backing,
	.make_writable = make_writable,
};
