/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every node does the same way: checks ranges, holds them, follows
 * extents to where the bytes are.
 */
#include "disk/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"

#define ZEROS 65536u /* bytes of zeros written at once */

static bool outside(const struct disk_node *node, uint64_t offset,
		    uint64_t length)
{
	uint64_t size = node->size;

	return offset > size || length > size - offset;
}

/* --- reading ---------------------------------------------------------------- */

static int read_backing(struct disk_node *backing, uint64_t offset,
			uint64_t length, struct disk_vec to)
{
	uint64_t size = backing ? (uint64_t)backing->size : 0;
	uint64_t part = offset < size ? size - offset : 0;
	int error = 0;

	if (part > length)
		part = length;
	if (part)
		error = disk_read(backing, offset, part, to);
	if (part < length)
		disk_vec_clear(disk_vec_from(to, part), length - part);
	return error;
}

static int read_extent(struct disk_node *node, uint64_t offset,
		       const struct disk_extent *extent, struct disk_vec to)
{
	switch (extent->kind) {
	case DISK_HOLE:
		return read_backing(node->backing, offset, extent->length, to);
	case DISK_ZERO:
		disk_vec_clear(to, extent->length);
		return 0;
	case DISK_DATA:
		return disk_read(extent->in, extent->at, extent->length, to);
	case DISK_PACKED:
		return node->driver->read(node, offset, extent->length, to);
	}
	return -EIO;
}

int disk_read_held(struct disk_node *node, uint64_t offset, uint64_t length,
		   struct disk_vec to)
{
	while (length) {
		struct disk_extent extent;
		int error = node->driver->map(node, offset, length, 0, &extent);

		if (!error)
			error = read_extent(node, offset, &extent, to);
		if (error)
			return error;
		offset += extent.length;
		length -= extent.length;
		to = disk_vec_from(to, extent.length);
	}
	return 0;
}

int disk_read(struct disk_node *node, uint64_t offset, uint64_t length,
	      struct disk_vec to)
{
	struct disk_range range;
	int error;

	if (outside(node, offset, length))
		return -EINVAL;
	if (!length)
		return 0;
	if (node->driver->leaf)
		return node->driver->read(node, offset, length, to);
	disk_range_enter(&node->ranges, &range, offset, length, false);
	error = disk_read_held(node, offset, length, to);
	disk_range_leave(&node->ranges, &range);
	return error;
}

/* --- writing ---------------------------------------------------------------- */

/* Whether `node` may be written so; 0 or the error. */
static int may_write(struct disk_node *node, uint64_t offset, uint64_t length)
{
	if (node->readonly)
		return -EROFS;
	if (!(node->driver->leaf && node->grows))
		return outside(node, offset, length) ? -EINVAL : 0;
	return length > INT64_MAX || offset > INT64_MAX - length ? -EFBIG : 0;
}

/* Enters the clusters around a range, alone. */
static void enter_clusters(struct disk_node *node, struct disk_range *range,
			   uint64_t offset, uint64_t length)
{
	uint64_t mask = node->cluster ? node->cluster - 1 : 0;
	uint64_t from = offset & ~mask;
	uint64_t end = (offset + length + mask) & ~mask;

	disk_range_enter(&node->ranges, range, from, end - from, true);
}

/*
 * Writes what lies in place, up to the first extent that does not; with
 * `alone` the rest, too. *written: how far it came.
 */
static int write_extents(struct disk_node *node, uint64_t offset,
			 uint64_t length, struct disk_vec from, bool alone,
			 uint64_t *written)
{
	while (*written < length) {
		uint64_t at = offset + *written;
		struct disk_vec rest = disk_vec_from(from, *written);
		struct disk_extent extent;
		int error = node->driver->map(node, at, length - *written, 0,
					      &extent);

		if (error)
			return error;
		if (extent.kind == DISK_DATA && extent.in_place)
			error = disk_write(extent.in, extent.at, extent.length,
					   rest);
		else if (alone)
			error = node->driver->write(node, at, extent.length,
						    rest);
		else
			return 0;
		if (error)
			return error;
		*written += extent.length;
	}
	return 0;
}

