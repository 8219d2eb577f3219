/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refcounts of a qcow2 image, and the search for free clusters. A refcount
 * block lies in the first cluster that it counts itself, so that making one
 * never needs another.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

/* Slices that one search looks through before it takes what is at the end. */
#define SEARCH_SLICES 64u

/* --- numbers ---------------------------------------------------------------- */

uint64_t qcow2_count_get(const uint8_t *block, unsigned int order,
			 uint64_t index)
{
	unsigned int width = 1u << order, bit;

	switch (order) {
	case 3:
		return block[index];
	case 4:
		return get_be16(block + index * 2);
	case 5:
		return get_be32(block + index * 4);
	case 6:
		return get_be64(block + index * 8);
	default:
		bit = (unsigned int)(index << order & 7);
		return block[index << order >> 3] >> bit & ((1u << width) - 1);
	}
}

void qcow2_count_put(uint8_t *block, unsigned int order, uint64_t index,
		     uint64_t value)
{
	unsigned int mask = (1u << (1u << order & 7)) - 1, bit;
	uint8_t *byte;

	switch (order) {
	case 3:
		block[index] = (uint8_t)value;
		break;
	case 4:
		put_be16(block + index * 2, (uint16_t)value);
		break;
	case 5:
		put_be32(block + index * 4, (uint32_t)value);
		break;
	case 6:
		put_be64(block + index * 8, value);
		break;
	default:
		bit = (unsigned int)(index << order & 7);
		byte = &block[index << order >> 3];
		*byte = (uint8_t)((*byte & ~(mask << bit)) |
				  (value & mask) << bit);
	}
}

static uint64_t count_max(const struct qcow2 *q)
{
	unsigned int width = 1u << q->header.refcount_order;

	return width == 64 ? UINT64_MAX : (1ull << width) - 1;
}

/* --- blocks ----------------------------------------------------------------- */

/* The place of the block that counts `cluster`; 0: there is none. */
static int block_of(struct qcow2 *q, uint64_t cluster, uint64_t *block)
{
	uint64_t index = cluster >> q->ref_bits;

	*block = 0;
	if (index >= q->reftable.entries)
		return 0;
	*block = q->reftable.entry[index] & QCOW2_REF_OFFSET;
	if (*block & (q->cluster_size - 1) || *block >= QCOW2_OFFSET_MAX)
		return qcow2_is_corrupt(q);
	return 0;
}

/* A cluster's count: slice NULL: there is no block, so it is 0. */
static int find_count(struct qcow2 *q, uint64_t cluster,
		      struct qcow2_slice **slice, uint64_t *index)
{
	unsigned int order = q->header.refcount_order;
	uint64_t block, in_block, per_slice;
	int error = block_of(q, cluster, &block);

	*slice = NULL;
	if (error || !block)
		return error;
	per_slice = (uint64_t)q->cache.size * 8 >> order;
	in_block = cluster & ((1ull << q->ref_bits) - 1);
	*index = in_block % per_slice;
	return qcow2_cache_get(q, block + in_block / per_slice * q->cache.size,
			       true, 0, slice);
}

int qcow2_count(struct qcow2 *q, uint64_t cluster, uint64_t *count)
{
	struct qcow2_slice *slice;
	uint64_t index;
	int error = find_count(q, cluster, &slice, &index);

	*count = 0;
	if (!error && slice)
		*count = qcow2_count_get(slice->bytes,
					 q->header.refcount_order, index);
	return error;
}

/* Zeros to some clusters. */
static int wipe(struct qcow2 *q, uint64_t at, uint64_t clusters)
{
	uint8_t *zeros = calloc(1, q->cluster_size);
	int error = zeros ? 0 : -ENOMEM;

	for (uint64_t i = 0; i < clusters && !error; i++)
		error = disk_write_bytes(q->node.file,
					 at + i * q->cluster_size, zeros,
					 q->cluster_size);
	free(zeros);
	return error;
}

/* Has the first `clusters` clusters of a region without a block, which a new
 * block counts; more blocks follow when it takes them. */
static int claim_region(struct qcow2 *q, uint64_t region, uint64_t clusters)
{
	uint64_t first = region << q->ref_bits;
	uint64_t blocks = ((clusters - 1) >> q->ref_bits) + 1;
	unsigned int bits = q->header.cluster_bits;
	int error;

	for (uint64_t c = first; c < first + clusters; c++)
		if (qcow2_set_has(&q->tables, c))
			return qcow2_is_corrupt(q);
	qcow2_cache_forget(q, first << bits, blocks << bits);
	error = wipe(q, first << bits, blocks);
	for (uint64_t i = 0; i < blocks && !error; i++) {
		error = qcow2_set_add(&q->tables, first + i);
		if (!error)
			qcow2_table_set(&q->reftable, (uint32_t)(region + i),
					(first + i) << bits);
	}
	return error ? error : qcow2_count_change(q, first, clusters, 1);
}

