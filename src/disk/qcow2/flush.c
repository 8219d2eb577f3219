/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes out what an open qcow2 image holds back, in the order that qcow2.h
 * tells. What is to be written is copied first, so that others go on while
 * the disk works.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

#define SECTOR	       512u
#define SECTOR_ENTRIES 64u
#define ROUNDS	       8 /* flushes until nothing can be left to count down */

/* Something to write, copied. */
struct part {
	uint64_t at;
	uint32_t size;
	size_t bytes; /* where in the batch's */
	struct qcow2_slice *slice; /* NULL: of a table */
};

struct batch {
	struct part *part;
	size_t parts, room;
	uint8_t *bytes;
	size_t used, size;
};

static int batch_add(struct batch *batch, uint64_t at, const void *bytes,
		     uint32_t size, struct qcow2_slice *slice)
{
	if (batch->parts == batch->room) {
		size_t room = batch->room ? batch->room * 2 : 16;
		struct part *part = realloc(batch->part, room * sizeof(*part));

		if (!part)
			return -ENOMEM;
		batch->part = part;
		batch->room = room;
	}
	if (batch->used + size > batch->size) {
		size_t bigger = (batch->used + size) * 2;
		uint8_t *all = realloc(batch->bytes, bigger);

		if (!all)
			return -ENOMEM;
		batch->bytes = all;
		batch->size = bigger;
	}
	memcpy(batch->bytes + batch->used, bytes, size);
	batch->part[batch->parts++] = (struct part){ at, size, batch->used,
						     slice };
	batch->used += size;
	return 0;
}

static void batch_free(struct batch *batch)
{
	free(batch->part);
	free(batch->bytes);
}

