/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty bitmaps of qcow2 images: their directory as it lies in the file.
 */
#include "disk/qcow2/bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/check.h"

#define RECORD	    24u /* bytes of a record's fixed part */
#define BITMAPS_MAX 65535u
#define NAMES_MAX   1023u
#define EXTRA_MAX   65536u
#define TABLE_MAX   (8u << 20) /* bytes of a bitmap's table */

uint64_t qcow2_bitmap_record(const struct qcow2_bitmap *b)
{
	return qcow2_round_up(RECORD + b->extra_size + b->name_size, 8);
}

uint64_t qcow2_bitmap_bytes(const struct qcow2 *q,
			    const struct qcow2_bitmap *b)
{
	uint64_t bits = (q->header.size >> b->granularity) +
			!!(q->header.size & ((1ull << b->granularity) - 1));

	return (bits + 7) / 8;
}

void qcow2_bitmap_free(struct qcow2_bitmap *b)
{
	free(b->name);
	free(b->extra);
	free(b->bits);
}

void qcow2_bitmaps_free(struct qcow2 *q)
{
	for (uint32_t i = 0; i < q->bitmap_count; i++)
		qcow2_bitmap_free(&q->bitmaps[i]);
	free(q->bitmaps);
	q->bitmaps = NULL;
	q->bitmap_count = 0;
}

/* A record of `left` bytes of directory. */
static int load_record(struct qcow2 *q, const uint8_t *at, uint64_t left,
		       struct qcow2_bitmap *b)
{
	uint64_t clusters;

	if (left < RECORD)
		return -EUCLEAN;
	b->table_at = get_be64(at);
	b->entries = get_be32(at + 8);
	b->flags = get_be32(at + 12);
	b->type = at[16];
	b->granularity = at[17];
	b->name_size = get_be16(at + 18);
	b->extra_size = get_be32(at + 20);
	if (b->granularity > 63 || !b->name_size ||
	    b->name_size > NAMES_MAX || b->extra_size > EXTRA_MAX ||
	    b->table_at & (q->cluster_size - 1) ||
	    b->entries > TABLE_MAX / 8 || qcow2_bitmap_record(b) > left)
		return -EUCLEAN;
	clusters = qcow2_round_up(qcow2_bitmap_bytes(q, b), q->cluster_size) >>
		   q->header.cluster_bits;
	if (!(b->flags & QCOW2_BITMAP_IN_USE) && b->entries != clusters)
		return -EUCLEAN;
	b->name = calloc(1, b->name_size + 1u);
	b->extra = malloc(b->extra_size + 1u);
	if (!b->name || !b->extra)
		return -ENOMEM;
	memcpy(b->extra, at + RECORD, b->extra_size);
	memcpy(b->name, at + RECORD + b->extra_size, b->name_size);
	return 0;
}

static int load_directory(struct qcow2 *q, const uint8_t *bytes)
{
	uint64_t used = 0;
	int error = 0;

	for (uint32_t i = 0; i < q->bitmap_count && !error; i++) {
		error = load_record(q, bytes + used,
				    q->directory_size - used, &q->bitmaps[i]);
		used += qcow2_bitmap_record(&q->bitmaps[i]);
	}
	return error;
}

int qcow2_bitmaps_load(struct qcow2 *q, struct disk_node *file)
{
	const struct qcow2_ext *ext = qcow2_ext_find(q, QCOW2_EXT_BITMAPS);
	uint8_t *bytes;
	uint32_t count;
	int error;

	if (!ext || !(q->header.autoclear & QCOW2_BITMAPS))
		return 0;
	if (ext->size < 24)
		return -EUCLEAN;
	count = get_be32(ext->data);
	q->directory_size = get_be64(ext->data + 8);
	q->directory_at = get_be64(ext->data + 16);
	if (!count || count > BITMAPS_MAX ||
	    q->directory_size > count * (RECORD + EXTRA_MAX + 1024ull) ||
	    q->directory_size > file->size ||
	    q->directory_at & (q->cluster_size - 1))
		return -EUCLEAN;
	q->bitmaps = calloc(count, sizeof(*q->bitmaps));
	bytes = malloc(q->directory_size + 1);
	if (!q->bitmaps || !bytes) {
		free(bytes);
		return -ENOMEM;
	}
	q->bitmap_count = count;
	error = qcow2_read_padded(file, q->directory_at, bytes,
				  q->directory_size);
	if (!error)
		error = load_directory(q, bytes);
	free(bytes);
	return error;
}

void qcow2_bitmaps_format(const struct qcow2 *q, uint8_t *to)
{
	for (uint32_t i = 0; i < q->bitmap_count; i++) {
		const struct qcow2_bitmap *b = &q->bitmaps[i];

		put_be64(to, b->table_at);
		put_be32(to + 8, b->entries);
		put_be32(to + 12, b->flags);
		to[16] = b->type;
		to[17] = b->granularity;
		put_be16(to + 18, b->name_size);
		put_be32(to + 20, b->extra_size);
		memcpy(to + RECORD, b->extra, b->extra_size);
		memcpy(to + RECORD + b->extra_size, b->name, b->name_size);
		to += qcow2_bitmap_record(b);
	}
}

/* --- the check -------------------------------------------------------------- */

static int check_bitmap(struct qcow2_checker *c, const struct qcow2_bitmap *b)
{
	struct qcow2 *q = c->q;
	struct qcow2_table table;
	int error = qcow2_refer(c, b->table_at, b->entries * 8ull,
				QCOW2_IS_TABLE, 1, "a bitmap's table");

	if (error)
		return error == -EUCLEAN ? 0 : error;
	error = qcow2_table_load(&table, c->file, b->table_at, b->entries);
	for (uint32_t i = 0; !error && i < table.entries; i++) {
		uint64_t at = table.entry[i] & QCOW2_OFFSET;

		if (!at)
			continue;
		if (at & (q->cluster_size - 1)) {
			qcow2_say(c, &c->result->corruptions,
				  "bitmap %s has an entry that makes no sense",
				  b->name);
			continue;
		}
		error = qcow2_refer(c, at, q->cluster_size, QCOW2_IS_TABLE, 1,
				    "a bitmap");
		if (error == -EUCLEAN)
			error = 0;
	}
	qcow2_table_free(&table);
	return error;
}

int qcow2_bitmaps_check(struct qcow2_checker *c)
{
	struct qcow2 *q = c->q;
	int error = 0;

	if (!q->bitmap_count)
		return 0;
	error = qcow2_refer(c, q->directory_at, q->directory_size,
			    QCOW2_IS_TABLE, 1, "the directory of bitmaps");
	if (error == -EUCLEAN)
		error = 0;
	for (uint32_t i = 0; i < q->bitmap_count && !error; i++)
		error = check_bitmap(c, &q->bitmaps[i]);
	return error;
}
