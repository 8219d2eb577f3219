/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty bitmaps of an open qcow2 image: marked as writes come, stored when it
 * is closed; see bitmap.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/bitmap.h"
#include "disk/zeros.h"

#define BITS_MAX (64ull << 20) /* bytes that one may take in memory */

/* --- in memory -------------------------------------------------------------- */

static bool follows(const struct qcow2 *q, const struct qcow2_bitmap *b)
{
	return b->flags & QCOW2_BITMAP_AUTO &&
	       !(b->flags & QCOW2_BITMAP_IN_USE) &&
	       b->type == QCOW2_BITMAP_DIRTY &&
	       (!b->extra_size || b->flags & QCOW2_BITMAP_COMPATIBLE) &&
	       qcow2_bitmap_bytes(q, b) <= BITS_MAX;
}

/* One cluster of a bitmap, `size` bytes of it. */
static int load_part(struct qcow2 *q, uint64_t entry, uint8_t *to, size_t size)
{
	uint64_t at = entry & QCOW2_OFFSET;

	if (at & (q->cluster_size - 1))
		return -EIO;
	if (at)
		return qcow2_read_padded(q->node.file, at, to, size);
	memset(to, entry & 1 ? 0xff : 0, size);
	return 0;
}

int qcow2_bitmap_load(struct qcow2 *q, const struct qcow2_bitmap *b,
		      uint8_t **bits)
{
	uint64_t size = qcow2_bitmap_bytes(q, b), at = 0;
	struct qcow2_table table;
	int error = qcow2_table_load(&table, q->node.file, b->table_at,
				     b->entries);

	*bits = NULL;
	if (error)
		return error;
	*bits = calloc(1, size + 1);
	error = *bits ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < table.entries && at < size && !error; i++) {
		uint64_t part = size - at < q->cluster_size ? size - at
							    : q->cluster_size;

		error = load_part(q, table.entry[i], *bits + at, part);
		at += part;
	}
	qcow2_table_free(&table);
	if (error) {
		free(*bits);
		*bits = NULL;
	}
	return error;
}

/* The directory with the flags as they are, in its place. */
static int store_flags(struct qcow2 *q)
{
	uint8_t *bytes = calloc(1, q->directory_size + 1);
	int error = bytes ? 0 : -ENOMEM;

	if (!error) {
		qcow2_bitmaps_format(q, bytes);
		error = disk_write_bytes(q->node.file, q->directory_at, bytes,
					 q->directory_size);
	}
	free(bytes);
	return error ? error : disk_flush(q->node.file);
}

int qcow2_bitmaps_begin(struct qcow2 *q)
{
	bool any = false;

	for (uint32_t i = 0; i < q->bitmap_count; i++) {
		struct qcow2_bitmap *b = &q->bitmaps[i];
		bool usable = follows(q, b);

		if (!(b->flags & QCOW2_BITMAP_AUTO) ||
		    b->flags & QCOW2_BITMAP_IN_USE)
			continue;
		/* One that cannot be followed stays marked for good. */
		if (usable && qcow2_bitmap_load(q, b, &b->bits))
			b->bits = NULL;
		b->flags |= QCOW2_BITMAP_IN_USE;
		any = true;
	}
	return any ? store_flags(q) : 0;
}

