/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another size for VDI images. Sizes, places and counts are in the header's
 * one sector, so a change of them is there as a whole or not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/vdi/vdi.h"
#include "disk/wire.h"

/* Both lie in one sector. */
static int set_size(struct vdi *vdi, uint64_t size, uint32_t blocks)
{
	uint8_t number[4], bytes[8];
	int error;

	put_le64(bytes, size);
	put_le32(number, blocks);
	error = disk_meta_write(&vdi->meta, VDI_AT_DISK_SIZE, bytes, 8);
	if (!error)
		error = disk_meta_write(&vdi->meta, VDI_AT_BLOCKS, number, 4);
	return error ? error : disk_meta_flush(&vdi->meta);
}

/* --- numbers and their blocks --------------------------------------------------- */

/* Which block has each number that is in use. */
struct owners {
	uint32_t *block; /* VDI_FREE: none */
	uint32_t limit;
};

static void note_owner(void *ctx, uint32_t block, uint32_t number)
{
	struct owners *owners = ctx;

	if (number < owners->limit)
		owners->block[number] = block;
}

/* A block's bytes at another number; then the block has that. */
static int move_block(struct vdi *vdi, uint32_t block, uint32_t from,
		      uint32_t to)
{
	uint32_t size = vdi->table.block;
	int error = disk_copy_room(vdi->node.file,
				   vdi->data + (uint64_t)from * size,
				   vdi->data + (uint64_t)to * size, size);

	return error ? error : vdi_set_entry(vdi, block, to);
}

/* The owners of numbers below `limit`; the caller frees them in any case. */
static int find_owners(struct vdi *vdi, struct owners *owners, uint32_t limit)
{
	owners->limit = limit;
	owners->block = malloc((limit + 1ull) * sizeof(*owners->block));
	if (!owners->block)
		return -ENOMEM;
	memset(owners->block, 0xff, (limit + 1ull) * sizeof(*owners->block));
	return vdi_each_entry(vdi, note_owner, owners);
}

/* --- less of it ----------------------------------------------------------------- */

/* The last ones go where numbers are free, so that there are no gaps. */
static int fill_from_end(struct vdi *vdi, struct owners *owners, uint32_t *end)
{
	uint32_t to = 0, from = owners->limit;
	int error = 0;

	while (!error) {
		while (from && owners->block[from - 1] == VDI_FREE)
			from--;
		while (to < from && owners->block[to] != VDI_FREE)
			to++;
		if (to >= from)
			break;
		error = move_block(vdi, owners->block[from - 1], from - 1, to);
		owners->block[to++] = owners->block[--from];
	}
	*end = from;
	return error ? error : disk_meta_flush(&vdi->meta);
}

int vdi_compact(struct vdi *vdi)
{
	struct owners owners;
	uint32_t end = 0;
	int error;

	error = find_owners(vdi, &owners, vdi_numbers(vdi));
	if (!error)
		error = fill_from_end(vdi, &owners, &end);
	free(owners.block);
	vdi_forget_count(vdi);
	if (!error)
		error = vdi_count(vdi);
	if (!error)
		error = vdi_set_count(vdi);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	return error ? error
		     : disk_resize(vdi->node.file,
				   vdi->data + (uint64_t)end * vdi->table.block,
				   DISK_PREALLOC_OFF, NULL);
}

/* The disk is smaller before its blocks go. */
static int shrink(struct vdi *vdi, uint64_t size, uint32_t blocks)
{
	uint32_t old = vdi->blocks;
	int error = set_size(vdi, size, old);

	for (uint32_t block = blocks; !error && block < old; block++)
		error = vdi_set_entry(vdi, block, VDI_FREE);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	/* Numbers are below the count of blocks. */
	if (!error)
		error = vdi_compact(vdi);
	if (!error)
		error = set_size(vdi, size, blocks);
	if (!error)
		vdi->blocks = blocks;
	return error;
}

/* --- a longer table ------------------------------------------------------------- */

/*
 * The table's place is ahead of the blocks, which VirtualBox wants. When there
 * is no room for a longer one, the first blocks move behind the others, and
 * the new table comes to where they were. Blocks then begin behind it, so each
 * number is less by as many as have moved. The header's sector changes from
 * the one state to the other at once; what a crash leaves before that is an
 * image with gaps, and after it one with unused room ahead of the table.
 */

/* So many numbers may be in use: entries behind the disk's end, if they fit. */
static int allow_numbers(struct vdi *vdi, uint32_t count)
{
	uint64_t room = (vdi->data - vdi->table.offset) / 4;
	int error = 0;

	if (count <= vdi->blocks || count > room)
		return 0;
	for (uint32_t block = vdi->blocks; !error && block < count; block++)
		error = vdi_set_entry(vdi, block, VDI_FREE);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	if (!error)
		error = set_size(vdi, vdi->node.size, count);
	if (!error)
		vdi->blocks = count;
	return error;
}

/* No block has a number below `count`, and the file has that many. */
static int free_first(struct vdi *vdi, uint32_t count)
{
	uint64_t end = vdi->data + (uint64_t)count * vdi->table.block;
	struct owners owners = { NULL, 0 };
	int error = vdi_count(vdi);

	if (!error && vdi->next < count)
		vdi->next = count;
	if (!error)
		error = allow_numbers(vdi, vdi->next + count);
	if (!error)
		error = find_owners(vdi, &owners, count);
	for (uint32_t from = 0; !error && from < count; from++) {
		uint32_t to = vdi->next;

		if (owners.block[from] == VDI_FREE)
			continue;
		vdi->next++;
		error = vdi_set_count(vdi);
		if (!error)
			error = move_block(vdi, owners.block[from], from, to);
	}
	free(owners.block);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	if (!error && vdi->node.file->size < end)
		error = disk_resize(vdi->node.file, end, DISK_PREALLOC_OFF,
				    NULL);
	return error;
}

