/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The room that a qcow2 image offers: places for guest clusters before they
 * are written (preallocation), and another size of the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

/* A cluster that reads as zeros, whatever is in its place. */
static struct qcow2_entry as_zeros(const struct qcow2 *q,
				   struct qcow2_entry entry)
{
	if (qcow2_extended(q))
		entry.bits = 0xffffffffull << 32;
	else
		entry.desc |= QCOW2_ZERO;
	return entry;
}

/* Takes places for clusters of [offset, end), as many as come in one run. */
static int place_run(struct qcow2 *q, uint64_t offset, uint64_t end,
		     bool zeroed, uint64_t *at, uint64_t *clusters)
{
	uint64_t want = (end - offset + q->cluster_size - 1) >>
			q->header.cluster_bits;
	struct qcow2_spot spot;
	bool clean;
	int error = qcow2_find_own(q, offset, &spot);

	if (error)
		return error;
	if (want > spot.left)
		want = spot.left;
	*at = offset;
	*clusters = want;
	if (!q->external)
		error = qcow2_alloc(q, want, at, clusters, &clean);
	if (!error)
		error = qcow2_find_own(q, offset, &spot);
	for (uint64_t i = 0; i < *clusters && !error; i++) {
		struct qcow2_entry entry = {
			.desc = (*at + (i << q->header.cluster_bits)) |
				QCOW2_COPIED,
		};

		if (zeroed)
			entry = as_zeros(q, entry);
		else if (qcow2_extended(q) && !q->node.backing)
			entry.bits = UINT32_MAX;
		qcow2_entry_put(q, spot.slice, spot.index + (unsigned int)i,
				entry);
	}
	return error;
}

/* Has the host take the room, too. */
static int fill(struct qcow2 *q, uint64_t at, uint64_t length,
		enum disk_preallocation mode)
{
	if (mode == DISK_PREALLOC_FALLOC)
		return disk_zero(q->store, at, length, 0);
	return disk_write_zeros(q->data, at, length);
}

int qcow2_preallocate(struct qcow2 *q, uint64_t offset, uint64_t end,
		      enum disk_preallocation mode)
{
	uint64_t at = 0, clusters = 0, top = 0, length;
	bool zeroed;
	int error = 0;

	/* Encrypted, what was never written is no zeros. */
	if (q->crypt && q->header.version < 3)
		mode = DISK_PREALLOC_FULL;
	zeroed = q->crypt && mode != DISK_PREALLOC_FULL;

	while (offset < end && !error) {
		error = qcow2_begin(q, offset, 0);
		pthread_mutex_lock(&q->lock);
		if (!error)
			error = place_run(q, offset, end, zeroed, &at,
					  &clusters);
		pthread_mutex_unlock(&q->lock);
		if (error)
			break;
		length = clusters << q->header.cluster_bits;
		if (q->external && length > end - offset)
			length = end - offset;
		if (mode != DISK_PREALLOC_METADATA)
			error = fill(q, at, length, mode);
		offset += clusters << q->header.cluster_bits;
		if (at + length > top)
			top = at + length;
	}
	if (!error && top > q->store->size)
		error = disk_resize(q->store, top, DISK_PREALLOC_OFF, NULL);
	return error;
}

int qcow2_preallocate_new(struct disk_node *file,
			  const struct disk_create *how,
			  enum disk_preallocation mode,
			  struct disk_error *error)
{
	const struct disk_open open = { .path = how->path,
					.secret = how->secret,
					.folders = how->folders,
					.folder_count = how->folder_count };
	struct disk_node *node;
	struct qcow2 *q;
	int result = qcow2_open(&node, file, &open, error);

