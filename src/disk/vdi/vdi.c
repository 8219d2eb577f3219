/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VDI, VirtualBox's disk images, version 1.1: a header, a table with a number
 * for each block of the disk, the blocks. Dynamic and static images are read
 * and written; images on a parent (undo, differencing) are refused.
 *
 * VirtualBox puts a new block behind as many as the header counts, so the
 * numbers of the blocks in use have no gaps: a block keeps its place for good,
 * discard makes a hole in the file there. Gaps that a crash leaves are filled
 * first. The count goes to the file ahead of the table.
 */
#include "disk/vdi/vdi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/guid.h"
#include "disk/wire.h"

#define SIGNATURE   0xbeda107fu
#define VERSION	    0x00010001u
#define HEADER_SIZE 0x190u /* from its own field on, without the LCHS */
#define BLOCK	    (1u << 20)
#define BLOCK_MIN   4096u
#define BLOCK_MAX   (128u << 20)

enum { TYPE_DYNAMIC = 1, TYPE_STATIC, TYPE_UNDO, TYPE_DIFF };

static const char text[] = "<<< Oracle VM VirtualBox Disk Image >>>\n";

/* --- reading ---------------------------------------------------------------- */

uint32_t vdi_numbers(const struct vdi *vdi)
{
	uint64_t room = (vdi->node.file->size - vdi->data) / vdi->table.block;

	return room < VDI_BLOCKS_MAX ? (uint32_t)room : VDI_BLOCKS_MAX;
}

int vdi_place(void *ctx, const uint8_t *entry, struct disk_place *place)
{
	const struct vdi *vdi = ctx;
	uint32_t number = get_le32(entry);

	place->kind = number == VDI_FREE   ? DISK_HOLE
		      : number == VDI_ZERO ? DISK_ZERO
					     : DISK_DATA;
	if (place->kind != DISK_DATA)
		return 0;
	place->at = vdi->data + (uint64_t)number * vdi->table.block;
	if (number >= VDI_BLOCKS_MAX ||
	    place->at + vdi->table.block > vdi->node.file->size)
		return -EIO;
	return 0;
}

static int vdi_map(struct disk_node *node, uint64_t offset, uint64_t length,
		   unsigned int flags, struct disk_extent *extent)
{
	return disk_table_map(&vdi_of(node)->table, offset, length, flags,
			      extent);
}

/* --- room ------------------------------------------------------------------- */

int vdi_each_entry(struct vdi *vdi, vdi_entry_fn call, void *ctx)
{
	static const uint32_t at_once = 4096;
	uint8_t *entries = malloc(at_once * 4);
	int error = entries ? 0 : -ENOMEM;

	for (uint32_t block = 0; !error && block < vdi->blocks;) {
		uint32_t count = vdi->blocks - block;

		if (count > at_once)
			count = at_once;
		error = disk_read_bytes(vdi->node.file,
					disk_table_at(&vdi->table, block),
					entries, count * 4);
		for (uint32_t i = 0; !error && i < count; i++) {
			uint32_t number = get_le32(entries + i * 4);

			if (number < VDI_ZERO)
				call(ctx, block + i, number);
		}
		block += count;
	}
	free(entries);
	return error;
}

struct numbers {
	uint32_t limit, next, count;
	uint8_t *used; /* may be NULL */
};

static void count_entry(void *ctx, uint32_t block, uint32_t number)
{
	struct numbers *numbers = ctx;

	if (number >= numbers->limit)
		return;
	numbers->count++;
	if (number >= numbers->next)
		numbers->next = number + 1;
	if (numbers->used)
		numbers->used[number / 8] |= (uint8_t)(1u << number % 8);
}

int vdi_count(struct vdi *vdi)
{
	struct numbers numbers = { .limit = vdi_numbers(vdi) };
	int error = vdi->counted ? 0 : vdi_each_entry(vdi, count_entry, &numbers);

	if (error || vdi->counted)
		return error;
	if (numbers.count != numbers.next) {
		numbers.used = calloc(1, numbers.next / 8 + 1);
		error = numbers.used ? vdi_each_entry(vdi, count_entry, &numbers)
				     : -ENOMEM;
	}
	if (error) {
		free(numbers.used);
		return error;
	}
	vdi->next = numbers.next;
	vdi->used = numbers.used;
	vdi->gap = 0;
	vdi->counted = true;
	return 0;
}