/* Blocks that count themselves and the `table` clusters behind them. */
static uint64_t blocks_for(const struct qcow2 *q, uint64_t table)
{
	uint64_t per_block = (1ull << q->ref_bits) - 1;

	return (table + per_block - 1) / per_block;
}

/* The counts as they are by now, beside any flush: they may come early. */
static int write_counts(struct qcow2 *q)
{
	struct qcow2_cache *cache = &q->cache;
	int error = 0;

	for (unsigned int i = 0; i < cache->count && !error; i++) {
		const struct qcow2_slice *slice = cache->slices[i];

		if (slice->counts && slice->dirty)
			error = disk_write_bytes(q->node.file, slice->at,
						 slice->bytes, cache->size);
	}
	return error;
}

/* Puts a new refcount table, all of whose clusters are counted, into the
 * header's place. The old one is `old`. */
static int switch_table(struct qcow2 *q, struct qcow2_table *old)
{
	struct disk_node *file = q->node.file;
	uint64_t old_size = (uint64_t)q->header.reftable_clusters
			    << q->header.cluster_bits;
	uint64_t size = (uint64_t)q->reftable.entries * 8;
	int error = qcow2_table_write(&q->reftable, file, q->reftable.at);

	if (!error)
		error = write_counts(q);
	if (!error)
		error = disk_flush(file);
	if (error)
		return error;
	q->header.reftable_at = q->reftable.at;
	q->header.reftable_clusters =
		(uint32_t)(size >> q->header.cluster_bits);
	error = qcow2_header_store(q);
	if (error)
		return error;
	qcow2_tables_remove(q, old->at, old_size);
	error = qcow2_tables_add(q, q->reftable.at, size);
	return error ? error : qcow2_free(q, old->at, old_size, false);
}

/*
 * Makes the refcount table long enough for block `index`. The new one lies in
 * a region that the old one does not reach, behind the blocks that count it.
 */
static int grow_table(struct qcow2 *q, uint64_t index)
{
	struct qcow2_table old = q->reftable;
	unsigned int bits = q->header.cluster_bits;
	uint64_t bytes = (index + 1) * 8 + old.entries * 4ull, blocks, table;
	int error;

	for (;;) {
		table = qcow2_round_up(bytes, q->cluster_size) >> bits;
		blocks = blocks_for(q, table);
		if (table << bits >= (index + blocks) * 8)
			break;
		bytes += q->cluster_size;
	}
	if (table << bits > QCOW2_REFTABLE_MAX)
		return -EFBIG;
	error = qcow2_table_make(&q->reftable, (uint32_t)(table << bits >> 3));
	if (error) {
		q->reftable = old;
		return error;
	}
	memcpy(q->reftable.entry, old.entry, (size_t)old.entries * 8);
	q->reftable.at = ((index << q->ref_bits) + blocks) << bits;
	error = claim_region(q, index, blocks + table);
	if (!error)
		error = switch_table(q, &old);
	if (q->header.reftable_at == q->reftable.at) {
		qcow2_table_free(&old);
		return error;
	}
	qcow2_cache_forget(q, index << q->ref_bits << bits, blocks << bits);
	qcow2_tables_remove(q, index << q->ref_bits << bits, blocks << bits);
	qcow2_table_free(&q->reftable);
	q->reftable = old;
	return error;
}

/* There is a block for `cluster`. */
static int need_block(struct qcow2 *q, uint64_t cluster)
{
	uint64_t index = cluster >> q->ref_bits, block;
	int error = block_of(q, cluster, &block);

	if (error || block)
		return error;
	return index < q->reftable.entries ? claim_region(q, index, 1)
					   : grow_table(q, index);
}

int qcow2_count_change(struct qcow2 *q, uint64_t cluster, uint64_t clusters,
		       int change)
{
	unsigned int order = q->header.refcount_order;

	for (uint64_t c = cluster; c < cluster + clusters; c++) {
		struct qcow2_slice *slice;
		uint64_t index, count;
		int error = find_count(q, c, &slice, &index);

		if (error)
			return error;
		if (!slice)
			return qcow2_is_corrupt(q);
		count = qcow2_count_get(slice->bytes, order, index);
		if (change > 0 && count == count_max(q))
			return -ERANGE;
		if (change < 0 && !count)
			return qcow2_is_corrupt(q);
		count += (uint64_t)(int64_t)change;
		qcow2_count_put(slice->bytes, order, index, count);
		qcow2_cache_dirty(q, slice);
		if (count)
			continue;
		if (c < q->scan)
			q->scan = c;
		qcow2_packed_forget(q, c);
	}
	return 0;
}

/* --- free clusters ---------------------------------------------------------- */