/* The table with numbers that are less by `less`, at `to`, for `blocks`. */
static int copy_table(struct vdi *vdi, uint64_t to, uint32_t less,
		      uint32_t blocks)
{
	uint8_t entries[META_PAGE];
	int error = 0;

	for (uint32_t block = 0; !error && block < blocks;) {
		uint32_t count = sizeof(entries) / 4, old = 0;

		if (count > blocks - block)
			count = blocks - block;
		if (block < vdi->blocks)
			old = vdi->blocks - block < count
				      ? vdi->blocks - block : count;
		memset(entries, 0xff, sizeof(entries));
		if (old)
			error = disk_meta_read(
				&vdi->meta, disk_table_at(&vdi->table, block),
				entries, old * 4, 0);
		for (uint32_t i = 0; less && i < old; i++) {
			uint32_t number = get_le32(entries + i * 4);

			if (number < VDI_ZERO)
				put_le32(entries + i * 4, number - less);
		}
		if (!error)
			error = disk_meta_write(&vdi->meta,
						to + block * 4ull, entries,
						count * 4);
		block += count;
	}
	return error ? error : disk_meta_flush(&vdi->meta);
}

/* The header says where table and blocks are, and how many. */
static int set_places(struct vdi *vdi, uint64_t table, uint64_t data,
		      uint32_t blocks)
{
	uint8_t number[4];
	int error;

	put_le32(number, (uint32_t)table);
	error = disk_meta_write(&vdi->meta, VDI_AT_TABLE, number, 4);
	put_le32(number, (uint32_t)data);
	if (!error)
		error = disk_meta_write(&vdi->meta, VDI_AT_DATA, number, 4);
	put_le32(number, vdi->next);
	if (!error)
		error = disk_meta_write(&vdi->meta, VDI_AT_COUNT, number, 4);
	if (!error)
		error = set_size(vdi, vdi->node.size, blocks);
	if (error)
		return error;
	vdi->table.offset = table;
	vdi->data = data;
	vdi->blocks = blocks;
	return 0;
}

/* A table with room for `blocks`, the disk as large as before. */
static int move_table(struct vdi *vdi, uint32_t blocks)
{
	uint64_t bytes = (blocks * 4ull + VDI_DATA_ALIGN - 1) &
			 ~(uint64_t)(VDI_DATA_ALIGN - 1);
	uint64_t to = vdi->data, data;
	uint32_t block = vdi->table.block;
	uint32_t count = (uint32_t)((bytes + block - 1) / block);
	int error;

	if (VDI_HEADER + blocks * 4ull <= vdi->table.offset) {
		to = VDI_HEADER;
		count = 0;
	}
	data = vdi->data + (uint64_t)count * block;
	if (data > UINT32_MAX)
		return -EFBIG;
	error = disk_meta_flush(&vdi->meta); /* entries are read from the file */
	if (!error)
		error = count ? free_first(vdi, count) : vdi_count(vdi);
	if (!error)
		error = copy_table(vdi, to, count, blocks);
	if (!error) {
		vdi->next -= count;
		error = set_places(vdi, to, data, blocks);
	}
	vdi_forget_count(vdi);
	return error;
}

/* --- more of it ----------------------------------------------------------------- */

static int grow(struct vdi *vdi, uint64_t size, uint32_t blocks)
{
	uint64_t end = (uint64_t)vdi->blocks * vdi->table.block;
	uint64_t room = (vdi->data - vdi->table.offset) / 4;
	int error = disk_zero_behind(&vdi->node, vdi->node.size,
				     size < end ? size : end);

	if (!error && blocks > room)
		error = move_table(vdi, blocks);
	if (blocks < vdi->blocks) /* the last ones were never of use */
		blocks = vdi->blocks;
	for (uint32_t block = vdi->blocks; !error && block < blocks; block++)
		error = vdi_set_entry(vdi, block, VDI_FREE);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	if (!error)
		error = set_size(vdi, size, blocks);
	if (!error)
		vdi->blocks = blocks;
	return error;
}

int vdi_resize(struct disk_node *node, uint64_t size,
		      enum disk_preallocation prealloc,
		      struct disk_error *error)
{
	struct vdi *vdi = vdi_of(node);
	uint64_t blocks = (size - 1) / vdi->table.block + 1;
	int result;

	if (prealloc != DISK_PREALLOC_OFF)
		return disk_error_set(error, -ENOTSUP, "is a VDI image, which "
				      "grows without preallocation only");
	if (blocks > VDI_BLOCKS_MAX)
		return disk_error_set(error, -EFBIG, "is a VDI image of blocks "
				      "of %u KiB, which has at most %llu GiB; "
				      "convert it to grow more",
				      vdi->table.block >> 10,
				      (unsigned long long)VDI_BLOCKS_MAX *
					      vdi->table.block >> 30);
	result = size < node->size ? shrink(vdi, size, (uint32_t)blocks)
				   : grow(vdi, size, (uint32_t)blocks);
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	node->size = size;
	return 0;
}