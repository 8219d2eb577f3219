/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a qcow2 image's guest clusters lie: L1 and L2 tables, with and without
 * subclusters.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

/* --- finding entries -------------------------------------------------------- */

static uint64_t cluster_of(const struct qcow2 *q, uint64_t offset)
{
	return offset >> q->header.cluster_bits;
}

/* The L2 table that has the entry of `offset`; 0: none. */
static int l2_of(struct qcow2 *q, uint64_t offset, uint64_t *l2)
{
	uint64_t index = cluster_of(q, offset) >> q->l2_bits;

	if (index >= q->l1.entries)
		return -EIO;
	*l2 = q->l1.entry[index] & QCOW2_OFFSET;
	return *l2 & (q->cluster_size - 1) ? qcow2_is_corrupt(q) : 0;
}

static int spot_in(struct qcow2 *q, uint64_t l2, uint64_t offset,
		   unsigned int flags, struct qcow2_spot *spot)
{
	uint64_t index = cluster_of(q, offset) & ((1ull << q->l2_bits) - 1);
	unsigned int per_slice = q->cache.size / q->entry_size;

	spot->index = (unsigned int)(index % per_slice);
	spot->left = per_slice - spot->index;
	return qcow2_cache_get(q, l2 + index / per_slice * q->cache.size,
			       false, flags, &spot->slice);
}

int qcow2_find(struct qcow2 *q, uint64_t offset, unsigned int flags,
	       struct qcow2_spot *spot)
{
	uint64_t l2;
	int error = l2_of(q, offset, &l2);

	spot->slice = NULL;
	return error || !l2 ? error : spot_in(q, l2, offset, flags, spot);
}

/* Fills a new L2 table: with what the old one has, or zeros. */
static int fill_l2(struct qcow2 *q, uint64_t old, uint64_t at)
{
	uint8_t *bytes = calloc(1, q->cluster_size);
	int error = bytes ? 0 : -ENOMEM;

	/* A table that is shared has no changes in the cache. */
	if (!error && old)
		error = qcow2_read_padded(q->node.file, old, bytes,
					  q->cluster_size);
	if (!error)
		error = disk_write_bytes(q->node.file, at, bytes,
					 q->cluster_size);
	free(bytes);
	return error;
}

/* Makes an L2 table for L1's entry `index`, a copy when there is one. */
static int make_l2(struct qcow2 *q, uint32_t index, uint64_t old)
{
	uint64_t at, got;
	bool clean;
	int error = qcow2_alloc(q, 1, &at, &got, &clean);

	if (error)
		return error;
	qcow2_cache_forget(q, at, q->cluster_size);
	error = fill_l2(q, old, at);
	if (!error)
		error = qcow2_tables_add(q, at, q->cluster_size);
	if (error) {
		qcow2_alloc_undo(q, at, 1);
		return error;
	}
	qcow2_table_set(&q->l1, index, at | QCOW2_COPIED);
	if (!old)
		return 0;
	qcow2_tables_remove(q, old, q->cluster_size);
	return qcow2_free(q, old, q->cluster_size, false);
}

int qcow2_find_own(struct qcow2 *q, uint64_t offset, struct qcow2_spot *spot)
{
	uint32_t index = (uint32_t)(cluster_of(q, offset) >> q->l2_bits);
	uint64_t l2;
	int error = l2_of(q, offset, &l2);

	if (!error && (!l2 || !(q->l1.entry[index] & QCOW2_COPIED)))
		error = make_l2(q, index, l2);
	return error ? error : qcow2_find(q, offset, 0, spot);
}

/* --- entries ---------------------------------------------------------------- */

struct qcow2_entry qcow2_entry_get(const struct qcow2 *q,
				   const struct qcow2_slice *slice,
				   unsigned int index)
{
	const uint8_t *at = slice->bytes + (size_t)index * q->entry_size;

	return (struct qcow2_entry){
		.desc = get_be64(at),
		.bits = qcow2_extended(q) ? get_be64(at + 8) : 0,
	};
}