int disk_write(struct disk_node *node, uint64_t offset, uint64_t length,
	       struct disk_vec from)
{
	int error = may_write(node, offset, length);
	struct disk_range range;
	uint64_t written = 0;

	if (error || !length)
		return error;
	if (node->driver->leaf)
		return node->driver->write(node, offset, length, from);
	disk_range_enter(&node->ranges, &range, offset, length, false);
	error = write_extents(node, offset, length, from, false, &written);
	disk_range_leave(&node->ranges, &range);
	if (error || written == length)
		return error;
	enter_clusters(node, &range, offset + written, length - written);
	error = write_extents(node, offset, length, from, true, &written);
	disk_range_leave(&node->ranges, &range);
	return error;
}

int disk_write_packed(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec from)
{
	int error = may_write(node, offset, length);
	struct disk_range range;

	if (error || !length)
		return error;
	if (!node->driver->write_packed)
		return -ENOTSUP;
	if (offset % node->cluster || length > node->cluster ||
	    (length < node->cluster && offset + length != node->size))
		return -EINVAL;
	enter_clusters(node, &range, offset, length);
	error = node->driver->write_packed(node, offset, length, from);
	disk_range_leave(&node->ranges, &range);
	return error;
}

int disk_write_zeros(struct disk_node *node, uint64_t offset, uint64_t length)
{
	static const uint8_t zeros[ZEROS];

	while (length) {
		size_t part = length < ZEROS ? length : ZEROS;
		int error = disk_write_bytes(node, offset, zeros, part);

		if (error)
			return error;
		offset += part;
		length -= part;
	}
	return 0;
}

int disk_zero(struct disk_node *node, uint64_t offset, uint64_t length,
	      unsigned int flags)
{
	int error = may_write(node, offset, length);
	struct disk_range range;

	if (error || !length)
		return error;
	if (node->driver->zero) {
		enter_clusters(node, &range, offset, length);
		error = node->driver->zero(node, offset, length, flags);
		disk_range_leave(&node->ranges, &range);
		if (error != -ENOTSUP)
			return error;
	}
	return disk_write_zeros(node, offset, length);
}

int disk_discard(struct disk_node *node, uint64_t offset, uint64_t length)
{
	int error = may_write(node, offset, length);
	struct disk_range range;

	if (error || !length || !node->driver->discard)
		return error;
	enter_clusters(node, &range, offset, length);
	error = node->driver->discard(node, offset, length);
	disk_range_leave(&node->ranges, &range);
	return error;
}

static int flush(void *ctx)
{
	struct disk_node *node = ctx;

	return node->driver->flush(node);
}

int disk_flush(struct disk_node *node)
{
	if (node->readonly)
		return 0;
	if (node->driver->flush)
		return disk_join_run(&node->flushes, flush, node);
	return node->file ? disk_flush(node->file) : 0;
}

int disk_read_bytes(struct disk_node *node, uint64_t offset, void *buf,
		    size_t size)
{
	const struct span span = { buf, size };

	return disk_read(node, offset, size, (struct disk_vec){ &span, 1, 0 });
}

int disk_write_bytes(struct disk_node *node, uint64_t offset, const void *buf,
		     size_t size)
{
	const struct span span = { (void *)buf, size };

	return disk_write(node, offset, size, (struct disk_vec){ &span, 1, 0 });
}

/* --- what lies where -------------------------------------------------------- */

/* Cuts an extent of data to what the node below has there. */
static int refine(struct disk_extent *extent, unsigned int flags)
{
	struct disk_extent below;
	int error = disk_map(extent->in, extent->at, extent->length, flags,
			     &below);

	if (error)
		return error;
	extent->length = below.length;
	if (below.kind == DISK_PACKED)
		extent->kind = DISK_PACKED;
	if (below.kind == DISK_HOLE || below.kind == DISK_ZERO) {
		extent->kind = DISK_ZERO;
		extent->in_place = false;
	}
	return 0;
}

