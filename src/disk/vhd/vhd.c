/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD, the disk images of Virtual PC and Hyper-V: fixed (the disk's bytes and
 * a footer), dynamic (a table of blocks, each with a bitmap of its sectors)
 * and differencing (sectors that a bitmap does not have are the parent's).
 *
 * The footer at the file's end decides, its copy at the beginning only where
 * that is missing: a fixed image begins with what its guest writes. A new
 * block's footer is written before the block takes the room of the old one.
 */
#include "disk/vhd/vhd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/utf16.h"
#include "disk/wire.h"

#define SECTOR	   512u
#define BLOCK_MIN  (256u << 10)
#define BLOCK_MAX  (256u << 20)
#define DATA_ALIGN 4096u
#define PATH_ROOM  1024u

uint32_t vhd_sum(const uint8_t *bytes, size_t size, size_t sum_at)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++)
		if (i < sum_at || i >= sum_at + 4)
			sum += bytes[i];
	return ~sum;
}

/* --- reading ---------------------------------------------------------------- */

bool vhd_block_fits(const struct vhd *vhd, uint32_t entry)
{
	uint64_t at = (uint64_t)entry * SECTOR;
	uint64_t table = vhd->table.offset + (uint64_t)vhd->entries * 4;

	return at >= vhd->header_at + VHD_HEADER &&
	       (at >= table ||
		at + vhd->bitmap + vhd->table.block <= vhd->table.offset) &&
	       at + vhd->bitmap + vhd->table.block <= vhd->node.file->size;
}

static int vhd_place(void *ctx, const uint8_t *entry,
		     struct disk_place *place)
{
	const struct vhd *vhd = ctx;
	uint32_t sector = get_be32(entry);

	place->kind = sector == VHD_UNUSED ? DISK_HOLE : DISK_DATA;
	if (place->kind == DISK_HOLE)
		return 0;
	if (!vhd_block_fits(vhd, sector))
		return -EIO;
	place->at = (uint64_t)sector * SECTOR + vhd->bitmap;
	return 0;
}

static bool bit(const uint8_t *bitmap, uint32_t sector)
{
	return bitmap[sector / 8] & 0x80u >> sector % 8;
}

/* Cuts an extent, which lies in one block, to sectors that are all there or
 * all the parent's. */
static int cut_by_bitmap(struct vhd *vhd, uint64_t offset, unsigned int flags,
			 struct disk_extent *extent)
{
	uint32_t skip = (uint32_t)(offset & (vhd->table.block - 1));
	uint32_t sector = skip / SECTOR, last, first = sector;
	uint64_t bitmap_at = extent->at - skip - vhd->bitmap, length;
	uint8_t bits[64];
	uint32_t base = sector / 8 & ~(uint32_t)(sizeof(bits) - 1);
	size_t count = vhd->bitmap - base;
	int error;

	if (count > sizeof(bits))
		count = sizeof(bits);
	error = disk_meta_read(&vhd->meta, bitmap_at + base, bits, count,
			       flags);
	if (error)
		return error;
	last = (uint32_t)((skip + extent->length - 1) / SECTOR);
	first -= base * 8;
	for (sector = first + 1; sector <= last - base * 8; sector++)
		if (sector == count * 8 || bit(bits, sector) != bit(bits, first))
			break;
	length = (uint64_t)(sector + base * 8) * SECTOR - skip;
	if (length < extent->length)
		extent->length = length;
	if (!bit(bits, first)) {
		extent->kind = DISK_HOLE;
		extent->in_place = false;
		extent->in = NULL;
	}
	return 0;
}

static int vhd_map(struct disk_node *node, uint64_t offset, uint64_t length,
		   unsigned int flags, struct disk_extent *extent)
{
	struct vhd *vhd = vhd_of(node);
	uint64_t left;
	int error;

	if (vhd->type == VHD_FIXED) {
		*extent = (struct disk_extent){ .kind = DISK_DATA,
						.in_place = true,
						.length = length,
						.in = node->file,
						.at = offset };
		return 0;
	}
	left = vhd->table.block - (offset & (vhd->table.block - 1));
	if (vhd->type == VHD_DIFFERENCING && length > left)
		length = left;
	error = disk_table_map(&vhd->table, offset, length, flags, extent);
	if (!error && vhd->type == VHD_DIFFERENCING &&
	    extent->kind == DISK_DATA)
		error = cut_by_bitmap(vhd, offset, flags, extent);
	return error;
}

