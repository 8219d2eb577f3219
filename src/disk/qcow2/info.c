/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a qcow2 image tells of itself, and where it records what it stands on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/bitmap.h"

static json_t *bitmaps_info(const struct qcow2 *q)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < q->bitmap_count; i++) {
		const struct qcow2_bitmap *b = &q->bitmaps[i];
		bool lost = b->flags & QCOW2_BITMAP_IN_USE && !b->bits;

		json_array_append_new(
			list, json_pack("{s:s?, s:I, s:b, s:b}", "name",
					b->name, "granularity",
					(json_int_t)(1ull << b->granularity),
					"recording",
					!!(b->flags & QCOW2_BITMAP_AUTO),
					"inconsistent", lost));
	}
	return list;
}

json_t *qcow2_info(struct disk_node *node)
{
	struct qcow2 *q = qcow2_of(node);
	const struct qcow2_header *h = &q->header;
	json_t *info;

	pthread_mutex_lock(&q->lock);
	info = json_pack("{s:s, s:s, s:i, s:b, s:b, s:b, s:b}", "compat",
			 h->version < 3 ? "v2" : "v3", "compression_type",
			 h->compression == QCOW2_ZSTD ? "zstd" : "zlib",
			 "refcount_bits", 1 << h->refcount_order,
			 "lazy_refcounts", !!(h->compatible & QCOW2_LAZY),
			 "extended_l2", qcow2_extended(q), "corrupt",
			 q->corrupt || h->incompatible & QCOW2_CORRUPT,
			 "dirty", !!(h->incompatible & QCOW2_DIRTY));
	if (q->backing_path)
		json_object_set_new(info, "backing",
				    json_string(q->backing_path));
	if (q->backing_format)
		json_object_set_new(info, "backing_format",
				    json_string(q->backing_format));
	if (q->external) {
		json_object_set_new(info, "data_file",
				    json_string(q->data_path));
		json_object_set_new(info, "data_file_raw",
				    json_boolean(h->autoclear &
						 QCOW2_DATA_RAW));
	}
	if (q->bitmap_count)
		json_object_set_new(info, "bitmaps", bitmaps_info(q));
	qcow2_crypt_info(q, info);
	pthread_mutex_unlock(&q->lock);
	return info;
}

/* Puts `text` in the place of *to, if there is memory for it. */
static int replace(char **to, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int store_backing(struct qcow2 *q, const char *path, const char *format)
{
	int result = replace(&q->backing_path, path);

	if (!result)
		result = replace(&q->backing_format, format);
	if (!result)
		result = qcow2_ext_set(q, QCOW2_EXT_BACKING_FORMAT, format,
				       format ? (uint32_t)strlen(format) : 0);
	return result ? result : qcow2_header_rewrite(q, true);
}

int qcow2_set_backing(struct disk_node *node, const char *path,
		      const char *format, struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	int result;

	if (path && strlen(path) > QCOW2_NAME_MAX)
		return disk_error_set(error, -ENAMETOOLONG, "a backing file's "
				      "name of more than %u bytes",
				      QCOW2_NAME_MAX);
	if (path && q->header.autoclear & QCOW2_DATA_RAW)
		return disk_error_set(error, -EINVAL, "has a raw data file, "
				      "which does not go with a backing file");
	result = qcow2_begin(q, 0, 0);
	pthread_mutex_lock(&q->flushing);
	if (!result)
		result = qcow2_settle(q);
	pthread_mutex_lock(&q->lock);
	if (!result)
		result = store_backing(q, path, path ? format : NULL);
	pthread_mutex_unlock(&q->lock);
	pthread_mutex_unlock(&q->flushing);
	if (result == -ENOSPC)
		return disk_error_set(error, result, "has no room for that "
				      "name in its header");
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}