	if (result)
		return result;
	q = qcow2_of(node);
	result = qcow2_preallocate(q, 0, node->size, mode);
	pthread_mutex_lock(&q->flushing);
	if (!result)
		result = qcow2_settle(q);
	pthread_mutex_unlock(&q->flushing);
	node->readonly = true; /* all is settled */
	disk_node_abandon(node);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

/* --- another size ----------------------------------------------------------- */

static uint64_t l1_entries(const struct qcow2 *q, uint64_t size)
{
	unsigned int bits = q->header.cluster_bits + q->l2_bits;

	return size ? ((size - 1) >> bits) + 1 : 0;
}

/* A copy of the L1 table's entries [from, from + count), with zeros before or
 * behind. */
static int part_of_l1(const struct qcow2 *q, struct qcow2_table *part,
		      uint32_t entries, uint32_t from, uint32_t count)
{
	int error = qcow2_table_make(part, entries);

	for (uint32_t i = from; !error && i < from + count; i++)
		if (i < q->l1.entries && i < entries)
			part->entry[i] = q->l1.entry[i];
	return error;
}

/*
 * Gives the disk an L1 table of `entries`, of which it keeps the first `keep`;
 * what the others had is let go. The disk's size is `size` from then on.
 */
static int change_l1(struct qcow2 *q, uint32_t entries, uint32_t keep,
		     uint64_t size)
{
	struct qcow2_table l1 = { 0 }, rest = { 0 }, old = { 0 };
	int error = part_of_l1(q, &l1, entries, 0, keep);

	if (!error)
		error = part_of_l1(q, &rest, q->l1.entries, keep,
				   q->l1.entries);
	if (!error)
		error = qcow2_tree_place(q, &l1);
	if (!error)
		error = qcow2_switch_l1(q, &l1, size, &old);
	if (!error) {
		rest.at = old.at;
		error = qcow2_drop_l1(q, &rest);
	}
	qcow2_table_free(&l1);
	qcow2_table_free(&rest);
	qcow2_table_free(&old);
	return error;
}

/* What lies behind the disk's end, in its last cluster and in a longer backing
 * file, is not to show when the disk grows. */
static int zero_behind(struct qcow2 *q, uint64_t size)
{
	uint64_t old = q->node.size, end, part;
	uint64_t backing = q->node.backing ? (uint64_t)q->node.backing->size
					   : 0;
	int error = 0;

	end = qcow2_round_up(old, q->cluster_size);
	if (end < backing)
		end = backing;
	if (end > size)
		end = size;
	for (uint64_t at = old; at < end && !error; at += part) {
		part = q->cluster_size - (at & (q->cluster_size - 1));
		if (part > end - at)
			part = end - at;
		error = qcow2_zero_held(q, at, part);
	}
	return error;
}

static int grow(struct qcow2 *q, uint64_t size, enum disk_preallocation mode)
{
	uint32_t keep = (uint32_t)l1_entries(q, q->node.size);
	uint64_t old = q->node.size, want = l1_entries(q, size);
	bool stale = false;
	int error = 0;

	for (uint32_t i = keep; i < q->l1.entries; i++)
		stale |= q->l1.entry[i];
	if (stale || want > q->l1.entries)
		error = change_l1(q, (uint32_t)want, keep, old);
	if (!error)
		error = zero_behind(q, size);
	if (!error && mode != DISK_PREALLOC_OFF)
		error = qcow2_preallocate(q, qcow2_round_up(old,
							    q->cluster_size),
					  size, mode);
	if (!error)
		error = qcow2_settle(q);
	if (error)
		return error;
	pthread_mutex_lock(&q->lock);
	q->header.size = size;
	error = qcow2_header_store(q);
	if (!error)
		q->node.size = size;
	pthread_mutex_unlock(&q->lock);
	return error;
}

static int shrink(struct qcow2 *q, uint64_t size)
{
	uint64_t old = q->node.size, end, entries = l1_entries(q, size);
	unsigned int bits = q->header.cluster_bits + q->l2_bits;
	int error = change_l1(q, (uint32_t)entries, (uint32_t)entries, size);

	end = entries << bits;
	if (end > old)
		end = old;
	if (!error)
		error = qcow2_drop_held(q, qcow2_round_up(size,
							  q->cluster_size),
					end);
	if (!error)
		error = qcow2_settle(q);
	pthread_mutex_lock(&q->lock);
	if (!error)
		error = qcow2_find_end(q);
	end = q->end << q->header.cluster_bits;
	pthread_mutex_unlock(&q->lock);
	/* Only room: the image is as it should be. */
	if (!error && end < q->node.file->size)
		(void)disk_resize(q->node.file, end, DISK_PREALLOC_OFF, NULL);
	return error;
}

static int may_resize(struct qcow2 *q, uint64_t size, struct disk_error *error)
{
	if (l1_entries(q, size) > QCOW2_L1_MAX / 8)
		return disk_error_set(error, -EFBIG, "can have up to %llu "
				      "bytes; convert it to one with a larger "
				      "cluster_size", (QCOW2_L1_MAX / 8ull) <<
				      (q->header.cluster_bits + q->l2_bits));
	for (uint32_t i = 0; i < q->header.snapshot_count; i++)
		if (q->snapshots[i].extra_size < 16)
			return disk_error_set(error, -ENOTSUP, "has snapshots "
					      "that do not tell their disk's "
					      "size; delete them first");
	if (q->bitmap_count)
		return disk_error_set(error, -ENOTSUP, "has dirty bitmaps for "
				      "this size; remove them first");
	return 0;
}

int qcow2_resize(struct disk_node *node, uint64_t size,
		 enum disk_preallocation mode, struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	uint64_t old = node->size;
	int result = may_resize(q, size, error);

	if (result || size == old)
		return result;
	if (mode != DISK_PREALLOC_OFF && node->backing && !qcow2_extended(q))
		return disk_error_set(error, -EINVAL, "preallocation on a "
				      "backing file needs extended_l2=on");
	if (q->external && (size > old || q->header.autoclear & QCOW2_DATA_RAW))
		result = disk_resize(q->store, size, DISK_PREALLOC_OFF, error);
	if (result)
		return result;
	result = qcow2_begin(q, 0, 0);
	pthread_mutex_lock(&q->flushing);
	if (!result)
		result = qcow2_settle(q);
	if (!result)
		result = size > old ? grow(q, size, mode) : shrink(q, size);
	pthread_mutex_unlock(&q->flushing);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}