void vdi_forget_count(struct vdi *vdi)
{
	free(vdi->used);
	vdi->used = NULL;
	vdi->counted = false;
}

bool vdi_take_gap(struct vdi *vdi, uint32_t *number)
{
	for (; vdi->used && vdi->gap < vdi->next; vdi->gap++) {
		*number = vdi->gap;
		if (vdi->used[*number / 8] & 1u << *number % 8)
			continue;
		vdi->used[*number / 8] |= (uint8_t)(1u << *number % 8);
		return true;
	}
	free(vdi->used);
	vdi->used = NULL;
	return false;
}

int vdi_set_count(struct vdi *vdi)
{
	uint8_t count[4];

	put_le32(count, vdi->next);
	return disk_meta_write(&vdi->meta, VDI_AT_COUNT, count, sizeof(count));
}

/* A block of zeros in the file. */
static int take_block(struct vdi *vdi, uint32_t *number)
{
	int error;

	pthread_mutex_lock(&vdi->mutex);
	error = vdi_count(vdi);
	if (!error && !vdi_take_gap(vdi, number)) {
		*number = vdi->next;
		if (*number >= vdi->blocks)
			error = -EIO; /* two blocks have the same number */
	}
	if (!error)
		error = disk_make_room(vdi->node.file,
				       vdi->data + (uint64_t)*number *
							   vdi->table.block,
				       vdi->table.block);
	if (!error && *number == vdi->next) {
		vdi->next++;
		error = vdi_set_count(vdi);
	}
	pthread_mutex_unlock(&vdi->mutex);
	return error;
}

/* --- writing ---------------------------------------------------------------- */

int vdi_set_entry(struct vdi *vdi, uint64_t block, uint32_t number)
{
	uint8_t entry[4];

	put_le32(entry, number);
	return disk_meta_write(&vdi->meta, disk_table_at(&vdi->table, block),
			       entry, sizeof(entry));
}

static int vdi_write(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec from)
{
	struct vdi *vdi = vdi_of(node);

	while (length) {
		uint64_t block = offset / vdi->table.block;
		uint64_t skip = offset % vdi->table.block;
		uint64_t part = vdi->table.block - skip;
		uint32_t number;
		int error = take_block(vdi, &number), late;

		if (error)
			return error;
		if (part > length)
			part = length;
		error = disk_write(node->file,
				   vdi->data +
					   (uint64_t)number * vdi->table.block +
					   skip,
				   part, from);
		/* Even if that failed: a number must not be lost. */
		late = vdi_set_entry(vdi, block, number);
		if (error || late)
			return error ? error : late;
		offset += part;
		length -= part;
		from = disk_vec_from(from, part);
	}
	return 0;
}

static int vdi_flush(struct disk_node *node)
{
	return disk_meta_flush(&vdi_of(node)->meta);
}

/* --- opening ---------------------------------------------------------------- */

static bool vdi_probe(const uint8_t *head, size_t size)
{
	return size >= VDI_HEADER && get_le32(head + VDI_AT_SIGNATURE) == SIGNATURE;
}

static bool is_null(const uint8_t *uuid)
{
	static const uint8_t null[16];

	return !memcmp(uuid, null, sizeof(null));
}

static int check_kind(const uint8_t *header, struct disk_error *error)
{
	uint32_t type = get_le32(header + VDI_AT_TYPE);

	if (get_le32(header + VDI_AT_VERSION) != VERSION)
		return disk_error_set(error, -ENOTSUP, "has version %u.%u of "
				      "VDI; only 1.1 is known",
				      get_le32(header + VDI_AT_VERSION) >> 16,
				      get_le32(header + VDI_AT_VERSION) & 0xffff);
	if (type == TYPE_UNDO || type == TYPE_DIFF ||
	    !is_null(header + VDI_AT_UUID_PARENT))
		return disk_error_set(error, -ENOTSUP, "is a VDI image on a "
				      "parent image (differencing); merge it "
				      "with VBoxManage clonemedium");
	if (type != TYPE_DYNAMIC && type != TYPE_STATIC)
		return disk_error_set(error, -ENOTSUP,
				      "has the unknown VDI type %u", type);
	if (get_le32(header + VDI_AT_SECTOR_SIZE) != 512 ||
	    get_le32(header + VDI_AT_BLOCK_EXTRA))
		return disk_error_set(error, -ENOTSUP, "is a VDI image with "
				      "sectors of %u bytes and %u more in each "
				      "block; only 512 and 0 are known",
				      get_le32(header + VDI_AT_SECTOR_SIZE),
				      get_le32(header + VDI_AT_BLOCK_EXTRA));
	return 0;
}