/* --- room ------------------------------------------------------------------- */

int vhd_write_footer(struct vhd *vhd, uint64_t at)
{
	put_be32(vhd->footer + VHD_AT_SUM,
		 vhd_sum(vhd->footer, VHD_FOOTER, VHD_AT_SUM));
	return disk_write_bytes(vhd->node.file, at, vhd->footer, VHD_FOOTER);
}

uint64_t vhd_align_block(const struct vhd *vhd, uint64_t end)
{
	uint64_t data = (end + vhd->bitmap + DATA_ALIGN - 1) &
			~(uint64_t)(DATA_ALIGN - 1);

	return data - vhd->bitmap;
}

/* A block behind the others, zeros, its entry not set. Its data are aligned
 * for hosts whose sectors are larger. */
static int take_block(struct vhd *vhd, uint32_t *entry)
{
	struct disk_node *file = vhd->node.file;
	uint64_t data, end;
	int error;

	pthread_mutex_lock(&vhd->mutex);
	data = vhd_align_block(vhd, vhd->end) + vhd->bitmap;
	end = data + vhd->table.block;
	*entry = (uint32_t)((data - vhd->bitmap) / SECTOR);
	error = end / SECTOR >= VHD_UNUSED ? -EFBIG
					   : vhd_write_footer(vhd, end);
	if (!error)
		error = disk_zero(file, vhd->end, end - vhd->end, DISK_UNMAP);
	if (!error)
		vhd->end = end;
	pthread_mutex_unlock(&vhd->mutex);
	return error;
}

/* --- writing ---------------------------------------------------------------- */

static int set_bits(struct vhd *vhd, uint64_t bitmap_at, uint32_t first,
		    uint32_t last)
{
	uint8_t bits[64];
	int error = 0;

	while (!error && first <= last) {
		uint32_t base = first / 8 & ~(uint32_t)(sizeof(bits) - 1);
		size_t count = vhd->bitmap - base;

		if (count > sizeof(bits))
			count = sizeof(bits);
		error = disk_meta_read(&vhd->meta, bitmap_at + base, bits,
				       count, 0);
		for (; first <= last && first / 8 - base < count; first++)
			bits[first / 8 - base] |=
				(uint8_t)(0x80u >> first % 8);
		if (!error)
			error = disk_meta_write(&vhd->meta, bitmap_at + base,
						bits, count);
	}
	return error;
}

/* The parent's bytes of one sector. */
static int read_parent(struct disk_node *node, uint64_t offset, uint8_t *buf)
{
	uint64_t size = node->backing ? (uint64_t)node->backing->size : 0;

	memset(buf, 0, SECTOR);
	if (offset >= size)
		return 0;
	return disk_read_bytes(node->backing, offset, buf,
			       size - offset < SECTOR ? size - offset : SECTOR);
}

/* A part of one sector, the rest of which is the parent's. */
static int write_in_sector(struct vhd *vhd, uint64_t at, uint64_t offset,
			   size_t length, struct disk_vec from)
{
	uint8_t buf[SECTOR];
	size_t skip = offset % SECTOR;
	int error = read_parent(&vhd->node, offset - skip, buf);

	disk_vec_gather(buf + skip, from, length);
	return error ? error
		     : disk_write_bytes(vhd->node.file, at - skip, buf, SECTOR);
}

/* Sectors that were the parent's so far, from place `at` of the file on. */
static int write_sectors(struct vhd *vhd, uint64_t at, uint64_t offset,
			 uint64_t length, struct disk_vec from)
{
	int error = 0;

	while (!error && length) {
		uint64_t part = SECTOR - offset % SECTOR;

		if (part == SECTOR && length >= SECTOR) {
			part = length & ~(uint64_t)(SECTOR - 1);
			error = disk_write(vhd->node.file, at, part, from);
		} else {
			if (part > length)
				part = length;
			error = write_in_sector(vhd, at, offset, part, from);
		}
		at += part;
		offset += part;
		length -= part;
		from = disk_vec_from(from, part);
	}
	return error;
}

