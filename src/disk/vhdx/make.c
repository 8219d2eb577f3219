/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHDX images: making, resizing, checking.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crc32c.h"
#include "disk/guid.h"
#include "disk/utf16.h"
#include "disk/vhdx/vhdx.h"
#include "disk/wire.h"

#define LOG_AT	     (1ull * VHDX_MIB)
#define METADATA_AT  (2ull * VHDX_MIB)
#define BAT_AT	     (3ull * VHDX_MIB)
#define ITEM_AT	     VHDX_METADATA /* of the first item, in its region */
#define ITEM_ROOM    32u
#define LOCATOR_AT   (ITEM_AT + VHDX_SECTOR)
#define BLOCK_DIFFER (2u << 20) /* of images with a parent */
#define BLOCK	     (8u << 20)
#define BLOCK_LARGE  (64u << 20) /* of disks above LARGE */
#define LARGE	     (16ull << 40)

/* Sections 2.2.3.2 and 2.6.2. */
const uint8_t vhdx_bat_guid[16] = {
	0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
	0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08,
};
const uint8_t vhdx_metadata_guid[16] = {
	0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
	0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e,
};
const uint8_t vhdx_item_guids[6][16] = {
	[VHDX_ITEM_FILE] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
			     0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b },
	[VHDX_ITEM_SIZE] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
			     0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 },
	[VHDX_ITEM_ID] = { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
			   0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 },
	[VHDX_ITEM_SECTOR] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
			       0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f },
	[VHDX_ITEM_PHYSICAL] = { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
				 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5,
				 0x56 },
	[VHDX_ITEM_PARENT] = { 0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
			       0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c },
};

struct plan {
	uint64_t size, bat;
	uint32_t block, sector;
	bool fixed;
	const struct vhdx *parent; /* NULL: none */
	uint8_t locator[VHDX_LOCATOR]; /* of it */
	uint32_t locator_size;
};

/* --- making ----------------------------------------------------------------- */

static int write_headers(struct disk_node *file)
{
	uint8_t head[VHDX_SECTOR] = { 0 };
	int error;

	memcpy(head, "vhdxfile", 8);
	utf16_encode(head + 8, 512, "lodge", false);
	error = disk_write_bytes(file, 0, head, sizeof(head));
	memset(head, 0, sizeof(head));
	memcpy(head, "head", 4);
	disk_guid_make_le(head + VHDX_AT_FILE_GUID);
	disk_guid_make_le(head + VHDX_AT_DATA_GUID);
	put_le16(head + VHDX_AT_VERSION, 1);
	put_le32(head + VHDX_AT_LOG_LENGTH, VHDX_MIB);
	put_le64(head + VHDX_AT_LOG, LOG_AT);
	for (unsigned int i = 0; !error && i < 2; i++) {
		put_le64(head + VHDX_AT_SEQUENCE, i + 1);
		put_le32(head + VHDX_AT_SUM,
			 crc32c_around(head, sizeof(head), VHDX_AT_SUM));
		error = disk_write_bytes(file, (64u << 10) * (i + 1), head,
					 sizeof(head));
	}
	return error;
}

static void put_region(uint8_t *entry, const uint8_t *guid, uint64_t at,
		       uint64_t length)
{
	memcpy(entry, guid, 16);
	put_le64(entry + 16, at);
	put_le32(entry + 24, (uint32_t)length);
	put_le32(entry + 28, 1); /* required */
}

static int write_regions(struct disk_node *file, const struct plan *plan)
{
	static const uint64_t at[2] = VHDX_REGIONS_AT;
	uint8_t *table = calloc(1, VHDX_REGIONS);
	int error = table ? 0 : -ENOMEM;

	if (error)
		return error;
	memcpy(table, "regi", 4);
	put_le32(table + 8, 2);
	put_region(table + 16, vhdx_bat_guid, BAT_AT, plan->bat);
	put_region(table + 48, vhdx_metadata_guid, METADATA_AT, VHDX_MIB);
	put_le32(table + 4, crc32c_around(table, VHDX_REGIONS, 4));
	for (unsigned int i = 0; !error && i < 2; i++)
		error = disk_write_bytes(file, at[i], table, VHDX_REGIONS);
	free(table);
	return error;
}

