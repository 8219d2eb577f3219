/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty bitmaps of qcow2 images as their users have them: made, read, emptied,
 * removed. Each change has the image alone for a moment and is stored at once;
 * the next write marks what follows as in use again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/bitmap.h"

#define GRANULARITY_MIN 9u /* bits: what QEMU takes */
#define GRANULARITY_MAX 31u
#define NAMES_MAX	1023u
#define COUNT_MAX	65535u

static struct qcow2_bitmap *find(struct qcow2 *q, const char *name)
{
	for (uint32_t i = 0; i < q->bitmap_count; i++)
		if (!strcmp(q->bitmaps[i].name, name))
			return &q->bitmaps[i];
	return NULL;
}

/* The image alone; what it holds back is in the file. */
static int enter(struct qcow2 *q, struct disk_range *range)
{
	int result;

	disk_range_enter(&q->node.ranges, range, 0, UINT64_MAX, true);
	pthread_mutex_lock(&q->flushing);
	result = qcow2_begin(q, 0, 0);
	return result ? result : qcow2_settle(q);
}

/* Stores what was changed unless `result` says no. */
static int leave(struct qcow2 *q, struct disk_range *range, int result)
{
	if (!result)
		result = qcow2_bitmaps_store(q);
	pthread_mutex_lock(&q->lock);
	for (uint32_t i = 0; !result && i < q->bitmap_count; i++) {
		free(q->bitmaps[i].bits);
		q->bitmaps[i].bits = NULL;
		if (q->bitmaps[i].flags & QCOW2_BITMAP_AUTO)
			q->started = false;
	}
	pthread_mutex_unlock(&q->lock);
	pthread_mutex_unlock(&q->flushing);
	disk_range_leave(&q->node.ranges, range);
	return result;
}