static int bad_header(struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "has a VDI header that makes no "
			      "sense; a damaged or truncated copy?");
}

/* Takes sizes and places from the header; they fit together then. */
static int take_header(struct vdi *vdi, const uint8_t *header,
		       struct disk_error *error)
{
	uint32_t block = get_le32(header + VDI_AT_BLOCK_SIZE);
	uint64_t size = get_le64(header + VDI_AT_DISK_SIZE);
	uint64_t file = vdi->node.file->size, end;

	vdi->blocks = get_le32(header + VDI_AT_BLOCKS);
	vdi->data = get_le32(header + VDI_AT_DATA);
	vdi->is_static = get_le32(header + VDI_AT_TYPE) == TYPE_STATIC;
	vdi->table.offset = get_le32(header + VDI_AT_TABLE);
	vdi->table.block = block;
	end = vdi->table.offset + (uint64_t)vdi->blocks * 4;
	if (block < BLOCK_MIN || block > BLOCK_MAX || block & (block - 1) ||
	    vdi->table.offset < VDI_HEADER || vdi->table.offset % 512 ||
	    vdi->data % 512 || vdi->data < end || end > file || !size ||
	    size > (uint64_t)vdi->blocks * block)
		return bad_header(error);
	if (vdi->blocks > VDI_BLOCKS_MAX)
		return disk_error_set(error, -EFBIG, "has %u blocks, more than "
				      "the %u that VDI images may have here",
				      vdi->blocks, VDI_BLOCKS_MAX);
	vdi->node.size = size & ~(uint64_t)511;
	vdi->node.cluster = block;
	return vdi->node.size ? 0 : bad_header(error);
}