static void put_item(uint8_t *table, uint32_t item, uint32_t at, uint32_t size)
{
	uint8_t *entry = table + 32 + item * 32;

	memcpy(entry, vhdx_item_guids[item], 16);
	put_le32(entry + 16, at);
	put_le32(entry + 20, size);
	/* Required; and of the disk, not of the file. */
	put_le32(entry + 24,
		 item == VHDX_ITEM_FILE || item == VHDX_ITEM_PARENT ? 4 : 6);
}

static int write_metadata(struct disk_node *file, const struct plan *plan)
{
	static const uint32_t sizes[5] = { 8, 8, 16, 4, 4 };
	const struct vhdx *parent = plan->parent;
	uint8_t table[VHDX_SECTOR] = { 0 }, items[5 * ITEM_ROOM] = { 0 };
	int error;

	memcpy(table, "metadata", 8);
	put_le16(table + 10, parent ? 6 : 5);
	for (uint32_t i = 0; i < 5; i++)
		put_item(table, i, ITEM_AT + i * ITEM_ROOM, sizes[i]);
	if (parent)
		put_item(table, VHDX_ITEM_PARENT, LOCATOR_AT,
			 plan->locator_size);
	put_le32(items, plan->block);
	put_le32(items + 4, plan->fixed ? 1 : parent ? 2 : 0);
	put_le64(items + VHDX_ITEM_SIZE * ITEM_ROOM, plan->size);
	if (parent)
		memcpy(items + VHDX_ITEM_ID * ITEM_ROOM, parent->id, 16);
	else
		disk_guid_make_le(items + VHDX_ITEM_ID * ITEM_ROOM);
	put_le32(items + VHDX_ITEM_SECTOR * ITEM_ROOM, plan->sector);
	put_le32(items + VHDX_ITEM_PHYSICAL * ITEM_ROOM,
		 parent && parent->physical ? parent->physical : 4096);
	error = disk_write_bytes(file, METADATA_AT, table, sizeof(table));
	if (!error && parent)
		error = disk_write_bytes(file, METADATA_AT + LOCATOR_AT,
					 plan->locator, plan->locator_size);
	return error ? error
		     : disk_write_bytes(file, METADATA_AT + ITEM_AT, items,
					sizeof(items));
}

/* A fixed image's table: every block has its place. */
static int write_places(struct disk_node *file, const struct plan *plan)
{
	uint64_t payloads = (plan->size - 1) / plan->block + 1;
	uint64_t count = vhdx_entries(payloads, plan->block, 512, false);
	uint64_t chunk = (512ull << 23) / plan->block;
	uint8_t *entries = calloc(count, 8);
	int error = entries ? 0 : -ENOMEM;

	for (uint64_t i = 0; !error && i < payloads; i++)
		put_le64(entries + (i + i / chunk) * 8,
			 (BAT_AT + plan->bat + i * plan->block) | VHDX_PRESENT);
	if (!error)
		error = disk_write_bytes(file, BAT_AT, entries, count * 8);
	free(entries);
	return error;
}

static bool is_power(uint64_t value)
{
	return value && !(value & (value - 1));
}

static int take_options(struct plan *plan, const struct disk_create *how,
			struct disk_error *error)
{
	const char *sub = disk_create_option(how, "subformat");
	uint64_t size = disk_create_size(how, "block_size",
					 plan->parent	     ? BLOCK_DIFFER
					 : how->size > LARGE ? BLOCK_LARGE
							     : BLOCK);
	uint64_t payloads;

