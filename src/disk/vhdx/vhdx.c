/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHDX, Hyper-V's disk images: fixed, dynamic and differencing ones, with 512-
 * and 4096-byte sectors. See vhdx.h, and differ.c for the last kind. The
 * headers get new GUIDs ahead of the first change of each opening; until then
 * nothing is to be written in place. Changes of tables go through the log, see
 * log.c.
 */
#include "disk/vhdx/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/guid.h"
#include "disk/wire.h"

/* --- reading ---------------------------------------------------------------- */

static bool in_region(const struct vhdx_region *region, uint64_t at,
		      uint64_t length)
{
	return at < region->at + region->length && region->at < at + length;
}

bool vhdx_fits(const struct vhdx *vhdx, uint64_t at, uint64_t length)
{
	uint64_t size = vhdx->node.file->size;

	return at >= VHDX_MIB && at <= VHDX_PLACE_MAX && at <= size &&
	       length <= size - at && !in_region(&vhdx->log, at, length) &&
	       !in_region(&vhdx->bat, at, length) &&
	       !in_region(&vhdx->metadata, at, length);
}

static int vhdx_place(void *ctx, const uint8_t *entry,
		      struct disk_place *place)
{
	const struct vhdx *vhdx = ctx;
	uint64_t word = get_le64(entry);

	place->at = word >> 20 << 20;
	switch (word & 7) {
	case VHDX_NOT_PRESENT:
		place->kind = DISK_HOLE;
		return 0;
	case VHDX_UNDEFINED:
	case VHDX_ZERO:
	case VHDX_UNMAPPED:
		place->kind = DISK_ZERO;
		return 0;
	case VHDX_PARTIAL:
	case VHDX_PRESENT:
		place->kind = DISK_DATA;
		break;
	default:
		return -EIO;
	}
	return vhdx_fits(vhdx, place->at, vhdx->table.block) &&
			       (vhdx->differs || (word & 7) == VHDX_PRESENT)
		       ? 0
		       : -EIO;
}

static int vhdx_map(struct disk_node *node, uint64_t offset, uint64_t length,
		    unsigned int flags, struct disk_extent *extent)
{
	struct vhdx *vhdx = vhdx_of(node);
	uint64_t left = vhdx->table.block - offset % vhdx->table.block;
	int error;

	if (vhdx->differs && length > left)
		length = left;
	error = disk_table_map(&vhdx->table, offset, length, flags, extent);
	if (!error && vhdx->differs && extent->kind == DISK_DATA)
		error = vhdx_cut(vhdx, offset, flags, extent);
	extent->in_place = !error && extent->kind == DISK_DATA && vhdx->changed;
	return error;
}

/* --- writing ---------------------------------------------------------------- */

int vhdx_begin_change(struct vhdx *vhdx)
{
	int error = 0;

	if (vhdx->changed)
		return 0;
	pthread_mutex_lock(&vhdx->change);
	if (!vhdx->changed) {
		disk_guid_make_le(vhdx->header + VHDX_AT_FILE_GUID);
		disk_guid_make_le(vhdx->header + VHDX_AT_DATA_GUID);
		error = vhdx_write_header(vhdx);
		vhdx->changed = !error;
	}
	pthread_mutex_unlock(&vhdx->change);
	return error;
}

static void keep_clear(struct vhdx *vhdx, uint64_t end)
{
	if (end > vhdx->end)
		vhdx->end = end;
}

static void keep_entry(struct vhdx *vhdx, uint64_t index, const uint8_t *entry)
{
	struct disk_place place;
	uint64_t at;

	if (vhdx_is_bitmap(vhdx, index)) {
		if (!vhdx_bitmap_place(vhdx, entry, &at) && at)
			keep_clear(vhdx, at + VHDX_BITMAP);
	} else if (!vhdx_place(vhdx, entry, &place) &&
		   place.kind == DISK_DATA) {
		keep_clear(vhdx, place.at + vhdx->table.block);
	}
}

/* Where the last of the blocks and regions ends, before the first new block:
 * other programs leave room behind that, and so does a crash. */
static int find_end(struct vhdx *vhdx)
{
	uint64_t left = vhdx_entries(vhdx->payloads, vhdx->table.block,
				     vhdx->sector, vhdx->differs) * 8;
	uint8_t *entries = malloc(VHDX_MIB);
	uint64_t index = 0;
	int error = entries ? 0 : -ENOMEM;

	vhdx->end = VHDX_MIB;
	keep_clear(vhdx, vhdx->log.at + vhdx->log.length);
	keep_clear(vhdx, vhdx->bat.at + vhdx->bat.length);
	keep_clear(vhdx, vhdx->metadata.at + vhdx->metadata.length);
	for (uint64_t at = vhdx->bat.at; !error && left;) {
		uint64_t part = left < VHDX_MIB ? left : VHDX_MIB;

		error = disk_read_bytes(vhdx->node.file, at, entries, part);
		for (uint64_t i = 0; !error && i < part; i += 8)
			keep_entry(vhdx, index++, entries + i);
		at += part;
		left -= part;
	}
	free(entries);
	vhdx->has_end = !error;
	return error;
}

