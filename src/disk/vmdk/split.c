/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another size for VMDK images of several files. The last extent grows up to
 * the size of the first, then new ones come; whole ones go when the disk gets
 * smaller. The descriptor decides: what it names is there, on the disk, before
 * it does, and goes after. So a crash leaves files that it does not name, or a
 * last extent that is longer than it says, which a check mends.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/vmdk/vmdk.h"

struct growth {
	struct vmdk *vmdk;
	struct vmdk_extent *extent; /* all of them, those to come at the end */
	unsigned int made;	    /* of those */
	FILE *text;
	char *added;
	size_t added_size;
};

/* --- new extents ------------------------------------------------------------ */

/* The first number from `number` on that no file has; its path and name. */
static unsigned int free_number(const struct vmdk *vmdk, const char *stem,
				bool flat, unsigned int number,
				char path[PATH_MAX], char name[VMDK_NAME])
{
	const char *file = vmdk->node.file->name, *slash = strrchr(file, '/');

	for (;; number++) {
		vmdk_extent_name(stem, flat, number, name);
		snprintf(path, PATH_MAX, "%.*s%s",
			 slash ? (int)(slash - file) + 1 : 0, file, name);
		if (access(path, F_OK))
			return number;
	}
}

static int make_extent(struct growth *growth, const char *stem,
		       unsigned int *number, uint64_t first, uint64_t size,
		       struct disk_error *error)
{
	struct vmdk *vmdk = growth->vmdk;
	struct vmdk_extent *extent =
		&growth->extent[vmdk->extents + growth->made];
	bool flat = vmdk->extent[vmdk->extents - 1].kind == VMDK_FLAT;
	char path[PATH_MAX], name[VMDK_NAME];
	int result;

	*number = free_number(vmdk, stem, flat, *number, path, name) + 1;
	result = vmdk_make_extent(&extent->file, path, flat, size, error);
	if (result)
		return result;
	growth->made++;
	disk_meta_init(&extent->meta, extent->file);
	pthread_mutex_init(&extent->mutex, NULL);
	extent->kind = VMDK_FLAT;
	extent->first = first;
	if (!flat)
		result = vmdk_sparse_open(extent, error);
	extent->size = size;
	extent->file->grows = !flat;
	vmdk_put_extent(growth->text, flat, size, name);
	if (!result && (result = disk_flush(extent->file)))
		disk_error_set(error, result, "%s", strerror(-result));
	return result;
}

/* `count` of them with the disk's bytes from `first` on. */
static int make_extents(struct growth *growth, uint64_t first, uint64_t end,
			uint64_t part, struct disk_error *error)
{
	unsigned int number = growth->vmdk->extents + 1;
	char stem[VMDK_STEM];
	int result = vmdk_stem(growth->vmdk->node.file->name, stem, error);

	for (; !result && first < end; first += part)
		result = make_extent(growth, stem, &number, first,
				     end - first < part ? end - first : part,
				     error);
	return result;
}

/* Takes back the new ones. */
static void forget_extents(struct growth *growth)
{
	for (unsigned int i = 0; i < growth->made; i++) {
		struct vmdk_extent *extent =
			&growth->extent[growth->vmdk->extents + i];

		disk_meta_fini(&extent->meta);
		pthread_mutex_destroy(&extent->mutex);
		disk_remove(extent->file);
		disk_close(extent->file);
	}
	free(growth->extent);
}

/* The image has them from now on. The caches of the old ones are empty. */
static void adopt_extents(struct growth *growth)
{
	struct vmdk *vmdk = growth->vmdk;
	unsigned int all = vmdk->extents + growth->made;

	for (unsigned int i = 0; i < vmdk->extents; i++) {
		struct vmdk_extent *old = &vmdk->extent[i];

		disk_meta_fini(&old->meta);
		pthread_mutex_destroy(&old->mutex);
		growth->extent[i] = *old;
		disk_meta_init(&growth->extent[i].meta, old->file);
		pthread_mutex_init(&growth->extent[i].mutex, NULL);
	}
	free(vmdk->extent);
	vmdk->extent = growth->extent;
	vmdk->extents = all;
	for (unsigned int i = 0; i < all; i++)
		disk_meta_share(&vmdk->extent[i].meta, all);
}