	if (sub && strcmp(sub, "fixed") != 0 && strcmp(sub, "dynamic") != 0)
		return disk_error_set(error, -EINVAL, "subformat=%s; give "
				      "dynamic or fixed", sub);
	if (!is_power(size) || size < VHDX_BLOCK_MIN || size > VHDX_BLOCK_MAX)
		return disk_error_set(error, -EINVAL, "block_size=%s; give a "
				      "power of two from 1M to 256M",
				      disk_create_option(how, "block_size"));
	if (how->size > VHDX_SIZE_MAX)
		return disk_error_set(error, -EFBIG, "a VHDX image has at most "
				      "64 TiB; take raw or qcow2");
	plan->size = how->size;
	plan->block = (uint32_t)size;
	plan->fixed = sub && !strcmp(sub, "fixed");
	plan->sector = plan->parent ? plan->parent->sector : 512;
	if (plan->fixed && plan->parent)
		return disk_error_set(error, -EINVAL, "a fixed VHDX image has "
				      "no backing file; leave subformat out");
	if (plan->size % plan->sector)
		return disk_error_set(error, -EINVAL, "its backing file has "
				      "sectors of %u bytes; give a size of "
				      "whole ones", plan->sector);
	payloads = (plan->size - 1) / size + 1;
	plan->bat = vhdx_entries(payloads, plan->block, plan->sector,
				 plan->parent) * 8;
	plan->bat = (plan->bat + VHDX_MIB - 1) & ~(uint64_t)(VHDX_MIB - 1);
	return 0;
}

static int write_image(struct disk_node *file, const struct plan *plan,
		       struct disk_error *error)
{
	uint64_t end = BAT_AT + plan->bat;
	int result;

	if (plan->fixed)
		end += ((plan->size - 1) / plan->block + 1) * plan->block;
	result = disk_resize(file, end, DISK_PREALLOC_OFF, error);
	if (result)
		return result;
	result = write_headers(file);
	if (!result)
		result = write_regions(file, plan);
	if (!result)
		result = write_metadata(file, plan);
	if (!result && plan->fixed)
		result = write_places(file, plan);
	return result ? disk_error_set(error, result, "cannot be written: %s",
				       strerror(-result))
		      : 0;
}

/* The parent, and what says where it is. */
static int take_parent(struct plan *plan, struct disk_node *file,
		       const struct disk_create *how,
		       struct disk_node **parent, struct disk_error *error)
{
	int result;

	if (!how->backing)
		return 0;
	if (how->backing_format && strcmp(how->backing_format, "vhdx") != 0)
		return disk_error_set(error, -EINVAL, "a VHDX image stands on "
				      "VHDX images only, not on %s; take qcow2",
				      how->backing_format);
	result = disk_create_backing(parent, file, "vhdx", how, error);
	if (result)
		return result;
	plan->parent = vhdx_of(*parent);
	plan->locator_size = *how->backing == '/'
				     ? 0
				     : vhdx_make_locator(plan->locator,
							 sizeof(plan->locator),
							 plan->parent,
							 how->backing);
	return plan->locator_size ? 0
				  : disk_error_set(error, -EINVAL, "a VHDX "
						   "image names its backing "
						   "file by a short path from "
						   "its own folder, not by %s",
						   how->backing);
}

int vhdx_create(struct disk_node *file, const struct disk_create *how,
		struct disk_error *error)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	struct disk_node *parent = NULL;
	int result;

	if (!plan)
		return disk_error_set(error, -ENOMEM, "out of memory");
	result = take_parent(plan, file, how, &parent, error);
	if (!result)
		result = take_options(plan, how, error);
	if (!result)
		result = write_image(file, plan, error);
	disk_close(parent);
	free(plan);
	return result;
}

/* --- another size ----------------------------------------------------------- */