/* In one block. */
static int write_difference(struct vhd *vhd, uint64_t bitmap_at,
			    uint64_t offset, uint64_t length,
			    struct disk_vec from)
{
	uint32_t skip = (uint32_t)(offset & (vhd->table.block - 1));
	int error = write_sectors(vhd, bitmap_at + vhd->bitmap + skip, offset,
				  length, from);

	return error ? error
		     : set_bits(vhd, bitmap_at, skip / SECTOR,
				(uint32_t)((skip + length - 1) / SECTOR));
}

/* The bitmap of a new block: a dynamic one has all its sectors. */
static int start_bitmap(struct vhd *vhd, uint64_t at)
{
	uint8_t bits[SECTOR];
	bool dynamic = vhd->type == VHD_DYNAMIC;
	int error = 0;

	memset(bits, dynamic ? 0xff : 0, sizeof(bits));
	for (uint32_t i = 0; !error && i < vhd->bitmap; i += SECTOR)
		error = dynamic ? disk_write_bytes(vhd->node.file, at + i,
						   bits, sizeof(bits))
				: disk_meta_write(&vhd->meta, at + i, bits,
						  sizeof(bits));
	return error;
}

/* In one block, which there may not be yet. */
static int write_block(struct vhd *vhd, uint64_t offset, uint64_t length,
		       struct disk_vec from)
{
	uint64_t block = offset / vhd->table.block, at;
	uint64_t entry_at = disk_table_at(&vhd->table, block);
	uint8_t entry[4];
	uint32_t sector;
	bool made;
	int error = disk_meta_read(&vhd->meta, entry_at, entry, 4, 0);

	sector = get_be32(entry);
	made = !error && sector == VHD_UNUSED;
	if (made)
		error = take_block(vhd, &sector);
	at = (uint64_t)sector * SECTOR;
	if (made && !error)
		error = start_bitmap(vhd, at);
	if (error)
		return error;
	if (vhd->type == VHD_DIFFERENCING)
		error = write_difference(vhd, at, offset, length, from);
	else
		error = disk_write(vhd->node.file,
				   at + vhd->bitmap +
					   (offset & (vhd->table.block - 1)),
				   length, from);
	if (error || !made)
		return error;
	put_be32(entry, sector);
	return disk_meta_write(&vhd->meta, entry_at, entry, 4);
}

static int vhd_write(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec from)
{
	struct vhd *vhd = vhd_of(node);
	int error = 0;

	while (!error && length) {
		uint64_t part = vhd->table.block -
				(offset & (vhd->table.block - 1));

		if (part > length)
			part = length;
		error = write_block(vhd, offset, part, from);
		offset += part;
		length -= part;
		from = disk_vec_from(from, part);
	}
	return error;
}

static int vhd_flush(struct disk_node *node)
{
	return disk_meta_flush(&vhd_of(node)->meta);
}

/* --- opening ---------------------------------------------------------------- */

static bool vhd_probe(const uint8_t *head, size_t size)
{
	return size >= VHD_FOOTER && !memcmp(head, "conectix", 8);
}

static bool good_footer(const uint8_t *footer)
{
	return !memcmp(footer, "conectix", 8) &&
	       get_be32(footer + VHD_AT_SUM) ==
		       vhd_sum(footer, VHD_FOOTER, VHD_AT_SUM);
}

static int bad_image(struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "has VHD headers that make no "
			      "sense; a damaged or truncated copy?");
}