static int vdi_open(struct disk_node **node, struct disk_node *file,
		    const struct disk_open *how, struct disk_error *error)
{
	uint8_t header[VDI_HEADER];
	struct vdi *vdi;
	int result = disk_read_bytes(file, 0, header, sizeof(header));

	if (result)
		return bad_header(error);
	result = check_kind(header, error);
	if (result)
		return result;
	vdi = calloc(1, sizeof(*vdi));
	if (!vdi || disk_node_init(&vdi->node, &disk_vdi, file, how)) {
		free(vdi);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	disk_meta_init(&vdi->meta, file);
	pthread_mutex_init(&vdi->mutex, NULL);
	vdi->table.meta = &vdi->meta;
	vdi->table.in = file;
	vdi->table.entry = 4;
	vdi->table.place = vdi_place;
	vdi->table.ctx = vdi;
	result = take_header(vdi, header, error);
	if (result) {
		disk_node_abandon(&vdi->node);
		return result;
	}
	*node = &vdi->node;
	return 0;
}

static void vdi_close(struct disk_node *node)
{
	struct vdi *vdi = vdi_of(node);

	free(vdi->used);
	disk_meta_fini(&vdi->meta);
	pthread_mutex_destroy(&vdi->mutex);
}

/* --- making ----------------------------------------------------------------- */

static void make_header(uint8_t *header, uint64_t size, uint32_t block,
			uint32_t blocks, uint32_t data, bool is_static)
{
	memset(header, 0, VDI_HEADER);
	memcpy(header + VDI_AT_TEXT, text, sizeof(text) - 1);
	put_le32(header + VDI_AT_SIGNATURE, SIGNATURE);
	put_le32(header + VDI_AT_VERSION, VERSION);
	put_le32(header + VDI_AT_HEADER_SIZE, HEADER_SIZE);
	put_le32(header + VDI_AT_TYPE, is_static ? TYPE_STATIC : TYPE_DYNAMIC);
	put_le32(header + VDI_AT_TABLE, VDI_HEADER);
	put_le32(header + VDI_AT_DATA, data);
	put_le32(header + VDI_AT_SECTOR_SIZE, 512);
	put_le32(header + VDI_AT_LCHS_SECTOR_SIZE, 512);
	put_le64(header + VDI_AT_DISK_SIZE, size);
	put_le32(header + VDI_AT_BLOCK_SIZE, block);
	put_le32(header + VDI_AT_BLOCKS, blocks);
	put_le32(header + VDI_AT_COUNT, is_static ? blocks : 0);
	disk_guid_make_le(header + VDI_AT_UUID);
	disk_guid_make_le(header + VDI_AT_UUID_CHANGE);
}

static int write_table(struct disk_node *file, uint32_t blocks, bool is_static)
{
	static const uint32_t at_once = 16384;
	uint8_t *entries = malloc(at_once * 4);
	int error = entries ? 0 : -ENOMEM;

	for (uint32_t block = 0; !error && block < blocks;) {
		uint32_t count = blocks - block;

		if (count > at_once)
			count = at_once;
		for (uint32_t i = 0; i < count; i++)
			put_le32(entries + i * 4,
				 is_static ? block + i : VDI_FREE);
		error = disk_write_bytes(file, VDI_HEADER + (uint64_t)block * 4,
					 entries, count * 4);
		block += count;
	}
	free(entries);
	return error;
}

static int vdi_create(struct disk_node *file, const struct disk_create *how,
		      struct disk_error *error)
{
	const char *word = disk_create_option(how, "static");
	bool is_static = word && !strcmp(word, "on");
	uint64_t block = disk_create_size(how, "block_size", BLOCK);
	uint64_t blocks, data, align;
	uint8_t header[VDI_HEADER];
	int result;

	if (word && !is_static && strcmp(word, "off") != 0)
		return disk_error_set(error, -EINVAL, "static=%s; give on or "
				      "off", word);
	if (block < BLOCK_MIN || block > BLOCK_MAX || block & (block - 1))
		return disk_error_set(error, -EINVAL, "block_size=%s; give a "
				      "power of two from 4K to 128M",
				      disk_create_option(how, "block_size"));
	blocks = (how->size - 1) / block + 1;
	if (blocks > VDI_BLOCKS_MAX)
		return disk_error_set(error, -EFBIG, "a VDI image of blocks of "
				      "%llu KiB has at most %llu GiB; take raw "
				      "or qcow2",
				      (unsigned long long)block >> 10,
				      (unsigned long long)(VDI_BLOCKS_MAX *
							   block >> 30));
	align = block < VDI_DATA_ALIGN ? block : VDI_DATA_ALIGN;
	data = (VDI_HEADER + blocks * 4 + align - 1) & ~(align - 1);
	make_header(header, how->size, (uint32_t)block, (uint32_t)blocks,
		    (uint32_t)data, is_static);
	result = disk_resize(file,
			     is_static ? data + blocks * block : data,
			     DISK_PREALLOC_OFF, error);
	if (result)
		return result;
	result = disk_write_bytes(file, 0, header, sizeof(header));
	if (!result)
		result = write_table(file, (uint32_t)blocks, is_static);
	return result ? disk_error_set(error, result, "cannot be written: %s",
				       strerror(-result))
		      : 0;
}

static json_t *vdi_info(struct disk_node *node)
{
	const struct vdi *vdi = vdi_of(node);

	return json_pack("{ss}", "subformat",
			 vdi->is_static ? "static" : "dynamic");
}

static const struct disk_option vdi_options[] = {
	{ "block_size", "BYTES: unit of allocation, a power of two from 4K to "
			"128M; QEMU knows 1M only (default: 1M)" },
	{ "static", "on|off: all blocks have their place (default: off)" },
	{ NULL, NULL },
};

const struct disk_driver disk_vdi = {
	.name = "vdi",
	.title = "VDI",
	.suffixes = ".vdi",
	.options = vdi_options,
	.probe = vdi_probe,
	.open = vdi_open,
	.create = vdi_create,
	.close = vdi_close,
	.map = vdi_map,
	.write = vdi_write,
	.zero = disk_extents_zero,
	.discard = disk_extents_discard,
	.flush = vdi_flush,
	.resize = vdi_resize,
	.info = vdi_info,
	.check = vdi_check,
};