/* The entries from block `from` on are none. */
static int clear_entries(struct vhdx *vhdx, uint64_t from, uint64_t payloads)
{
	static const uint8_t none[8];
	int error = 0;

	for (uint64_t i = from; !error && i < payloads; i++)
		error = disk_meta_write(&vhdx->meta,
					disk_table_at(&vhdx->table, i), none,
					sizeof(none));
	/* Bitmaps' entries of new chunks; that of the last one stays. */
	from = (from - 1) / vhdx->table.interleave + 1;
	for (uint64_t i = from * vhdx->table.interleave;
	     vhdx->differs && !error && i < payloads;
	     i += vhdx->table.interleave)
		error = disk_meta_write(&vhdx->meta,
					vhdx_bitmap_entry_at(vhdx, i), none,
					sizeof(none));
	return error;
}

/* Both region tables, by the log: they say where the table is. */
static int set_region(struct vhdx *vhdx, const struct vhdx_region *bat)
{
	static const uint64_t at[2] = VHDX_REGIONS_AT;
	uint8_t *table = malloc(VHDX_REGIONS);
	int error = table ? disk_meta_read(&vhdx->meta, at[0], table,
					   VHDX_REGIONS, 0)
			  : -ENOMEM;
	uint32_t count = error ? 0 : get_le32(table + 8);

	for (uint32_t i = 0; i < count && i < 2047; i++)
		if (!memcmp(table + 16 + i * 32, vhdx_bat_guid, 16))
			put_region(table + 16 + i * 32, vhdx_bat_guid, bat->at,
				   bat->length);
	if (!error)
		put_le32(table + 4, crc32c_around(table, VHDX_REGIONS, 4));
	for (unsigned int i = 0; !error && i < 2; i++)
		error = disk_meta_write(&vhdx->meta, at[i], table,
					VHDX_REGIONS);
	free(table);
	return error ? error : disk_meta_flush(&vhdx->meta);
}

/* The table again, with room for more, at the file's end. */
static int move_table(struct vhdx *vhdx, uint64_t bytes)
{
	struct vhdx_region bat = {
		.length = (bytes + VHDX_MIB - 1) & ~(uint64_t)(VHDX_MIB - 1),
	};
	uint8_t *buf = malloc(VHDX_MIB);
	int error = buf ? disk_meta_flush(&vhdx->meta) : -ENOMEM;

	if (!error)
		error = vhdx_take_room(vhdx, bat.length, &bat.at);
	for (uint64_t at = 0; !error && at < vhdx->bat.length; at += VHDX_MIB) {
		error = disk_read_bytes(vhdx->node.file, vhdx->bat.at + at,
					buf, VHDX_MIB);
		if (!error)
			error = disk_write_bytes(vhdx->node.file, bat.at + at,
						 buf, VHDX_MIB);
	}
	free(buf);
	if (!error)
		error = set_region(vhdx, &bat);
	if (error)
		return error;
	vhdx->bat = bat;
	vhdx->table.offset = bat.at;
	return 0;
}

static int set_size(struct vhdx *vhdx, uint64_t size)
{
	uint8_t number[8];
	int error;

	put_le64(number, size);
	error = disk_meta_write(&vhdx->meta, vhdx->size_at, number, 8);
	return error ? error : disk_meta_flush(&vhdx->meta);
}

static int grow(struct vhdx *vhdx, uint64_t size)
{
	uint64_t payloads = (size - 1) / vhdx->table.block + 1;
	uint64_t bytes = 8 * vhdx_entries(payloads, vhdx->table.block,
					  vhdx->sector, vhdx->differs);
	uint64_t end = vhdx->payloads * vhdx->table.block;
	int error;

	error = disk_zero_behind(&vhdx->node, vhdx->node.size,
				 size < end ? size : end);
	if (!error && bytes > vhdx->bat.length)
		error = move_table(vhdx, bytes);
	if (!error)
		error = clear_entries(vhdx, vhdx->payloads, payloads);
	if (!error)
		error = disk_meta_flush(&vhdx->meta);
	if (!error)
		error = set_size(vhdx, size);
	if (!error)
		vhdx->payloads = payloads;
	return error;
}

