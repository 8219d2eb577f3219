/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to a qcow2 image's guest clusters: writing where there is no place
 * yet, zeros, discards. node.c holds the clusters for us; the tables are only
 * locked while they are looked at, not while data is written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

/* Dirty slices that a writer leaves behind: a part of the cache. */
#define DIRTY_PART 4u

int qcow2_is_corrupt(struct qcow2 *q)
{
	bool known = q->corrupt;

	q->corrupt = true;
	if (!known && !q->node.readonly && q->header.version >= 3) {
		q->header.incompatible |= QCOW2_CORRUPT;
		(void)qcow2_header_store(q);
	}
	return -EIO;
}

int qcow2_begin(struct qcow2 *q, uint64_t offset, uint64_t length)
{
	bool full;
	int error = 0;

	pthread_mutex_lock(&q->lock);
	if (q->corrupt)
		error = -EIO;
	if (!error && !q->started) {
		q->header.autoclear &= QCOW2_AUTOCLEAR;
		error = qcow2_bitmaps_begin(q);
		if (!error)
			error = qcow2_header_store(q);
		q->started = !error;
	}
	if (!error)
		qcow2_bitmaps_note(q, offset, length);
	full = q->cache.dirty > q->cache.limit / DIRTY_PART;
	pthread_mutex_unlock(&q->lock);
	return !error && full ? qcow2_flush(&q->node) : error;
}

/* --- writing ---------------------------------------------------------------- */

/* One run of clusters to be written. */
struct run {
	uint64_t offset, length; /* what the guest writes */
	uint64_t from, end;	 /* with what is copied around it */
	uint64_t at;		 /* place of the first cluster */
	uint64_t clusters;
	bool made;  /* the places are new */
	bool clean; /* and read as zeros */
};

/* Whether an entry's old place holds bytes that a new one needs. */
static bool has_data(const struct qcow2 *q, struct qcow2_entry entry)
{
	if (entry.desc & QCOW2_COMPRESSED)
		return true;
	if (!(entry.desc & QCOW2_OFFSET))
		return false;
	return qcow2_extended(q) ? (uint32_t)entry.bits
				 : !(entry.desc & QCOW2_ZERO);
}

static uint64_t sub_down(const struct qcow2 *q, uint64_t offset)
{
	return offset & ~((1ull << q->sub_bits) - 1);
}

static uint64_t sub_up(const struct qcow2 *q, uint64_t offset)
{
	return qcow2_round_up(offset, 1ull << q->sub_bits);
}

/* Whether the subcluster of `offset` has its bytes in the entry's place. */
static int in_place(const struct qcow2 *q, struct qcow2_entry entry,
		    uint64_t offset, bool *yes)
{
	uint64_t in_cluster = offset & (q->cluster_size - 1);
	enum disk_kind kind;
	int error = qcow2_kind(q, entry,
			       (unsigned int)(in_cluster >> q->sub_bits),
			       &kind);

	*yes = kind == DISK_DATA;
	return error;
}

/* A cluster that has its place. */
static int plan_place(struct qcow2 *q, struct qcow2_entry entry,
		      struct run *run)
{
	uint64_t left = q->cluster_size - (run->offset & (q->cluster_size - 1));
	bool first, last;

	if (run->length > left)
		run->length = left;
	run->at = entry.desc & QCOW2_OFFSET;
	run->clusters = 1;
	if (!q->external &&
	    qcow2_set_has(&q->tables, run->at >> q->header.cluster_bits))
		return qcow2_is_corrupt(q);
	run->from = run->offset;
	run->end = run->offset + run->length;
	if (in_place(q, entry, run->from, &first) ||
	    in_place(q, entry, run->end - 1, &last))
		return qcow2_is_corrupt(q);
	if (!first)
		run->from = sub_down(q, run->from);
	if (!last)
		run->end = sub_up(q, run->end);
	return 0;
}