void qcow2_entry_put(struct qcow2 *q, struct qcow2_slice *slice,
		     unsigned int index, struct qcow2_entry entry)
{
	uint8_t *at = slice->bytes + (size_t)index * q->entry_size;

	put_be64(at, entry.desc);
	if (qcow2_extended(q))
		put_be64(at + 8, entry.bits);
	qcow2_cache_dirty(q, slice);
}

/* Whether a standard entry names a host cluster. */
static bool names_cluster(const struct qcow2 *q, struct qcow2_entry entry)
{
	return entry.desc & QCOW2_OFFSET ||
	       (q->external && entry.desc & QCOW2_COPIED);
}

int qcow2_kind(const struct qcow2 *q, struct qcow2_entry entry,
	       unsigned int sub, enum disk_kind *kind)
{
	bool there = names_cluster(q, entry);

	if (entry.desc & QCOW2_COMPRESSED) {
		*kind = DISK_PACKED;
		return q->external ? -EIO : 0;
	}
	if (entry.desc & QCOW2_OFFSET & (q->cluster_size - 1))
		return -EIO;
	if (!qcow2_extended(q)) {
		*kind = there ? DISK_DATA : DISK_HOLE;
		if (entry.desc & QCOW2_ZERO)
			*kind = DISK_ZERO;
		return entry.desc & QCOW2_ZERO && q->header.version < 3 ? -EIO
									: 0;
	}
	switch (entry.bits >> sub & 0x100000001ull) {
	case 0:
		*kind = DISK_HOLE;
		return 0;
	case 1:
		*kind = DISK_DATA;
		return there ? 0 : -EIO;
	case 0x100000000ull:
		*kind = DISK_ZERO;
		return 0;
	default:
		return -EIO;
	}
}

bool qcow2_has_place(const struct qcow2 *q, struct qcow2_entry entry)
{
	return !(entry.desc & QCOW2_COMPRESSED) && entry.desc & QCOW2_COPIED &&
	       names_cluster(q, entry);
}

void qcow2_packed_place(const struct qcow2 *q, uint64_t desc, uint64_t *at,
			uint32_t *size)
{
	unsigned int x = 62 - (q->header.cluster_bits - 8);
	uint64_t sectors = (desc >> x & ((1ull << (62 - x)) - 1)) + 1;

	*at = desc & ((1ull << x) - 1) & (QCOW2_OFFSET_MAX - 1);
	*size = (uint32_t)(sectors * 512 - (*at & 511));
}

int qcow2_entry_free(struct qcow2 *q, struct qcow2_entry entry, bool give_back)
{
	uint64_t at;
	uint32_t size;

	if (q->external)
		return 0;
	if (entry.desc & QCOW2_COMPRESSED) {
		pthread_mutex_lock(&q->unpack_lock);
		q->unpacked_entry = 0;
		pthread_mutex_unlock(&q->unpack_lock);
		qcow2_packed_place(q, entry.desc, &at, &size);
		return qcow2_free(q, at, size, give_back);
	}
	if (!(entry.desc & QCOW2_OFFSET))
		return 0;
	return qcow2_free(q, entry.desc & QCOW2_OFFSET, q->cluster_size,
			  give_back);
}

/* --- extents ---------------------------------------------------------------- */

/* A hole as far as there is no L2 table. */
static int no_table(struct qcow2 *q, uint64_t offset, uint64_t length,
		    struct disk_extent *extent)
{
	unsigned int bits = q->header.cluster_bits + q->l2_bits;
	uint64_t end = offset, l2 = 0;
	int error = 0;

	while (!error && !l2 && end < offset + length) {
		end = ((end >> bits) + 1) << bits;
		if (end < offset + length)
			error = l2_of(q, end, &l2);
	}
	extent->kind = DISK_HOLE;
	extent->length = end - offset < length ? end - offset : length;
	return 0;
}