int vhdx_take_room(struct vhdx *vhdx, uint64_t size, uint64_t *at)
{
	int error;

	pthread_mutex_lock(&vhdx->mutex);
	error = vhdx->has_end ? 0 : find_end(vhdx);
	*at = vhdx->end;
	if (!error && *at > VHDX_PLACE_MAX)
		error = -EFBIG;
	if (!error)
		error = disk_make_room(vhdx->node.file, *at, size);
	if (!error)
		vhdx->end = *at + size;
	pthread_mutex_unlock(&vhdx->mutex);
	return error;
}

/* In one block; all of it when a part would be the parent's. */
static int write_block(struct vhdx *vhdx, uint64_t offset, uint64_t length,
		       struct disk_vec from)
{
	uint64_t entry_at = disk_table_at(&vhdx->table,
					  offset / vhdx->table.block);
	uint64_t skip = offset % vhdx->table.block;
	struct disk_place place = { .kind = DISK_HOLE };
	uint8_t entry[8];
	int error = disk_meta_read(&vhdx->meta, entry_at, entry, 8, 0);

	if (!error)
		error = vhdx_place(vhdx, entry, &place);
	if (error)
		return error;
	if ((get_le64(entry) & 7) == VHDX_PRESENT)
		return disk_write(vhdx->node.file, place.at + skip, length,
				  from);
	if (place.kind != DISK_DATA)
		error = vhdx_take_room(vhdx, vhdx->table.block, &place.at);
	if (!error)
		error = disk_write(vhdx->node.file, place.at + skip, length,
				   from);
	if (error)
		return error;
	put_le64(entry, place.at | VHDX_PRESENT);
	return disk_meta_write(&vhdx->meta, entry_at, entry, 8);
}

static int vhdx_write(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec from)
{
	struct vhdx *vhdx = vhdx_of(node);
	int error = vhdx_begin_change(vhdx);

	while (!error && length) {
		uint64_t part = vhdx->table.block - offset % vhdx->table.block;
		struct disk_extent extent = { .kind = DISK_DATA };

		if (part > length)
			part = length;
		if (vhdx->differs)
			error = vhdx_map(node, offset, part, 0, &extent);
		if (error)
			break;
		if (vhdx->differs)
			part = extent.length;
		if (extent.in)
			error = disk_write(extent.in, extent.at, part, from);
		else if (extent.kind == DISK_HOLE && part < vhdx->table.block)
			error = vhdx_write_absent(vhdx, offset, part, from);
		else
			error = write_block(vhdx, offset, part, from);
		offset += part;
		length -= part;
		from = disk_vec_from(from, part);
	}
	return error;
}

/* A whole block that is the parent's, or is in part: zeros by its state. */
static int zero_block(struct vhdx *vhdx, uint64_t block)
{
	uint64_t entry_at = disk_table_at(&vhdx->table, block), at;
	uint8_t entry[8];
	int error = disk_meta_read(&vhdx->meta, entry_at, entry, 8, 0);

	if (error)
		return error;
	at = get_le64(entry) >> 20 << 20;
	if ((get_le64(entry) & 7) == VHDX_NOT_PRESENT) {
		put_le64(entry, VHDX_ZERO);
	} else {
		error = disk_zero(vhdx->node.file, at, vhdx->table.block,
				  DISK_UNMAP);
		put_le64(entry, at | VHDX_PRESENT);
	}
	return error ? error
		     : disk_meta_write(&vhdx->meta, entry_at, entry, 8);
}

/* As bytes, in one block. */
static int write_zeros(struct disk_node *node, uint64_t offset,
		       uint64_t length)
{
	static const uint8_t zeros[64 << 10];
	const struct span span = { (void *)zeros, sizeof(zeros) };
	int error = 0;

	while (!error && length) {
		uint64_t part = length < sizeof(zeros) ? length
						       : sizeof(zeros);

		error = vhdx_write(node, offset, part,
				   (struct disk_vec){ &span, 1, 0 });
		offset += part;
		length -= part;
	}
	return error;
}

static int vhdx_zero(struct disk_node *node, uint64_t offset, uint64_t length,
		     unsigned int flags)
{
	struct vhdx *vhdx = vhdx_of(node);
	uint32_t block = vhdx->table.block;
	int error = vhdx_begin_change(vhdx);

	while (!error && length) {
		uint64_t part = block - offset % block;

		if (part > length)
			part = length;
		error = disk_extents_zero(node, offset, part, flags);
		if (error == -ENOTSUP)
			error = part == block
					? zero_block(vhdx, offset / block)
					: write_zeros(node, offset, part);
		offset += part;
		length -= part;
	}
	return error;
}