/* Cuts off what lies behind all blocks. The log says how long the file is. */
static int cut_file(struct vhdx *vhdx)
{
	uint64_t end;
	int error = vhdx_log_end(vhdx);

	vhdx->has_end = false;
	if (!error) /* no room at all: only where it would be */
		error = vhdx_take_room(vhdx, 0, &end);
	if (!error && vhdx->node.file->size > end)
		error = disk_resize(vhdx->node.file, end, DISK_PREALLOC_OFF,
				    NULL);
	return error;
}

/* The disk is smaller before its blocks go. */
static int shrink(struct vhdx *vhdx, uint64_t size)
{
	uint64_t payloads = (size - 1) / vhdx->table.block + 1;
	uint64_t old = vhdx->payloads, end = payloads * vhdx->table.block;
	int error = set_size(vhdx, size);

	if (!error && vhdx->node.size > end)
		error = disk_extents_discard(&vhdx->node, end,
					     vhdx->node.size - end);
	if (!error)
		error = clear_entries(vhdx, payloads, old);
	if (!error)
		error = disk_meta_flush(&vhdx->meta);
	if (error)
		return error;
	vhdx->payloads = payloads;
	return cut_file(vhdx);
}

int vhdx_resize(struct disk_node *node, uint64_t size,
		enum disk_preallocation prealloc, struct disk_error *error)
{
	struct vhdx *vhdx = vhdx_of(node);
	int result;

	if (prealloc != DISK_PREALLOC_OFF)
		return disk_error_set(error, -ENOTSUP, "is a VHDX image, which "
				      "grows without preallocation only");
	if (size > VHDX_SIZE_MAX || size % vhdx->sector)
		return disk_error_set(error, -EINVAL, "is a VHDX image, which "
				      "has whole sectors of %u bytes and at "
				      "most 64 TiB", vhdx->sector);
	if (size == node->size)
		return 0;
	result = size > node->size ? disk_check_growth(node, error) : 0;
	if (result)
		return result;
	result = vhdx_begin_change(vhdx);
	if (!result)
		result = size > node->size ? grow(vhdx, size)
					   : shrink(vhdx, size);
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	node->size = size;
	return 0;
}

/* --- checking --------------------------------------------------------------- */

struct finding {
	struct vhdx *vhdx;
	struct disk_check *check;
	bool repair;
	uint8_t *used; /* a bit for each MiB of the file */
	uint64_t end;
};

static void use_region(struct finding *find, const struct vhdx_region *region)
{
	if (region->at + region->length > find->end)
		find->end = region->at + region->length;
}

/* Room of a block, or of its chunk's bitmaps. */
static void use_room(struct finding *find, uint64_t block, uint64_t at,
		     uint32_t bytes)
{
	bool shared = false;

	for (uint64_t mib = at / VHDX_MIB; mib < (at + bytes) / VHDX_MIB;
	     mib++) {
		shared |= find->used[mib / 8] & 1u << mib % 8;
		find->used[mib / 8] |= (uint8_t)(1u << mib % 8);
	}
	if (at + bytes > find->end)
		find->end = at + bytes;
	if (!shared)
		return;
	disk_check_say(find->check, "block %llu: another block has its room, "
		       "too", (unsigned long long)block);
	find->check->corruptions++;
}

/* -ENOENT: a block that is there in part has no bitmap to say which. */
static int has_bitmap(struct finding *find, uint64_t block)
{
	struct vhdx *vhdx = find->vhdx;
	uint64_t at;
	uint8_t entry[8];
	int error = disk_meta_read(&vhdx->meta,
				   vhdx_bitmap_entry_at(vhdx, block), entry, 8,
				   0);

	if (error)
		return error;
	return vhdx_bitmap_place(vhdx, entry, &at) || !at ? -ENOENT : 0;
}