/* What one subcluster is, and where. */
struct piece {
	enum disk_kind kind;
	bool own;
	uint64_t at;
};

static int piece_of(struct qcow2 *q, const struct qcow2_spot *spot,
		    uint64_t offset, struct piece *piece)
{
	struct qcow2_entry entry = qcow2_entry_get(q, spot->slice,
						   spot->index);
	uint64_t in_cluster = offset & (q->cluster_size - 1);
	uint32_t size;
	int error = qcow2_kind(q, entry, (unsigned int)(in_cluster >>
							q->sub_bits),
			       &piece->kind);

	if (error)
		return qcow2_is_corrupt(q);
	piece->own = entry.desc & QCOW2_COPIED;
	if (q->external && piece->kind == DISK_DATA &&
	    (entry.desc & QCOW2_OFFSET) != offset - in_cluster)
		return qcow2_is_corrupt(q);
	if (piece->kind == DISK_PACKED)
		qcow2_packed_place(q, entry.desc, &piece->at, &size);
	else
		piece->at = (entry.desc & QCOW2_OFFSET) + in_cluster;
	return 0;
}

static bool goes_on(const struct piece *first, const struct piece *next,
		    uint64_t distance)
{
	if (first->kind != next->kind || first->kind == DISK_PACKED)
		return false;
	return first->kind != DISK_DATA || (first->own == next->own &&
					    first->at + distance == next->at);
}

/* Cuts data to what the file has; false when it has nothing there. */
static bool cut_to_file(struct qcow2 *q, struct disk_extent *extent)
{
	uint64_t size = q->store->size;

	if (extent->at >= size)
		return false;
	if (extent->length > size - extent->at)
		extent->length = size - extent->at;
	return true;
}

/* Whether an extent of data may be written by anybody. */
static bool may_write_in_place(struct qcow2 *q, uint64_t offset,
			       const struct disk_extent *extent)
{
	uint64_t last = cluster_of(q, extent->at + extent->length - 1);

	if (q->node.readonly || q->corrupt || !q->started ||
	    !qcow2_bitmaps_noted(q, offset, extent->length))
		return false;
	for (uint64_t c = cluster_of(q, extent->at);
	     c <= last && !q->external; c++)
		if (qcow2_set_has(&q->tables, c))
			return false;
	return true;
}

int qcow2_extent(struct qcow2 *q, uint64_t offset, uint64_t length,
		 unsigned int flags, struct disk_extent *extent)
{
	uint64_t sub = 1ull << q->sub_bits, done;
	struct piece first, next;
	struct qcow2_spot spot;
	int error = qcow2_find(q, offset, flags, &spot);

	*extent = (struct disk_extent){ 0 };
	if (error || !spot.slice)
		return error ? error : no_table(q, offset, length, extent);
	error = piece_of(q, &spot, offset, &first);
	if (error)
		return error;
	done = sub - (offset & (sub - 1));
	if (first.kind == DISK_PACKED)
		done = q->cluster_size - (offset & (q->cluster_size - 1));
	while (done < length) {
		if (!((offset + done) & (q->cluster_size - 1))) {
			if (!--spot.left)
				break;
			spot.index++;
		}
		error = piece_of(q, &spot, offset + done, &next);
		if (error || !goes_on(&first, &next, done))
			break;
		done += sub;
	}
	extent->kind = first.kind;
	extent->length = done < length ? done : length;
	if (first.kind == DISK_DATA || first.kind == DISK_PACKED)
		extent->at = first.at;
	if (first.kind != DISK_DATA)
		return 0;
	extent->in = q->data;
	if (!cut_to_file(q, extent))
		extent->kind = DISK_ZERO;
	else
		extent->in_place = first.own && !q->crypt &&
				   may_write_in_place(q, offset, extent);
	return 0;
}