/* The footer that counts, and where the blocks end. */
static int take_footer(struct vhd *vhd, struct disk_error *error)
{
	uint64_t size = vhd->node.file->size;
	uint32_t version;
	int result;

	if (size < VHD_FOOTER)
		return bad_image(error);
	vhd->end = size - VHD_FOOTER;
	result = disk_read_bytes(vhd->node.file, vhd->end, vhd->footer,
				 VHD_FOOTER);
	if (!result && !good_footer(vhd->footer)) {
		vhd->torn = true;
		vhd->end = (size + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
		result = disk_read_bytes(vhd->node.file, 0, vhd->footer,
					 VHD_FOOTER);
	}
	vhd->type = get_be32(vhd->footer + VHD_AT_TYPE);
	if (result || !good_footer(vhd->footer) ||
	    (vhd->torn && vhd->type == VHD_FIXED))
		return bad_image(error);
	version = get_be32(vhd->footer + VHD_AT_VERSION);
	if (version >> 16 != 1)
		return disk_error_set(error, -ENOTSUP, "has version %u.%u of "
				      "VHD; only 1.0 is known", version >> 16,
				      version & 0xffff);
	if (vhd->type < VHD_FIXED || vhd->type > VHD_DIFFERENCING)
		return disk_error_set(error, -ENOTSUP,
				      "has the unknown VHD type %u", vhd->type);
	return 0;
}

/* Virtual PC and old QEMU show what cylinders, heads and sectors make. */
static uint64_t disk_size(const uint8_t *footer)
{
	uint64_t size = get_be64(footer + VHD_AT_SIZE);
	uint64_t sectors = vhd_geometry_sectors(footer);
	bool by_geometry = !memcmp(footer + VHD_AT_CREATOR, "vpc ", 4) ||
			   !memcmp(footer + VHD_AT_CREATOR, "qemu", 4);

	if (by_geometry && sectors && sectors != 65535ull * 16 * 255)
		size = sectors * SECTOR;
	return size & ~(uint64_t)(SECTOR - 1);
}

static int take_header(struct vhd *vhd, struct disk_error *error)
{
	uint64_t file = vhd->node.file->size;
	uint32_t block;

	vhd->header_at = get_be64(vhd->footer + VHD_AT_HEADER);
	if (vhd->header_at % SECTOR || vhd->header_at > file ||
	    file - vhd->header_at < VHD_HEADER ||
	    disk_read_bytes(vhd->node.file, vhd->header_at, vhd->header,
			    VHD_HEADER) ||
	    memcmp(vhd->header, "cxsparse", 8) != 0 ||
	    get_be32(vhd->header + VHD_AT_HEADER_SUM) !=
		    vhd_sum(vhd->header, VHD_HEADER, VHD_AT_HEADER_SUM))
		return bad_image(error);
	block = get_be32(vhd->header + VHD_AT_BLOCK);
	vhd->entries = get_be32(vhd->header + VHD_AT_ENTRIES);
	vhd->table.offset = get_be64(vhd->header + VHD_AT_TABLE);
	if (block < BLOCK_MIN || block > BLOCK_MAX || block & (block - 1))
		return disk_error_set(error, -ENOTSUP, "has blocks of %u "
				      "bytes; VHD images here have powers of "
				      "two from 256 KiB to 256 MiB", block);
	vhd->table.block = block;
	vhd->bitmap = (block / SECTOR / 8 + SECTOR - 1) & ~(SECTOR - 1);
	vhd->node.cluster = block;
	if (vhd->table.offset % SECTOR || vhd->table.offset < SECTOR ||
	    vhd->table.offset > file ||
	    file - vhd->table.offset < (uint64_t)vhd->entries * 4 ||
	    (uint64_t)vhd->entries * block < vhd->node.size)
		return bad_image(error);
	return 0;
}

static int take_image(struct vhd *vhd, struct disk_error *error)
{
	int result = take_footer(vhd, error);

	if (result)
		return result;
	vhd->node.size = disk_size(vhd->footer);
	if (!vhd->node.size || vhd->node.size > VHD_SIZE_MAX)
		return bad_image(error);
	if (vhd->type == VHD_FIXED)
		return vhd->node.size > vhd->end ? bad_image(error) : 0;
	return take_header(vhd, error);
}

/* --- the parent ------------------------------------------------------------- */

/* A path of Windows as one of ours. */
static void turn_slashes(char *path)
{
	for (char *c = path; *c; c++)
		if (*c == '\\')
			*c = '/';
}

/* The parent's relative path by a locator, else its bare name. */
static void parent_path(struct vhd *vhd, char *path)
{
	uint8_t wide[PATH_ROOM / 2];
	char *slash;

	for (unsigned int i = 0; i < VHD_LOCATORS; i++) {
		const uint8_t *at = vhd->header + VHD_AT_LOCATORS +
				    i * VHD_LOCATOR;
		uint32_t size = get_be32(at + 8);
		uint64_t offset = get_be64(at + 16);

		if (memcmp(at, "W2ru", 4) != 0 || size > sizeof(wide) ||
		    disk_read_bytes(vhd->node.file, offset, wide, size))
			continue;
		utf16_decode(path, PATH_ROOM, wide, size, false);
		turn_slashes(path);
		return;
	}
	utf16_decode(path, PATH_ROOM, vhd->header + VHD_AT_PARENT_NAME,
		     VHD_PARENT_NAME, true);
	turn_slashes(path);
	slash = strrchr(path, '/');
	if (slash)
		memmove(path, slash + 1, strlen(slash));
}

static int open_parent(struct vhd *vhd, const struct disk_open *how,
		       struct disk_error *error)
{
	char path[PATH_ROOM];
	int result;

	parent_path(vhd, path);
	if (!*path)
		return bad_image(error);
	vhd->node.parent = strdup(path);
	result = disk_open_backing(&vhd->node.backing, vhd->node.file, path,
				   "vhd", how, error);
	if (result || !vhd->node.backing)
		return result;
	if (memcmp(vhd_of(vhd->node.backing)->footer + VHD_AT_ID,
		   vhd->header + VHD_AT_PARENT_ID, 16) != 0)
		return disk_error_set(error, -EINVAL, "stands on %s, which is "
				      "another image than it was; bring the "
				      "right one back", path);
	return 0;
}

static int vhd_open(struct disk_node **node, struct disk_node *file,
		    const struct disk_open *how, struct disk_error *error)
{
	struct vhd *vhd = calloc(1, sizeof(*vhd));
	int result;

	if (!vhd || disk_node_init(&vhd->node, &disk_vhd, file, how)) {
		free(vhd);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	disk_meta_init(&vhd->meta, file);
	pthread_mutex_init(&vhd->mutex, NULL);
	vhd->table.meta = &vhd->meta;
	vhd->table.in = file;
	vhd->table.entry = 4;
	vhd->table.place = vhd_place;
	vhd->table.ctx = vhd;
	result = take_image(vhd, error);
	if (!result && vhd->type == VHD_DIFFERENCING)
		result = open_parent(vhd, how, error);
	if (result)
		disk_node_abandon(&vhd->node);
	else
		*node = &vhd->node;
	return result;
}

static void vhd_close(struct disk_node *node)
{
	disk_meta_fini(&vhd_of(node)->meta);
	pthread_mutex_destroy(&vhd_of(node)->mutex);
}

static json_t *vhd_info(struct disk_node *node)
{
	static const char *const types[] = { "fixed", "dynamic",
					     "differencing" };
	const struct vhd *vhd = vhd_of(node);

	return json_pack("{ss}", "subformat", types[vhd->type - VHD_FIXED]);
}

static const struct disk_option vhd_options[] = {
	{ "subformat", "dynamic|fixed (default: dynamic)" },
	{ "force_size", "on|off: off rounds the size up to one that cylinders, "
			"heads and sectors make, for Virtual PC (default: "
			"on)" },
	{ NULL, NULL },
};

const struct disk_driver disk_vhd = {
	.name = "vhd",
	.title = "VHD",
	.suffixes = ".vhd .vpc",
	.options = vhd_options,
	.backing = true,
	.footer = true,
	.probe = vhd_probe,
	.open = vhd_open,
	.create = vhd_create,
	.close = vhd_close,
	.map = vhd_map,
	.write = vhd_write,
	.zero = disk_extents_zero,
	.discard = disk_extents_discard,
	.flush = vhd_flush,
	.resize = vhd_resize,
	.info = vhd_info,
	.check = vhd_check,
};