void qcow2_bitmaps_note(struct qcow2 *q, uint64_t offset, uint64_t length)
{
	for (uint32_t i = 0; i < q->bitmap_count && length; i++) {
		struct qcow2_bitmap *b = &q->bitmaps[i];
		uint64_t last = (offset + length - 1) >> b->granularity;
		uint64_t end = qcow2_bitmap_bytes(q, b) * 8;

		for (uint64_t bit = offset >> b->granularity;
		     b->bits && bit <= last && bit < end; bit++)
			b->bits[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
}

bool qcow2_bitmaps_noted(const struct qcow2 *q, uint64_t offset,
			 uint64_t length)
{
	for (uint32_t i = 0; i < q->bitmap_count; i++) {
		const struct qcow2_bitmap *b = &q->bitmaps[i];
		uint64_t last = (offset + length - 1) >> b->granularity;

		for (uint64_t bit = offset >> b->granularity;
		     b->bits && bit <= last; bit++)
			if (!(b->bits[bit / 8] >> bit % 8 & 1))
				return false;
	}
	return true;
}

/* --- storing ---------------------------------------------------------------- */

/* A cluster of a bitmap to a place of its own, or said by the entry alone. */
static int store_part(struct qcow2 *q, const uint8_t *bits, size_t size,
		      uint64_t *entry)
{
	uint8_t *bytes;
	int error;

	*entry = 0;
	if (disk_all_zeros(bits, size))
		return 0;
	bytes = calloc(1, q->cluster_size);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, bits, size);
	error = qcow2_alloc_all(q, 1, entry);
	if (!error)
		error = disk_write_bytes(q->node.file, *entry, bytes,
					 q->cluster_size);
	if (!error)
		error = qcow2_tables_add(q, *entry, q->cluster_size);
	free(bytes);
	return error;
}

int qcow2_bitmap_free_table(struct qcow2 *q, uint64_t at, uint32_t entries)
{
	struct qcow2_table table;
	int error = qcow2_table_load(&table, q->node.file, at, entries);

	for (uint32_t i = 0; !error && i < entries; i++) {
		uint64_t place = table.entry[i] & QCOW2_OFFSET;

		if (!place)
			continue;
		qcow2_tables_remove(q, place, q->cluster_size);
		error = qcow2_free(q, place, q->cluster_size, true);
	}
	if (!error && entries) {
		qcow2_tables_remove(q, at, entries * 8ull);
		error = qcow2_free(q, at, entries * 8ull, true);
	}
	qcow2_table_free(&table);
	return error;
}

/* A bitmap's bits to a new table. */
static int store_bits(struct qcow2 *q, struct qcow2_bitmap *b)
{
	uint64_t size = qcow2_bitmap_bytes(q, b), at = 0;
	struct qcow2_table table;
	uint32_t entries = (uint32_t)(qcow2_round_up(size, q->cluster_size) >>
				      q->header.cluster_bits);
	int error = qcow2_table_make(&table, entries);

	for (uint32_t i = 0; i < entries && !error; i++) {
		uint64_t part = size - at < q->cluster_size ? size - at
							    : q->cluster_size;

		error = store_part(q, b->bits + at, part, &table.entry[i]);
		at += part;
	}
	if (!error)
		error = qcow2_alloc_all(q,
					qcow2_round_up(entries * 8ull,
						       q->cluster_size) >>
						q->header.cluster_bits,
					&b->table_at);
	if (!error)
		error = qcow2_table_write(&table, q->node.file, b->table_at);
	if (!error)
		error = qcow2_tables_add(q, b->table_at, entries * 8ull);
	b->entries = entries;
	qcow2_table_free(&table);
	return error;
}

/* The directory to a new place, and the header's extension for it. */
static int store_directory(struct qcow2 *q)
{
	uint64_t size = 0, at = 0;
	uint8_t ext[24] = { 0 }, *bytes;
	int error;

	for (uint32_t i = 0; i < q->bitmap_count; i++)
		size += qcow2_bitmap_record(&q->bitmaps[i]);
	q->directory_size = size;
	q->directory_at = 0;
	if (!size)
		return qcow2_ext_set(q, QCOW2_EXT_BITMAPS, NULL, 0);
	bytes = calloc(1, size);
	if (!bytes)
		return -ENOMEM;
	qcow2_bitmaps_format(q, bytes);
	error = qcow2_alloc_all(q, qcow2_round_up(size, q->cluster_size) >>
					   q->header.cluster_bits, &at);
	if (!error)
		error = disk_write_bytes(q->node.file, at, bytes, size);
	if (!error)
		error = qcow2_tables_add(q, at, size);
	free(bytes);
	if (error)
		return error;
	q->directory_at = at;
	put_be32(ext, q->bitmap_count);
	put_be64(ext + 8, size);
	put_be64(ext + 16, at);
	return qcow2_ext_set(q, QCOW2_EXT_BITMAPS, ext, sizeof(ext));
}

/* Everything new is written; the header tells of it in one go. */
static int switch_over(struct qcow2 *q)
{
	int error;

	pthread_mutex_lock(&q->lock);
	error = store_directory(q);
	pthread_mutex_unlock(&q->lock);
	if (!error)
		error = qcow2_settle(q);
	pthread_mutex_lock(&q->lock);
	q->header.autoclear &= ~QCOW2_BITMAPS;
	if (q->bitmap_count)
		q->header.autoclear |= QCOW2_BITMAPS;
	if (!error)
		error = qcow2_header_rewrite(q, true);
	pthread_mutex_unlock(&q->lock);
	return error;
}

int qcow2_bitmaps_store(struct qcow2 *q)
{
	uint64_t old = q->directory_at, old_size = q->directory_size;
	struct qcow2_bitmap *before;
	bool any = q->bitmaps_changed;
	int error = 0;

	for (uint32_t i = 0; i < q->bitmap_count; i++)
		any |= q->bitmaps[i].bits != NULL;
	if (!any)
		return 0;
	before = malloc((q->bitmap_count + 1) * sizeof(*before));
	if (!before)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->bitmap_count && !error; i++) {
		before[i] = q->bitmaps[i];
		if (!q->bitmaps[i].bits)
			continue;
		pthread_mutex_lock(&q->lock);
		error = store_bits(q, &q->bitmaps[i]);
		q->bitmaps[i].flags &= ~QCOW2_BITMAP_IN_USE;
		pthread_mutex_unlock(&q->lock);
	}
	if (!error)
		error = switch_over(q);
	pthread_mutex_lock(&q->lock);
	for (uint32_t i = 0; i < q->bitmap_count && !error; i++)
		if (q->bitmaps[i].bits)
			error = qcow2_bitmap_free_table(
				q, before[i].table_at, before[i].entries);
	if (!error && old_size) {
		qcow2_tables_remove(q, old, old_size);
		error = qcow2_free(q, old, old_size, true);
	}
	q->bitmaps_changed = error;
	pthread_mutex_unlock(&q->lock);
	free(before);
	return error ? error : qcow2_settle(q);
}