int qcow2_find_end(struct qcow2 *q)
{
	uint64_t index = q->reftable.entries, first, c, count, file;
	int error;

	while (index && !(q->reftable.entry[index - 1] & QCOW2_REF_OFFSET))
		index--;
	first = index ? (index - 1) << q->ref_bits : 0;
	for (c = index << q->ref_bits; c > first; c--) {
		error = qcow2_count(q, c - 1, &count);
		if (error)
			return error;
		if (count)
			break;
	}
	q->end = c ? c : 1;
	file = qcow2_round_up(q->node.file->size, q->cluster_size) >>
	       q->header.cluster_bits;
	q->clean = !q->node.file->grows ? UINT64_MAX
					: file > q->end ? file : q->end;
	return 0;
}

/* The first free cluster in [q->scan, q->end); q->end: not found in time. */
static int search(struct qcow2 *q, uint64_t *found)
{
	uint64_t per_slice = (uint64_t)q->cache.size * 8 >>
			     q->header.refcount_order;
	unsigned int slices = 0;
	int error;

	while (q->scan < q->end && slices < SEARCH_SLICES) {
		uint64_t c = q->scan, index;
		struct qcow2_slice *slice;

		error = find_count(q, c, &slice, &index);
		if (error)
			return error;
		while (slice && c < q->end && index < per_slice &&
		       qcow2_count_get(slice->bytes, q->header.refcount_order,
				       index)) {
			index++;
			c++;
		}
		q->scan = c;
		if (c < q->end && (!slice || index < per_slice)) {
			*found = c;
			return 0;
		}
		slices++;
	}
	*found = q->end;
	return 0;
}

/* How many from `cluster` on, `want` at most, are free; they have a block. */
static int free_run(struct qcow2 *q, uint64_t cluster, uint64_t want,
		    uint64_t *got)
{
	for (*got = 0; *got < want; ++*got) {
		uint64_t count;
		int error = need_block(q, cluster + *got);

		if (!error)
			error = qcow2_count(q, cluster + *got, &count);
		if (error && *got && !q->corrupt)
			return 0;
		if (error)
			return error;
		if (count)
			break;
		if (qcow2_set_has(&q->tables, cluster + *got))
			return qcow2_is_corrupt(q);
	}
	return 0;
}

/* Takes a run that was found. */
static int take(struct qcow2 *q, uint64_t cluster, uint64_t count, bool *clean)
{
	uint64_t end = cluster + count;
	int error = qcow2_count_change(q, cluster, count, 1);

	if (error)
		return error;
	*clean = cluster >= q->clean;
	if (q->clean != UINT64_MAX && end > q->clean)
		q->clean = end;
	if (end > q->end)
		q->end = end;
	if (cluster == q->scan)
		q->scan = end;
	return 0;
}

int qcow2_alloc(struct qcow2 *q, uint64_t want, uint64_t *at, uint64_t *got,
		bool *clean)
{
	uint64_t cluster = 0;
	int error = q->end ? 0 : qcow2_find_end(q);

	if (!error)
		error = search(q, &cluster);
	for (*got = 0; !error && !*got;) {
		error = free_run(q, cluster, want, got);
		if (!*got)
			cluster++; /* a new block took it */
	}
	if (error)
		return error;
	if (cluster + *got > QCOW2_OFFSET_MAX >> q->header.cluster_bits) {
		*got = 0;
		return -EFBIG;
	}
	*at = cluster << q->header.cluster_bits;
	return take(q, cluster, *got, clean);
}

int qcow2_alloc_all(struct qcow2 *q, uint64_t clusters, uint64_t *at)
{
	uint64_t cluster, got = 0;
	bool clean;
	int error = q->end ? 0 : qcow2_find_end(q);

	if (clusters == 1)
		return qcow2_alloc(q, 1, at, &got, &clean);
	for (cluster = q->end; !error; cluster += got + 1) {
		error = free_run(q, cluster, clusters, &got);
		if (error || got == clusters)
			break;
	}
	*at = cluster << q->header.cluster_bits;
	return error ? error : take(q, cluster, clusters, &clean);
}

void qcow2_alloc_undo(struct qcow2 *q, uint64_t at, uint64_t clusters)
{
	(void)qcow2_count_change(q, at >> q->header.cluster_bits, clusters,
				 -1);
}

int qcow2_free(struct qcow2 *q, uint64_t at, uint64_t length, bool give_back)
{
	unsigned int bits = q->header.cluster_bits;
	struct qcow2_freed_list *list = &q->freed;
	uint64_t cluster = at >> bits;
	uint64_t count = ((at + length - 1) >> bits) - cluster + 1;
	struct qcow2_freed *last = list->count ? &list->item[list->count - 1]
					       : NULL;

	if (last && last->give_back == give_back &&
	    last->cluster + last->count == cluster) {
		last->count += count;
		return 0;
	}
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 64;
		struct qcow2_freed *item =
			realloc(list->item, room * sizeof(*item));

		if (!item)
			return -ENOMEM;
		list->item = item;
		list->room = room;
	}
	list->item[list->count++] =
		(struct qcow2_freed){ cluster, count, give_back };
	return 0;
}