/* Clusters that get new places. */
static int plan_new(struct qcow2 *q, const struct qcow2_spot *spot,
		    struct run *run)
{
	uint64_t mask = q->cluster_size - 1, in = run->offset & mask, want;
	struct qcow2_entry first, last;
	unsigned int n = 1;
	int error = 0;

	want = (in + run->length + mask) >> q->header.cluster_bits;
	if (want > spot->left)
		want = spot->left;
	while (n < want && !qcow2_has_place(q, qcow2_entry_get(q, spot->slice,
							       spot->index + n)))
		n++;
	run->clusters = n;
	run->made = true;
	first = qcow2_entry_get(q, spot->slice, spot->index);
	last = qcow2_entry_get(q, spot->slice, spot->index + n - 1);
	run->at = run->offset - in;
	if (!q->external)
		error = qcow2_alloc(q, n, &run->at, &run->clusters,
				    &run->clean);
	if (error)
		return error;
	run->clean &= !q->crypt; /* zeros are not what zeros decrypt to */
	if (run->length > run->clusters * q->cluster_size - in)
		run->length = run->clusters * q->cluster_size - in;
	run->from = has_data(q, first) ? run->offset - in
				       : sub_down(q, run->offset);
	run->end = run->offset + run->length;
	run->end = has_data(q, last) ? (run->end + mask) & ~mask
				     : sub_up(q, run->end);
	if (q->external && run->end > q->node.size)
		run->end = q->node.size;
	return 0;
}

static int plan(struct qcow2 *q, struct run *run)
{
	struct qcow2_spot spot;
	struct qcow2_entry entry;
	int error;

	pthread_mutex_lock(&q->lock);
	error = qcow2_find_own(q, run->offset, &spot);
	if (!error) {
		entry = qcow2_entry_get(q, spot.slice, spot.index);
		error = qcow2_has_place(q, entry) ? plan_place(q, entry, run)
						  : plan_new(q, &spot, run);
	}
	pthread_mutex_unlock(&q->lock);
	return error;
}

/* Whether the backing file has bytes from `offset` on. */
static bool backed(const struct qcow2 *q, uint64_t offset)
{
	return q->node.backing && offset < q->node.backing->size;
}

/* Whether a range reads as zeros for what the tables say. */
static int reads_zeros(struct qcow2 *q, uint64_t offset, uint64_t length,
		       bool *yes)
{
	int error = 0;

	for (*yes = true; *yes && length && !error;) {
		struct disk_extent extent;

		pthread_mutex_lock(&q->lock);
		error = qcow2_extent(q, offset, length, 0, &extent);
		pthread_mutex_unlock(&q->lock);
		*yes = !error && (extent.kind == DISK_ZERO ||
				  (extent.kind == DISK_HOLE &&
				   !backed(q, offset)));
		offset += extent.length;
		length -= extent.length;
	}
	return error;
}

/* What stood in [offset, end) so far, zeros behind the disk's end, in new
 * memory; NULL when the new place has the same already. */
static int old_bytes(struct qcow2 *q, const struct run *run, uint64_t offset,
		     uint64_t end, uint8_t **bytes)
{
	uint64_t size = q->node.size, length = end - offset, there;
	struct span span;
	bool zeros = false;
	int error = 0;

	*bytes = NULL;
	there = offset >= size ? 0 : end > size ? size - offset : length;
	if (run->clean)
		error = reads_zeros(q, offset, there, &zeros);
	if (error || zeros || !length)
		return error;
	*bytes = calloc(1, length);
	if (!*bytes)
		return -ENOMEM;
	span = (struct span){ *bytes, there };
	if (there)
		error = disk_read_held(&q->node, offset, there,
				       (struct disk_vec){ &span, 1, 0 });
	return error;
}