/* The bitmaps of the chunk that `block` is the first of. */
static int check_bitmap(struct finding *find, uint64_t block)
{
	static const uint8_t none[8];
	struct vhdx *vhdx = find->vhdx;
	uint64_t entry_at = vhdx_bitmap_entry_at(vhdx, block), at;
	uint8_t entry[8];
	int error = disk_meta_read(&vhdx->meta, entry_at, entry, 8, 0);

	if (error)
		return error;
	if (!vhdx_bitmap_place(vhdx, entry, &at)) {
		if (at)
			use_room(find, block, at, VHDX_BITMAP);
		return 0;
	}
	disk_check_say(find->check, "the sector bitmap of block %llu lies where "
		       "none may", (unsigned long long)block);
	find->check->corruptions++;
	if (!find->repair)
		return 0;
	find->check->corruptions_fixed++;
	return disk_meta_write(&vhdx->meta, entry_at, none, sizeof(none));
}

static int check_block(struct finding *find, uint64_t block)
{
	static const uint8_t none[8];
	struct vhdx *vhdx = find->vhdx;
	uint64_t at = disk_table_at(&vhdx->table, block);
	struct disk_place place;
	uint8_t entry[8];
	int error = disk_meta_read(&vhdx->meta, at, entry, 8, 0);

	if (error)
		return error;
	if (!vhdx->table.place(vhdx, entry, &place)) {
		find->check->allocated += place.kind == DISK_DATA;
		if (place.kind == DISK_DATA)
			use_room(find, block, place.at, vhdx->table.block);
		if (place.kind != DISK_DATA || !vhdx->differs ||
		    (get_le64(entry) & 7) != VHDX_PARTIAL)
			return 0;
		error = has_bitmap(find, block);
		if (error != -ENOENT)
			return error;
	}
	disk_check_say(find->check, error ? "block %llu: has no sector bitmap"
					  : "block %llu: lies where no block "
					    "may", (unsigned long long)block);
	find->check->corruptions++;
	if (!find->repair)
		return 0;
	find->check->corruptions_fixed++;
	return disk_meta_write(&vhdx->meta, at, none, sizeof(none));
}

/* Room behind all that is in use is no damage: it is used again, or cut off
 * here. */
static int cut_end(struct finding *find)
{
	struct vhdx *vhdx = find->vhdx;
	int error = disk_meta_flush(&vhdx->meta);

	/* The log says how long the file is. */
	if (!error)
		error = vhdx_log_end(vhdx);
	if (!error && vhdx->node.file->size > find->end)
		error = disk_resize(vhdx->node.file, find->end,
				    DISK_PREALLOC_OFF, NULL);
	vhdx->has_end = false;
	return error;
}

int vhdx_check(struct disk_node *node, bool repair, struct disk_check *check,
	       struct disk_error *error)
{
	struct vhdx *vhdx = vhdx_of(node);
	struct finding find = { .vhdx = vhdx, .check = check,
				.repair = repair };
	uint64_t size = node->file->size;
	int result = repair ? vhdx_begin_change(vhdx) : 0;

	if (size > VHDX_PLACE_MAX)
		size = VHDX_PLACE_MAX;
	size += VHDX_BLOCK_MAX;
	find.used = calloc(1, size / VHDX_MIB / 8 + 1);
	if (!find.used)
		result = -ENOMEM;
	check->clusters = vhdx->payloads;
	use_region(&find, &vhdx->log);
	use_region(&find, &vhdx->bat);
	use_region(&find, &vhdx->metadata);
	for (uint64_t i = 0; vhdx->differs && !result && i < vhdx->payloads;
	     i += vhdx->table.interleave)
		result = check_bitmap(&find, i);
	for (uint64_t i = 0; !result && i < vhdx->payloads; i++)
		result = check_block(&find, i);
	if (!result && repair)
		result = cut_end(&find);
	free(find.used);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}