static int by_place(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static int batch_write(struct batch *batch, struct disk_node *file)
{
	if (batch->parts)
		qsort(batch->part, batch->parts, sizeof(*batch->part),
		      by_place);
	for (size_t i = 0; i < batch->parts;) {
		struct span span[64];
		uint64_t at = batch->part[i].at, size = 0;
		unsigned int n = 0;
		int error;

		/* Neighbours in one go. */
		while (i < batch->parts && n < 64 &&
		       batch->part[i].at == at + size) {
			span[n].data = batch->bytes + batch->part[i].bytes;
			span[n].size = batch->part[i].size;
			size += span[n++].size;
			i++;
		}
		error = disk_write(file, at, size,
				   (struct disk_vec){ span, n, 0 });
		if (error)
			return error;
	}
	return 0;
}

/* --- what one flush writes -------------------------------------------------- */

struct flush {
	struct batch counts, reftable, l2, l1;
	struct qcow2_freed_list freed;
};

static int collect_table(struct qcow2_table *table, struct batch *batch)
{
	uint64_t sector[SECTOR_ENTRIES];
	uint32_t sectors = (table->entries + SECTOR_ENTRIES - 1) /
			   SECTOR_ENTRIES;

	for (uint32_t i = 0; table->any_dirty && i < sectors; i++) {
		uint32_t first = i * SECTOR_ENTRIES;
		uint32_t n = table->entries - first;

		if (!(table->dirty[i / 64] >> i % 64 & 1))
			continue;
		if (n > SECTOR_ENTRIES)
			n = SECTOR_ENTRIES;
		for (uint32_t j = 0; j < n; j++)
			sector[j] = htobe64(table->entry[first + j]);
		if (batch_add(batch, table->at + (uint64_t)first * 8, sector,
			      n * 8, NULL))
			return -ENOMEM;
	}
	return 0;
}

static void table_is_clean(struct qcow2_table *table)
{
	uint32_t sectors = table->entries / SECTOR_ENTRIES + 1;

	if (table->any_dirty)
		memset(table->dirty, 0, (sectors / 64 + 1) * 8);
	table->any_dirty = false;
}

static void slices_are_written(struct batch *batch)
{
	for (size_t i = 0; i < batch->parts; i++) {
		batch->part[i].slice->dirty = false;
		batch->part[i].slice->writing = true;
	}
}

/* Copies all that is to be written, and calls it clean. With `lock`. */
static int collect(struct qcow2 *q, struct flush *flush)
{
	struct qcow2_cache *cache = &q->cache;
	int error = 0;

	for (unsigned int i = 0; cache->dirty && i < cache->count; i++) {
		struct qcow2_slice *slice = cache->slices[i];

		if (slice->dirty && !error)
			error = batch_add(slice->counts ? &flush->counts
							: &flush->l2,
					  slice->at, slice->bytes, cache->size,
					  slice);
	}
	if (!error)
		error = collect_table(&q->reftable, &flush->reftable);
	if (!error)
		error = collect_table(&q->l1, &flush->l1);
	if (error)
		return error;
	slices_are_written(&flush->counts);
	slices_are_written(&flush->l2);
	cache->dirty = 0;
	table_is_clean(&q->reftable);
	table_is_clean(&q->l1);
	flush->freed = q->freed;
	q->freed = (struct qcow2_freed_list){ 0 };
	return 0;
}

static int sync_all(struct qcow2 *q)
{
	int error = q->external ? disk_flush(q->store) : 0;

	return error ? error : disk_flush(q->node.file);
}

static int write_out(struct qcow2 *q, struct flush *flush)
{
	struct disk_node *file = q->node.file;
	int error = batch_write(&flush->counts, file);

	if (!error && flush->reftable.parts) {
		error = disk_flush(file);
		if (!error)
			error = batch_write(&flush->reftable, file);
	}
	if (!error)
		error = sync_all(q);
	if (error || (!flush->l2.parts && !flush->l1.parts))
		return error;
	error = batch_write(&flush->l2, file);
	if (!error)
		error = batch_write(&flush->l1, file);
	return error ? error : disk_flush(file);
}

/* Gives clusters to the host that are to be free. */
static void give_back(struct qcow2 *q, const struct qcow2_freed *freed)
{
	unsigned int bits = q->header.cluster_bits;
	uint64_t run = 0, end = freed->cluster + freed->count;

	for (uint64_t c = freed->cluster; c <= end; c++) {
		uint64_t count = 0, size = q->node.file->size, at, length;

		if (c < end) {
			pthread_mutex_lock(&q->lock);
			if (qcow2_count(q, c, &count))
				count = 0;
			if (count == 1) /* no new neighbours */
				qcow2_packed_forget(q, c);
			pthread_mutex_unlock(&q->lock);
			if (count == 1) {
				run++;
				continue;
			}
		}
		at = (c - run) << bits;
		length = run << bits;
		if (length && at < size)
			disk_discard(q->node.file, at,
				     length < size - at ? length : size - at);
		run = 0;
	}
}

static int count_down(struct qcow2 *q, struct qcow2_freed_list *list)
{
	int error = 0, result;

	for (size_t i = 0; i < list->count; i++) {
		struct qcow2_freed *freed = &list->item[i];

		if (freed->give_back)
			give_back(q, freed);
		pthread_mutex_lock(&q->lock);
		result = qcow2_count_change(q, freed->cluster, freed->count,
					    -1);
		if (!error)
			error = result;
		pthread_mutex_unlock(&q->lock);
	}
	list->count = 0;
	return error;
}

static void mark_again(struct qcow2_table *table, const struct batch *batch)
{
	for (size_t i = 0; i < batch->parts; i++) {
		uint64_t sector = (batch->part[i].at - table->at) / SECTOR;

		/* Elsewhere: it was moved meanwhile, with its content. */
		if (batch->part[i].at < table->at ||
		    sector > table->entries / SECTOR_ENTRIES)
			continue;
		table->dirty[sector / 64] |= 1ull << sector % 64;
		table->any_dirty = true;
	}
}

static void release_slices(struct qcow2 *q, struct batch *batch, bool failed)
{
	for (size_t i = 0; i < batch->parts; i++) {
		struct qcow2_slice *slice = batch->part[i].slice;

		slice->writing = false;
		/* One that was forgotten meanwhile lies elsewhere or nowhere. */
		if (failed && slice->at == batch->part[i].at)
			qcow2_cache_dirty(q, slice);
	}
}

/* With `lock`. What failed is dirty and freed as it was. */
static void finish(struct qcow2 *q, struct flush *flush, bool failed)
{
	release_slices(q, &flush->counts, failed);
	release_slices(q, &flush->l2, failed);
	if (failed) {
		mark_again(&q->reftable, &flush->reftable);
		mark_again(&q->l1, &flush->l1);
		for (size_t i = 0; i < flush->freed.count; i++) {
			struct qcow2_freed *f = &flush->freed.item[i];
			unsigned int bits = q->header.cluster_bits;

			/* Without memory it is a leak, no more. */
			(void)qcow2_free(q, f->cluster << bits,
					 f->count << bits, f->give_back);
		}
	}
	batch_free(&flush->counts);
	batch_free(&flush->reftable);
	batch_free(&flush->l2);
	batch_free(&flush->l1);
	free(flush->freed.item);
}

int qcow2_flush_held(struct qcow2 *q)
{
	struct flush flush = { 0 };
	int error, result;

	pthread_mutex_lock(&q->lock);
	error = q->corrupt ? -EIO : collect(q, &flush);
	pthread_mutex_unlock(&q->lock);
	if (!error)
		error = write_out(q, &flush);
	result = error ? 0 : count_down(q, &flush.freed);
	pthread_mutex_lock(&q->lock);
	finish(q, &flush, error);
	pthread_mutex_unlock(&q->lock);
	return error ? error : result;
}

int qcow2_flush(struct disk_node *node)
{
	struct qcow2 *q = qcow2_of(node);
	int error;

	pthread_mutex_lock(&q->flushing);
	error = qcow2_flush_held(q);
	pthread_mutex_unlock(&q->flushing);
	return error;
}

int qcow2_settle(struct qcow2 *q)
{
	bool more = true;
	int error = 0;

	for (int i = 0; i < ROUNDS && more && !error; i++) {
		error = qcow2_flush_held(q);
		pthread_mutex_lock(&q->lock);
		more = q->cache.dirty || q->freed.count ||
		       q->l1.any_dirty || q->reftable.any_dirty;
		pthread_mutex_unlock(&q->lock);
	}
	return error;
}