/* --- more of it --------------------------------------------------------------- */

/* What the last extent is to have of `rest` bytes. */
static uint64_t last_size(const struct vmdk *vmdk, uint64_t part,
			  uint64_t rest)
{
	uint64_t size = vmdk->extent[vmdk->extents - 1].size;
	uint64_t mask = vmdk->node.cluster - 1;

	if (size < part)
		size = part;
	size = (size + mask) & ~mask; /* the next one begins with a grain */
	return size < rest ? size : rest;
}

static int write_growth(struct growth *growth, uint64_t size, uint64_t want,
			struct disk_error *error)
{
	struct vmdk *vmdk = growth->vmdk;
	struct vmdk_extent *last = &vmdk->extent[vmdk->extents - 1];
	struct vmdk_change change = { .size = size, .keep = vmdk->extents,
				      .last = want };
	uint64_t old = last->size;
	int result = fflush(growth->text) ? -ENOMEM : 0;

	change.added = growth->added;
	if (!result && want > old)
		result = vmdk_extent_resize(vmdk, last, want);
	if (!result)
		result = vmdk->node.driver->flush(&vmdk->node);
	if (!result) {
		result = vmdk_write_text(vmdk, &change);
		if (result && want > old)
			vmdk_extent_resize(vmdk, last, old);
	}
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

static int grow(struct vmdk *vmdk, uint64_t size, struct disk_error *error)
{
	const struct vmdk_extent *last = &vmdk->extent[vmdk->extents - 1];
	uint64_t part = vmdk->extents > 1 ? vmdk->extent[0].size : VMDK_PART;
	uint64_t want = last_size(vmdk, part, size - last->first);
	uint64_t first = last->first + want;
	uint64_t count = (size - first + part - 1) / part;
	struct growth growth = { .vmdk = vmdk };
	int result;

	if (count > VMDK_EXTENTS_MAX - vmdk->extents)
		return disk_error_set(error, -EFBIG, "would have more than %u "
				      "extents; convert it", VMDK_EXTENTS_MAX);
	growth.extent = calloc(vmdk->extents + count, sizeof(*growth.extent));
	growth.text = open_memstream(&growth.added, &growth.added_size);
	if (!growth.extent || !growth.text)
		result = disk_error_set(error, -ENOMEM, "out of memory");
	else
		result = make_extents(&growth, first, size, part, error);
	if (!result)
		result = write_growth(&growth, size, want, error);
	if (result)
		forget_extents(&growth);
	else
		adopt_extents(&growth);
	if (growth.text)
		fclose(growth.text);
	free(growth.added);
	return result;
}

/* --- less of it --------------------------------------------------------------- */

static void remove_extent(struct vmdk_extent *extent)
{
	disk_meta_fini(&extent->meta);
	pthread_mutex_destroy(&extent->mutex);
	disk_remove(extent->file);
	disk_close(extent->file);
}

static int shrink(struct vmdk *vmdk, uint64_t size)
{
	unsigned int keep = vmdk->extents, old = keep;
	struct vmdk_change change = { .size = size };
	struct vmdk_extent *last;
	int error = vmdk->node.driver->flush(&vmdk->node);

	while (vmdk->extent[keep - 1].first >= size)
		keep--;
	last = &vmdk->extent[keep - 1];
	change.keep = keep;
	change.last = size - last->first;
	if (!error)
		error = vmdk_write_text(vmdk, &change);
	if (error)
		return error;
	vmdk->extents = keep;
	for (unsigned int i = keep; i < old; i++)
		remove_extent(&vmdk->extent[i]);
	return change.last < last->size
		       ? vmdk_extent_resize(vmdk, last, change.last)
		       : 0;
}

int vmdk_split_resize(struct vmdk *vmdk, uint64_t size,
		      struct disk_error *error)
{
	int result;

	if (size > vmdk->node.size)
		return grow(vmdk, size, error);
	result = shrink(vmdk, size);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}
