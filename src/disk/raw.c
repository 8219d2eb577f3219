/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw images: the file's bytes are the disk's.
 */
#include <errno.h>
#include <stdlib.h>

#include "disk/driver.h"

static int raw_open(struct disk_node **node, struct disk_node *file,
		    const struct disk_open *how, struct disk_error *error)
{
	struct disk_node *raw;
	int result;

	if (!file->size)
		return disk_error_set(error, -EINVAL, "is empty; make it with: "
				      "lodge disk create --format raw PATH 10G");
	if (file->size % 512)
		return disk_error_set(error, -EINVAL,
				      "has %llu bytes, no multiple of 512; a "
				      "truncated copy?",
				      (unsigned long long)file->size);
	raw = calloc(1, sizeof(*raw));
	if (!raw)
		return disk_error_set(error, -ENOMEM, "out of memory");
	result = disk_node_init(raw, &disk_raw, file, how);
	if (result) {
		free(raw);
		return disk_error_set(error, result, "out of memory");
	}
	raw->size = file->size;
	*node = raw;
	return 0;
}

static int raw_create(struct disk_node *file, const struct disk_create *how,
		      struct disk_error *error)
{
	return disk_resize(file, how->size, DISK_PREALLOC_OFF, error);
}

static int raw_map(struct disk_node *node, uint64_t offset, uint64_t length,
		   unsigned int flags, struct disk_extent *extent)
{
	*extent = (struct disk_extent){ .kind = DISK_DATA, .in_place = true,
					.length = length, .in = node->file,
					.at = offset };
	return 0;
}

static int raw_zero(struct disk_node *node, uint64_t offset, uint64_t length,
		    unsigned int flags)
{
	return disk_zero(node->file, offset, length, flags);
}

static int raw_discard(struct disk_node *node, uint64_t offset,
		       uint64_t length)
{
	return disk_discard(node->file, offset, length);
}

static int raw_resize(struct disk_node *node, uint64_t size,
		      enum disk_preallocation prealloc,
		      struct disk_error *error)
{
	int result = disk_resize(node->file, size, prealloc, error);

	if (!result)
		node->size = size;
	return result;
}

const struct disk_driver disk_raw = {
	.name = "raw",
	.title = "raw",
	.suffixes = ".raw .img .iso",
	.open = raw_open,
	.create = raw_create,
	.map = raw_map,
	.zero = raw_zero,
	.discard = raw_discard,
	.resize = raw_resize,
};