/* Writes head, the guest's bytes and tail in one go. */
static int write_run(struct qcow2 *q, const struct run *run,
		     struct disk_vec from, uint8_t *head, uint8_t *tail)
{
	uint64_t before = head ? run->offset - run->from : 0;
	uint64_t behind = tail ? run->end - run->offset - run->length : 0;
	uint64_t in = (run->offset - before) & (q->cluster_size - 1);
	struct span *span;
	unsigned int n = 0;
	int error;

	if (!head && !tail)
		return disk_write(q->data, run->at + in, run->length, from);
	span = malloc((from.spans + 2) * sizeof(*span));
	if (!span)
		return -ENOMEM;
	if (before)
		span[n++] = (struct span){ head, before };
	n += span_cut(span + n, from.span, from.spans, from.skip, run->length);
	if (behind)
		span[n++] = (struct span){ tail, behind };
	error = disk_write(q->data, run->at + in, before + run->length + behind,
			   (struct disk_vec){ span, n, 0 });
	free(span);
	return error;
}

static int write_data(struct qcow2 *q, const struct run *run,
		      struct disk_vec from)
{
	uint8_t *head = NULL, *tail = NULL;
	int error = old_bytes(q, run, run->from, run->offset, &head);

	if (!error)
		error = old_bytes(q, run, run->offset + run->length, run->end,
				  &tail);
	if (!error)
		error = write_run(q, run, from, head, tail);
	free(head);
	free(tail);
	return error;
}

/* Bits of the subclusters of [from, end) that lie in the cluster `start`. */
static uint32_t sub_mask(const struct qcow2 *q, uint64_t start, uint64_t from,
			 uint64_t end)
{
	uint64_t first = from > start ? (from - start) >> q->sub_bits : 0;
	uint64_t last = end - start < q->cluster_size
				? (end - start - 1) >> q->sub_bits
				: (q->cluster_size - 1) >> q->sub_bits;

	return (uint32_t)(((2ull << last) - 1) & ~((1ull << first) - 1));
}

/* Puts what was written into the tables; *done: clusters that are. */
static int commit(struct qcow2 *q, const struct run *run, uint64_t *done)
{
	uint64_t start = run->offset & ~(uint64_t)(q->cluster_size - 1);
	int error = 0;

	for (*done = 0; *done < run->clusters && !error; ++*done) {
		struct qcow2_entry old, new;
		struct qcow2_spot spot;
		uint32_t mask;

		error = qcow2_find_own(q, start, &spot);
		if (error)
			break;
		old = qcow2_entry_get(q, spot.slice, spot.index);
		mask = sub_mask(q, start, run->from, run->end);
		new.desc = (run->at + *done * q->cluster_size) | QCOW2_COPIED;
		new.bits = (old.bits & ~((uint64_t)mask << 32)) | mask;
		if (run->made)
			new.bits &= 0xffffffffull << 32 | mask;
		if (old.desc & QCOW2_COMPRESSED)
			new.bits = mask;
		if (!qcow2_extended(q))
			new.bits = 0;
		if (new.desc != old.desc || new.bits != old.bits)
			qcow2_entry_put(q, spot.slice, spot.index, new);
		if (run->made)
			error = qcow2_entry_free(q, old, false);
		start += q->cluster_size;
	}
	return error;
}

static int write_one(struct qcow2 *q, struct run *run, struct disk_vec from)
{
	uint64_t done = 0;
	int error = plan(q, run);

	if (error)
		return error;
	error = write_data(q, run, from);
	pthread_mutex_lock(&q->lock);
	if (!error)
		error = commit(q, run, &done);
	if (run->made && !q->external && done < run->clusters)
		qcow2_alloc_undo(q, run->at + done * q->cluster_size,
				 run->clusters - done);
	pthread_mutex_unlock(&q->lock);
	return error;
}

int qcow2_write(struct disk_node *node, uint64_t offset, uint64_t length,
		struct disk_vec from)
{
	struct qcow2 *q = qcow2_of(node);
	int error = 0;