int disk_map(struct disk_node *node, uint64_t offset, uint64_t length,
	     unsigned int flags, struct disk_extent *extent)
{
	struct disk_range range;
	int error;

	if (outside(node, offset, length) || !length)
		return -EINVAL;
	if (node->driver->leaf)
		return node->driver->map(node, offset, length, flags, extent);
	if (!(flags & DISK_NOWAIT))
		disk_range_enter(&node->ranges, &range, offset, length, false);
	else if (!disk_range_try(&node->ranges, &range, offset, length, false))
		return -EAGAIN;
	error = node->driver->map(node, offset, length, flags, extent);
	if (!error && flags & DISK_SPARSE && extent->kind == DISK_DATA)
		error = refine(extent, flags);
	disk_range_leave(&node->ranges, &range);
	return error;
}

uint64_t disk_allocated(struct disk_node *node)
{
	if (node->driver->allocated)
		return node->driver->allocated(node);
	return node->file ? disk_allocated(node->file) : 0;
}

void disk_remove(struct disk_node *node)
{
	if (node->driver->remove)
		node->driver->remove(node);
	if (!node->driver->leaf)
		disk_remove(node->file);
	else if (!node->driver->remove)
		unlink(node->name);
}

/* --- care ------------------------------------------------------------------- */

static int cannot(const struct disk_node *node, const char *what,
		  struct disk_error *error)
{
	return disk_error_set(error, -ENOTSUP, "%s images have no %s",
			      node->driver->title, what);
}

static int is_readonly(struct disk_error *error)
{
	return disk_error_set(error, -EROFS, "was opened for reading only");
}

/* Has the node alone for a while. */
static void enter_all(struct disk_node *node, struct disk_range *range)
{
	disk_range_enter(&node->ranges, range, 0, UINT64_MAX, true);
}

int disk_resize(struct disk_node *node, uint64_t size,
		enum disk_preallocation prealloc, struct disk_error *error)
{
	struct disk_range range;
	int result;

	if (!node->driver->resize)
		return cannot(node, "way to another size", error);
	if (node->readonly)
		return is_readonly(error);
	enter_all(node, &range);
	result = node->driver->resize(node, size, prealloc, error);
	disk_range_leave(&node->ranges, &range);
	return result;
}

json_t *disk_info(struct disk_node *node)
{
	json_t *info = node->driver->info ? node->driver->info(node)
					  : json_object();
	json_t *below = NULL;

	if (node->encrypted && node->file && node->file->encrypted)
		below = node->file->driver->info(node->file);
	if (below)
		json_object_update_missing(info, below);
	json_decref(below);
	if (node->parent) {
		json_object_set_new(info, "backing", json_string(node->parent));
		json_object_set_new(info, "backing_format",
				    json_string(node->driver->name));
	}
	return info;
}

int disk_check(struct disk_node *node, bool repair, struct disk_check *check,
	       struct disk_error *error)
{
	struct disk_range range;
	int result;

	if (!node->driver->check)
		return cannot(node, "tables to check", error);
	if (repair && node->readonly)
		return is_readonly(error);
	enter_all(node, &range);
	result = node->driver->check(node, repair, check, error);
	disk_range_leave(&node->ranges, &range);
	return result;
}

int disk_snapshot_list(struct disk_node *node, struct disk_snapshot **list,
		       unsigned int *count)
{
	struct disk_range range;
	int result;

	*list = NULL;
	*count = 0;
	if (!node->driver->snapshot_list)
		return -ENOTSUP;
	enter_all(node, &range);
	result = node->driver->snapshot_list(node, list, count);
	disk_range_leave(&node->ranges, &range);
	return result;
}

/* One of the changes to snapshots, alone in the node. */
static int change_snapshots(struct disk_node *node,
			    int (*change)(struct disk_node *node,
					  const char *name,
					  struct disk_error *error),
			    const char *name, struct disk_error *error)
{
	struct disk_range range;
	int result;

	if (!change)
		return cannot(node, "internal snapshots", error);
	if (node->readonly)
		return is_readonly(error);
	enter_all(node, &range);
	result = change(node, name, error);
	disk_range_leave(&node->ranges, &range);
	return result;
}