static int told(int result, struct disk_error *error)
{
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

static int missing(const char *name, struct disk_error *error)
{
	return disk_error_set(error, -ENOENT, "has no bitmap \"%s\"", name);
}

/* --- making ----------------------------------------------------------------- */

static int append(struct qcow2 *q, const char *name, unsigned int granularity)
{
	struct qcow2_bitmap *all, *b;

	all = realloc(q->bitmaps, (q->bitmap_count + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	q->bitmaps = all;
	b = &all[q->bitmap_count];
	*b = (struct qcow2_bitmap){
		.flags = QCOW2_BITMAP_AUTO,
		.type = QCOW2_BITMAP_DIRTY,
		.granularity = (uint8_t)granularity,
		.name = strdup(name),
		.name_size = (uint16_t)strlen(name),
		.extra = malloc(1),
	};
	b->bits = calloc(1, qcow2_bitmap_bytes(q, b) + 1);
	if (b->name && b->extra && b->bits) {
		q->bitmap_count++;
		return 0;
	}
	qcow2_bitmap_free(b);
	return -ENOMEM;
}

int qcow2_bitmap_add(struct disk_node *node, const char *name,
		     uint64_t granularity, struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	unsigned int bits = granularity
				    ? (unsigned int)__builtin_ctzll(granularity)
				    : 0;
	struct disk_range range;
	int result;

	if (node->readonly || q->header.version < 3)
		return disk_error_set(error, -ENOTSUP, "cannot have bitmaps: "
				      "it is read-only, or of version 2");
	if (granularity & (granularity - 1) || bits < GRANULARITY_MIN ||
	    bits > GRANULARITY_MAX || !*name || strlen(name) > NAMES_MAX)
		return disk_error_set(error, -EINVAL, "give the bitmap a name, "
				      "and a power of two from 512 to 2G");
	if (q->bitmap_count >= COUNT_MAX)
		return disk_error_set(error, -E2BIG, "has too many bitmaps");
	result = enter(q, &range);
	pthread_mutex_lock(&q->lock);
	if (!result && find(q, name))
		result = -EEXIST;
	if (!result)
		result = append(q, name, bits);
	pthread_mutex_unlock(&q->lock);
	result = leave(q, &range, result);
	return result == -EEXIST
		       ? disk_error_set(error, result, "has a bitmap \"%s\" "
					"already; delete it, or take another "
					"name", name)
		       : told(result, error);
}

/* --- emptying and removing -------------------------------------------------- */

int qcow2_bitmap_clear(struct disk_node *node, const char *name,
		       struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	struct disk_range range;
	struct qcow2_bitmap *b;
	int result = node->readonly ? -EROFS : 0;

	if (result)
		return told(result, error);
	result = enter(q, &range);
	pthread_mutex_lock(&q->lock);
	b = find(q, name);
	if (!result && b) {
		free(b->bits);
		b->bits = calloc(1, qcow2_bitmap_bytes(q, b) + 1);
		result = b->bits ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&q->lock);
	result = leave(q, &range, result || b ? result : -ENOENT);
	return result == -ENOENT ? missing(name, error) : told(result, error);
}

int qcow2_bitmap_remove(struct disk_node *node, const char *name,
			struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_bitmap *b, gone = { 0 };
	struct disk_range range;
	int result = node->readonly ? -EROFS : 0;

	if (result)
		return told(result, error);
	result = enter(q, &range);
	pthread_mutex_lock(&q->lock);
	b = find(q, name);
	if (!result && !b)
		result = -ENOENT;
	if (!result) {
		gone = *b;
		*b = q->bitmaps[--q->bitmap_count];
		q->bitmaps_changed = true;
	}
	pthread_mutex_unlock(&q->lock);
	if (!result)
		result = qcow2_bitmaps_store(q);
	/* The file refers to its clusters no longer. */
	pthread_mutex_lock(&q->lock);
	if (!result)
		result = qcow2_bitmap_free_table(q, gone.table_at,
						 gone.entries);
	pthread_mutex_unlock(&q->lock);
	qcow2_bitmap_free(&gone);
	if (!result)
		result = qcow2_settle(q);
	result = leave(q, &range, result);
	return result == -ENOENT ? missing(name, error) : told(result, error);
}

/* --- merging ---------------------------------------------------------------- */

/* Marks [from, end) of the disk. */
static void mark(struct qcow2 *q, struct qcow2_bitmap *b, uint64_t from,
		 uint64_t end)
{
	uint64_t last = qcow2_bitmap_bytes(q, b) * 8;

	for (uint64_t i = from >> b->granularity;
	     i < last && i << b->granularity < end; i++)
		b->bits[i / 8] |= (uint8_t)(1u << i % 8);
}

static void mark_all(struct qcow2 *q, struct qcow2_bitmap *b,
		     const uint8_t *bits, unsigned int granularity)
{
	uint64_t size = q->header.size;

	for (uint64_t i = 0; i << granularity < size; i++) {
		uint64_t end = (i + 1) << granularity;

		if (bits[i / 8] >> i % 8 & 1)
			mark(q, b, i << granularity, end < size ? end : size);
	}
}

/* The bits of one that is to be believed, in memory. */
static int need_bits(struct qcow2 *q, struct qcow2_bitmap *b)
{
	if (b->bits)
		return 0;
	if (b->flags & QCOW2_BITMAP_IN_USE)
		return -ESTALE;
	return qcow2_bitmap_load(q, b, &b->bits);
}

static int merge(struct qcow2 *q, const char *name, const char *from)
{
	struct qcow2_bitmap *to = find(q, name), *source = find(q, from);
	uint8_t *bits;
	int result;

	if (!to || !source)
		return -ENOENT;
	result = need_bits(q, to);
	if (result || to == source)
		return result;
	if (source->bits) {
		mark_all(q, to, source->bits, source->granularity);
		return 0;
	}
	if (source->flags & QCOW2_BITMAP_IN_USE)
		return -ESTALE;
	result = qcow2_bitmap_load(q, source, &bits);
	if (!result)
		mark_all(q, to, bits, source->granularity);
	free(bits);
	return result;
}

/* Marks in `name` what is marked in `from`. */
static int qcow2_bitmap_merge(struct disk_node *node, const char *name,
			      const char *from, struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	struct disk_range range;
	const char *none;
	int result = node->readonly ? -EROFS : 0;

	if (result)
		return told(result, error);
	result = enter(q, &range);
	pthread_mutex_lock(&q->lock);
	none = find(q, name) ? from : name;
	if (!result)
		result = merge(q, name, from);
	pthread_mutex_unlock(&q->lock);
	result = leave(q, &range, result);
	if (result == -ESTALE)
		return disk_error_set(error, result, "one of the two bitmaps "
				      "was not stored when the image was last "
				      "used; clear it");
	return result == -ENOENT ? missing(none, error) : told(result, error);
}

/* --- reading ---------------------------------------------------------------- */

int qcow2_bitmap_read(struct disk_node *node, const char *name, uint8_t **bits,
		      uint64_t *granularity, struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_bitmap *b;
	uint64_t size;
	int result = 0;

	*bits = NULL;
	pthread_mutex_lock(&q->lock);
	b = find(q, name);
	if (b && b->flags & QCOW2_BITMAP_IN_USE && !b->bits) {
		result = -ESTALE;
	} else if (b && b->bits) {
		size = qcow2_bitmap_bytes(q, b);
		*bits = malloc(size + 1);
		if (*bits)
			memcpy(*bits, b->bits, size);
		result = *bits ? 0 : -ENOMEM;
	} else if (b) {
		result = qcow2_bitmap_load(q, b, bits);
	}
	*granularity = b ? 1ull << b->granularity : 0;
	pthread_mutex_unlock(&q->lock);
	if (!b)
		return missing(name, error);
	if (result == -ESTALE)
		return disk_error_set(error, result, "its bitmap \"%s\" was "
				      "not stored when the image was last "
				      "used; clear it, and take a full backup",
				      name);
	return told(result, error);
}

static int qcow2_bitmap_list(struct disk_node *node, struct disk_bitmap **list,
			     unsigned int *count)
{
	struct qcow2 *q = qcow2_of(node);

	pthread_mutex_lock(&q->lock);
	*count = q->bitmap_count;
	*list = calloc(*count + 1ul, sizeof(**list));
	for (uint32_t i = 0; *list && i < *count; i++) {
		const struct qcow2_bitmap *b = &q->bitmaps[i];
		struct disk_bitmap *to = &(*list)[i];

		memcpy(to->name, b->name, b->name_size);
		to->granularity = 1ull << b->granularity;
		to->recording = b->flags & QCOW2_BITMAP_AUTO;
		to->lost = b->flags & QCOW2_BITMAP_IN_USE && !b->bits;
	}
	pthread_mutex_unlock(&q->lock);
	return *list ? 0 : -ENOMEM;
}

const struct disk_bitmap_ops qcow2_bitmap_ops = {
	.list = qcow2_bitmap_list,
	.create = qcow2_bitmap_add,
	.delete = qcow2_bitmap_remove,
	.clear = qcow2_bitmap_clear,
	.merge = qcow2_bitmap_merge,
	.read = qcow2_bitmap_read,
};