	while (length && !error) {
		struct run run = { .offset = offset, .length = length };

		error = qcow2_begin(q, offset, length);
		if (!error)
			error = write_one(q, &run, from);
		offset += run.length;
		length -= run.length;
		from = disk_vec_from(from, run.length);
	}
	return error;
}

/* --- zeros and discards ----------------------------------------------------- */

enum clear_way {
	CLEAR_KEEP,    /* zeros, places are kept */
	CLEAR_FREE,    /* zeros, places are given back */
	CLEAR_DISCARD, /* zeros where there was something, or nothing at all */
	CLEAR_DROP,    /* nothing: a hole */
};

/* What an entry becomes when the subclusters of `mask` are cleared. */
static struct qcow2_entry cleared(const struct qcow2 *q, uint64_t start,
				  struct qcow2_entry old, uint32_t mask,
				  enum clear_way way)
{
	bool hole = !backed(q, start), extended = qcow2_extended(q);
	struct qcow2_entry new = { 0 };

	if (way == CLEAR_DROP)
		return new;
	if (way == CLEAR_DISCARD &&
	    ((!old.desc && !old.bits) || (q->header.version < 3 && !hole)))
		return old;
	if (extended && mask != UINT32_MAX) {
		new.bits = (old.bits & ~(uint64_t)mask) | (uint64_t)mask << 32;
		if ((uint32_t)new.bits || way == CLEAR_KEEP)
			new.desc = old.desc;
		return new;
	}
	if (way == CLEAR_KEEP && qcow2_has_place(q, old))
		new.desc = old.desc | (extended ? 0 : QCOW2_ZERO);
	else if (!hole && !extended)
		new.desc = QCOW2_ZERO;
	if (extended && (!hole || new.desc))
		new.bits = 0xffffffffull << 32;
	return new;
}

/* Clears the entry at `spot`, if that changes anything. */
static int clear_entry(struct qcow2 *q, struct qcow2_spot *spot,
		       uint64_t start, uint32_t mask, enum clear_way way)
{
	struct qcow2_entry old = { 0 }, new;
	int error = 0;

	if (spot->slice)
		old = qcow2_entry_get(q, spot->slice, spot->index);
	new = cleared(q, start, old, mask, way);
	if (new.desc == old.desc && new.bits == old.bits)
		return 0;
	error = qcow2_find_own(q, start, spot);
	if (error)
		return error;
	qcow2_entry_put(q, spot->slice, spot->index, new);
	if ((new.desc ^ old.desc) & ~(QCOW2_ZERO | QCOW2_COPIED))
		error = qcow2_entry_free(q, old, true);
	return error;
}

/* Clears [offset, end), whole subclusters, up to where the tables' next slice
 * begins; *next is that. */
static int clear_some(struct qcow2 *q, uint64_t offset, uint64_t end,
		      enum clear_way way, uint64_t *next)
{
	uint64_t mask = q->cluster_size - 1, start = offset & ~mask;
	struct qcow2_spot spot;
	struct disk_extent extent;
	unsigned int left;
	int error = qcow2_find(q, offset, 0, &spot);

	if (!error && !spot.slice && (way >= CLEAR_DISCARD ||
				      !backed(q, offset))) {
		error = qcow2_extent(q, offset, end - offset, 0, &extent);
		*next = offset + extent.length;
		return error;
	}
	left = spot.slice ? spot.left : 1;
	for (*next = offset; !error && left-- && *next < end;) {
		error = clear_entry(q, &spot, start,
				    sub_mask(q, start, *next, end), way);
		spot.index++;
		start += q->cluster_size;
		*next = start < end ? start : end;
	}
	return error;
}

static int clear(struct qcow2 *q, uint64_t offset, uint64_t end,
		 enum clear_way way)
{
	int error = 0;

	while (offset < end && !error) {
		error = qcow2_begin(q, offset, end - offset);
		if (error)
			break;
		pthread_mutex_lock(&q->lock);
		error = clear_some(q, offset, end, way, &offset);
		pthread_mutex_unlock(&q->lock);
	}
	return error;
}