int disk_snapshot_create(struct disk_node *node, const char *name,
			 struct disk_error *error)
{
	return change_snapshots(node, node->driver->snapshot_create, name,
				error);
}

int disk_snapshot_apply(struct disk_node *node, const char *id_or_name,
			struct disk_error *error)
{
	return change_snapshots(node, node->driver->snapshot_apply, id_or_name,
				error);
}

int disk_snapshot_delete(struct disk_node *node, const char *id_or_name,
			 struct disk_error *error)
{
	return change_snapshots(node, node->driver->snapshot_delete,
				id_or_name, error);
}

int disk_bitmap_list(struct disk_node *node, struct disk_bitmap **list,
		     unsigned int *count)
{
	*list = NULL;
	*count = 0;
	return node->driver->bitmap ? node->driver->bitmap->list(node, list,
								 count)
				    : -ENOTSUP;
}

int disk_bitmap_create(struct disk_node *node, const char *name,
		       uint64_t granularity, struct disk_error *error)
{
	return node->driver->bitmap
		       ? node->driver->bitmap->create(node, name, granularity,
						      error)
		       : cannot(node, "bitmaps", error);
}

int disk_bitmap_delete(struct disk_node *node, const char *name,
		       struct disk_error *error)
{
	return node->driver->bitmap
		       ? node->driver->bitmap->delete(node, name, error)
		       : cannot(node, "bitmaps", error);
}

int disk_bitmap_clear(struct disk_node *node, const char *name,
		      struct disk_error *error)
{
	return node->driver->bitmap
		       ? node->driver->bitmap->clear(node, name, error)
		       : cannot(node, "bitmaps", error);
}

int disk_bitmap_merge(struct disk_node *node, const char *name,
		      const char *from, struct disk_error *error)
{
	return node->driver->bitmap
		       ? node->driver->bitmap->merge(node, name, from, error)
		       : cannot(node, "bitmaps", error);
}

int disk_bitmap_read(struct disk_node *node, const char *name, uint8_t **bits,
		     uint64_t *granularity, struct disk_error *error)
{
	return node->driver->bitmap
		       ? node->driver->bitmap->read(node, name, bits,
						    granularity, error)
		       : cannot(node, "bitmaps", error);
}

/* Adds or removes a passphrase. */
static int change_keys(struct disk_node *node,
		       int (*change)(struct disk_node *node,
				     const struct disk_secret *secret,
				     struct disk_error *error),
		       const struct disk_secret *secret,
		       struct disk_error *error)
{
	struct disk_range range;
	int result;

	if (!change)
		return cannot(node, "passphrases", error);
	if (node->readonly)
		return is_readonly(error);
	enter_all(node, &range);
	result = change(node, secret, error);
	disk_range_leave(&node->ranges, &range);
	return result;
}

/* What has the passphrases of an encrypted image. */
static struct disk_node *locked_by(struct disk_node *node)
{
	return node->encrypted && !node->driver->add_key && node->file
		       ? node->file
		       : node;
}

int disk_add_key(struct disk_node *node, const struct disk_secret *secret,
		 struct disk_error *error)
{
	node = locked_by(node);
	return change_keys(node, node->driver->add_key, secret, error);
}

int disk_remove_key(struct disk_node *node, const struct disk_secret *secret,
		    struct disk_error *error)
{
	node = locked_by(node);
	return change_keys(node, node->driver->remove_key, secret, error);
}

int disk_set_backing(struct disk_node *node, const char *path,
		     const char *format, struct disk_error *error)
{
	struct disk_range range;
	int result;

	if (!node->driver->set_backing)
		return cannot(node, "backing files", error);
	if (node->readonly)
		return is_readonly(error);
	enter_all(node, &range);
	result = node->driver->set_backing(node, path, format, error);
	disk_range_leave(&node->ranges, &range);
	return result;
}
