/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-read; see copy_on_read.h.
 *
 * What the image has itself is passed on in place. What it lacks is DISK_PACKED
 * here, so that node.c calls for it, with the range shared: writers to clusters
 * that the image lacks are kept out, since they have those alone. Two readers
 * of a cluster are not, and when the first has copied it a writer may already
 * be at work there; the second must then not write what it read before. So
 * clusters are looked at again, and copied, with `copies` held alone.
 *
 * Order of locks: the filter's ranges, `copies`, the image's ranges.
 */
#include "disk/copy_on_read.h"

#include <errno.h>
#include <stdlib.h>

#include "disk/chain.h"
#include "disk/driver.h"

#define PIECE (1u << 20) /* bytes copied at once, at most */

struct copy_on_read {
	struct disk_node node; /* its file: the image */
	struct disk_ranges copies;
};

static struct copy_on_read *filter_of(struct disk_node *node)
{
	return (struct copy_on_read *)node;
}

static int filter_map(struct disk_node *node, uint64_t offset, uint64_t length,
		      unsigned int flags, struct disk_extent *extent)
{
	struct disk_extent in_image;
	int error = disk_map(node->file, offset, length, flags, &in_image);

	if (error)
		return error;
	*extent = (struct disk_extent){ .kind = in_image.kind,
					.length = in_image.length };
	if (in_image.kind == DISK_HOLE)
		extent->kind = DISK_PACKED;
	if (in_image.kind != DISK_DATA && in_image.kind != DISK_PACKED)
		return 0;
	extent->kind = DISK_DATA;
	extent->in = node->file;
	extent->at = offset;
	extent->in_place = in_image.kind == DISK_DATA && in_image.in_place;
	return 0;
}

/* --- copies ----------------------------------------------------------------- */

static uint64_t down(uint64_t at, uint64_t unit)
{
	return at - at % unit;
}

/*
 * What the chain below has at `at`, where the image has nothing up to `end`:
 * whole clusters that are alike, else one as data. *next: how far it came.
 */
static int copy_hole(struct disk_node *image, uint64_t at, uint64_t end,
		     uint8_t *buf, uint64_t *next)
{
	uint32_t cluster = image->cluster;
	struct disk_piece piece;
	int error = disk_chain_map(image, NULL, at, end - at, &piece);
	uint64_t alike;

	if (error)
		return error;
	alike = *next = at + piece.extent.length;
	if (alike < end && down(alike, cluster) > at)
		*next = down(alike, cluster);
	else if (alike < end)
		*next = down(alike, cluster) + cluster;
	if (*next > end)
		*next = end;
	if (piece.extent.kind == DISK_ZERO && *next <= alike &&
	    image->driver->zero)
		return disk_zero(image, at, *next - at, 0);
	error = disk_read_bytes(image, at, buf, *next - at);
	return error ? error
		     : disk_write_bytes(image, at, buf, *next - at);
}

/* Copies what the image lacks there, of PIECE bytes at most. */
static int copy_range(struct disk_node *image, uint64_t at, uint64_t end,
		      uint8_t *buf)
{
	int error = 0;

	while (at < end && !error) {
		struct disk_extent extent;
		uint64_t next;

		error = disk_map(image, at, end - at, 0, &extent);
		if (error)
			break;
		next = at + extent.length;
		if (extent.kind == DISK_HOLE)
			error = copy_hole(image, at, next, buf, &next);
		at = next;
	}
	return error;
}

/* As far as it can be had; the caller reads it all the same. */
static void copy_clusters(struct copy_on_read *filter, uint64_t from,
			  uint64_t end)
{
	struct disk_node *image = filter->node.file;
	uint8_t *buf = aligned_alloc(4096, PIECE);
	struct disk_range range;

	if (!buf)
		return;
	disk_range_enter(&filter->copies, &range, from, end - from, true);
	while (from < end) {
		uint64_t part = end - from < PIECE ? end - from : PIECE;

		if (copy_range(image, from, from + part, buf))
			break;
		from += part;
	}
	disk_range_leave(&filter->copies, &range);
	free(buf);
}

static int filter_read(struct disk_node *node, uint64_t offset,
		       uint64_t length, struct disk_vec to)
{
	uint64_t cluster = node->cluster, size = node->size;
	uint64_t end = down(offset + length + cluster - 1, cluster);

	copy_clusters(filter_of(node), down(offset, cluster),
		      end < size ? end : size);
	return disk_read(node->file, offset, length, to);
}

/* --- changes, which are the image's ----------------------------------------- */

static int filter_write(struct disk_node *node, uint64_t offset,
			uint64_t length, struct disk_vec from)
{
	return disk_write(node->file, offset, length, from);
}

static int filter_zero(struct disk_node *node, uint64_t offset,
		       uint64_t length, unsigned int flags)
{
	return disk_zero(node->file, offset, length, flags);
}

static int filter_discard(struct disk_node *node, uint64_t offset,
			  uint64_t length)
{
	return disk_discard(node->file, offset, length);
}

static void filter_close(struct disk_node *node)
{
	disk_ranges_destroy(&filter_of(node)->copies);
}

static const struct disk_driver filter_driver = {
	.name = "copy-on-read",
	.title = "copy-on-read",
	.filter = true,
	.close = filter_close,
	.map = filter_map,
	.read = filter_read,
	.write = filter_write,
	.zero = filter_zero,
	.discard = filter_discard,
};

int disk_copy_on_read(struct disk_node **filter, struct disk_node *image,
		      struct disk_error *error)
{
	const struct disk_open how = { .path = image->name };
	struct copy_on_read *made;

	*filter = image;
	if (image->readonly)
		return disk_error_set(error, -EROFS, "is opened for reading "
				      "only; copy-on-read writes to it");
	if (!image->backing || !image->cluster)
		return 0;
	made = calloc(1, sizeof(*made));
	if (!made || disk_node_init(&made->node, &filter_driver, image, &how)) {
		free(made);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	made->node.size = image->size;
	made->node.cluster = image->cluster;
	disk_ranges_init(&made->copies);
	*filter = &made->node;
	return 0;
}