static int vhdx_discard(struct disk_node *node, uint64_t offset,
			uint64_t length)
{
	int error = vhdx_begin_change(vhdx_of(node));

	return error ? error : disk_extents_discard(node, offset, length);
}

static int vhdx_flush(struct disk_node *node)
{
	return disk_meta_flush(&vhdx_of(node)->meta);
}

/* --- opening ---------------------------------------------------------------- */

static bool vhdx_probe(const uint8_t *head, size_t size)
{
	return size >= 8 && !memcmp(head, "vhdxfile", 8);
}

static int take_image(struct vhdx *vhdx, const struct disk_open *how,
		      struct disk_error *error)
{
	uint8_t head[8] = { 0 };
	int result;

	if (vhdx->node.file->size < VHDX_MIB ||
	    disk_read_bytes(vhdx->node.file, 0, head, sizeof(head)) ||
	    !vhdx_probe(head, sizeof(head)))
		return disk_error_set(error, -EINVAL, "is no VHDX image, or "
				      "the rest of it is missing");
	result = vhdx_read_header(vhdx, error);
	if (!result)
		result = vhdx_replay(vhdx, error);
	if (!result)
		result = vhdx_read_regions(vhdx, error);
	if (!result)
		result = vhdx_read_metadata(vhdx, error);
	if (!result && vhdx->differs)
		result = vhdx_open_parent(vhdx, how, error);
	vhdx->meta.dirty_limit = vhdx_log_pages(vhdx);
	if (vhdx->meta.dirty_limit > vhdx->meta.limit / 2)
		vhdx->meta.dirty_limit = vhdx->meta.limit / 2;
	return result;
}

static int vhdx_open(struct disk_node **node, struct disk_node *file,
		     const struct disk_open *how, struct disk_error *error)
{
	struct vhdx *vhdx = calloc(1, sizeof(*vhdx));
	int result;

	if (!vhdx || disk_node_init(&vhdx->node, &disk_vhdx, file, how)) {
		free(vhdx);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	disk_meta_init(&vhdx->meta, file);
	vhdx->meta.log = vhdx_log_write;
	vhdx->meta.ctx = vhdx;
	pthread_mutex_init(&vhdx->bitmaps, NULL);
	pthread_mutex_init(&vhdx->mutex, NULL);
	pthread_mutex_init(&vhdx->change, NULL);
	vhdx->table.meta = &vhdx->meta;
	vhdx->table.in = file;
	vhdx->table.entry = 8;
	vhdx->table.place = vhdx_place;
	vhdx->table.ctx = vhdx;
	result = take_image(vhdx, how, error);
	if (result)
		disk_node_abandon(&vhdx->node);
	else
		*node = &vhdx->node;
	return result;
}

static void vhdx_close(struct disk_node *node)
{
	struct vhdx *vhdx = vhdx_of(node);

	/* Where the last flush failed, the log is what a replay needs. */
	if (!node->readonly && !vhdx->meta.dirty)
		vhdx_log_end(vhdx);
	disk_meta_fini(&vhdx->meta);
	pthread_mutex_destroy(&vhdx->bitmaps);
	pthread_mutex_destroy(&vhdx->mutex);
	pthread_mutex_destroy(&vhdx->change);
}

static json_t *vhdx_info(struct disk_node *node)
{
	const struct vhdx *vhdx = vhdx_of(node);

	return json_pack("{sssI}", "subformat",
			 vhdx->differs ? "differencing"
			 : vhdx->fixed ? "fixed"
				       : "dynamic", "sector_size",
			 (json_int_t)vhdx->sector);
}

static const struct disk_option vhdx_options[] = {
	{ "subformat", "dynamic|fixed (default: dynamic)" },
	{ "block_size", "BYTES: 1M to 256M, a power of two (default: 8M, 64M "
			"above 16 TiB, 2M on a backing file)" },
	{ NULL, NULL },
};

const struct disk_driver disk_vhdx = {
	.name = "vhdx",
	.title = "VHDX",
	.suffixes = ".vhdx",
	.options = vhdx_options,
	.backing = true,
	.probe = vhdx_probe,
	.open = vhdx_open,
	.create = vhdx_create,
	.close = vhdx_close,
	.map = vhdx_map,
	.write = vhdx_write,
	.zero = vhdx_zero,
	.discard = vhdx_discard,
	.flush = vhdx_flush,
	.resize = vhdx_resize,
	.info = vhdx_info,
	.check = vhdx_check,
};