/* Zeros as bytes, where it does not read so. */
static int zero_bytes(struct qcow2 *q, uint64_t offset, uint64_t length)
{
	struct span span;
	bool zeros;
	int error = reads_zeros(q, offset, length, &zeros);

	if (error || zeros || !length)
		return error;
	span = (struct span){ calloc(1, length), length };
	if (!span.data)
		return -ENOMEM;
	error = qcow2_write(&q->node, offset, length,
			    (struct disk_vec){ &span, 1, 0 });
	free(span.data);
	return error;
}

int qcow2_zero_held(struct qcow2 *q, uint64_t offset, uint64_t length)
{
	if (length == q->cluster_size && q->header.version >= 3)
		return clear(q, offset, offset + length, CLEAR_FREE);
	return zero_bytes(q, offset, length);
}

int qcow2_drop_held(struct qcow2 *q, uint64_t from, uint64_t end)
{
	return clear(q, from, end, CLEAR_DROP);
}

/* A compressed cluster is cleared as a whole or not at all. */
static int is_packed(struct qcow2 *q, uint64_t offset, bool *packed)
{
	struct disk_extent extent;
	int error;

	pthread_mutex_lock(&q->lock);
	error = qcow2_extent(q, offset, 1, 0, &extent);
	pthread_mutex_unlock(&q->lock);
	*packed = !error && extent.kind == DISK_PACKED;
	return error;
}

/* The whole units of a range, of which a part is not cleared by entries. */
static int whole_units(struct qcow2 *q, uint64_t offset, uint64_t end,
		       uint64_t *from, uint64_t *to)
{
	uint64_t mask = q->cluster_size - 1, size = q->node.size;
	bool packed;
	int error = 0;

	*from = sub_up(q, offset);
	*to = end == size ? (end + mask) & ~mask : sub_down(q, end);
	if (*from < size && *from & mask) {
		error = is_packed(q, *from, &packed);
		if (packed)
			*from = (*from + mask) & ~mask;
	}
	if (!error && *to > *from && *to & mask) {
		error = is_packed(q, *to, &packed);
		if (packed)
			*to &= ~mask;
	}
	if (*to < *from)
		*to = *from;
	return error;
}

int qcow2_zero(struct disk_node *node, uint64_t offset, uint64_t length,
	       unsigned int flags)
{
	struct qcow2 *q = qcow2_of(node);
	uint64_t end = offset + length, from, to;
	bool old = q->header.version < 3; /* knows no zeros with a place */
	int error = 0;

	if (old && node->backing)
		return -ENOTSUP;
	if (q->header.autoclear & QCOW2_DATA_RAW)
		error = disk_zero(q->data, offset, length, flags);
	if (!error)
		error = whole_units(q, offset, end, &from, &to);
	if (error)
		return error;
	if (from >= to)
		return zero_bytes(q, offset, length);
	error = zero_bytes(q, offset, from - offset);
	if (!error)
		error = clear(q, from, to,
			      flags & DISK_UNMAP || old ? CLEAR_FREE
							: CLEAR_KEEP);
	if (!error && to < end)
		error = zero_bytes(q, to, end - to);
	return error;
}

int qcow2_discard(struct disk_node *node, uint64_t offset, uint64_t length)
{
	struct qcow2 *q = qcow2_of(node);
	uint64_t from, to;
	int error;

	if (q->header.autoclear & QCOW2_DATA_RAW)
		return qcow2_zero(node, offset, length, DISK_UNMAP);
	error = whole_units(q, offset, offset + length, &from, &to);
	if (!error && from < to)
		error = clear(q, from, to, CLEAR_DISCARD);
	if (!error && q->external && from < to)
		error = disk_discard(q->store, from,
				     to < node->size ? to - from
						     : node->size - from);
	return error;
}
