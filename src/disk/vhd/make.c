/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD images: making, resizing, checking.
 *
 * Our images say that Windows made them: that is what makes other programs
 * believe the size in the footer rather than the one that cylinders, heads
 * and sectors make, which cannot be had for every size.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk/guid.h"
#include "disk/utf16.h"
#include "disk/vhd/vhd.h"
#include "disk/wire.h"

#define SECTOR	    512u
#define YEAR_2000   946684800 /* in seconds since 1970 */
#define HEADER_AT   VHD_FOOTER
#define TABLE_AT    (HEADER_AT + VHD_HEADER)
#define LOCATOR_MAX 512u

/* --- geometry --------------------------------------------------------------- */

void vhd_put_geometry(uint8_t *footer, uint64_t sectors)
{
	uint32_t track = 17, heads, rows;
	const uint64_t most = 65535ull * 16 * 255;

	if (sectors > most)
		sectors = most;
	rows = (uint32_t)(sectors / track);
	heads = (rows + 1023) / 1024;
	if (heads < 4)
		heads = 4;
	if (sectors >= 65535ull * 16 * 63) {
		track = 255;
		heads = 16;
	} else if (heads > 16 || rows >= heads * 1024) {
		heads = 16;
		track = sectors / 31 >= 16 * 1024 ? 63 : 31;
	}
	rows = (uint32_t)(sectors / track);
	put_be16(footer + VHD_AT_CYLINDERS, (uint16_t)(rows / heads));
	footer[VHD_AT_HEADS] = (uint8_t)heads;
	footer[VHD_AT_SECTORS] = (uint8_t)track;
}

uint64_t vhd_geometry_sectors(const uint8_t *footer)
{
	return (uint64_t)get_be16(footer + VHD_AT_CYLINDERS) *
	       footer[VHD_AT_HEADS] * footer[VHD_AT_SECTORS];
}

/* The least size, no less than `size`, that a geometry makes. */
static uint64_t round_by_geometry(uint64_t size)
{
	uint64_t sectors = size / SECTOR, made = 0;
	uint8_t footer[VHD_FOOTER];

	for (uint64_t more = 0; made < sectors && more < 65536; more++) {
		vhd_put_geometry(footer, sectors + more);
		made = vhd_geometry_sectors(footer);
	}
	return made < sectors ? size : made * SECTOR;
}

/* --- making ----------------------------------------------------------------- */

struct plan {
	uint64_t size;
	uint32_t type;
	bool by_geometry;
	const struct vhd *parent;
};

static void make_footer(uint8_t *footer, const struct plan *plan)
{
	memset(footer, 0, VHD_FOOTER);
	memcpy(footer + VHD_AT_COOKIE, "conectix", 8);
	put_be32(footer + VHD_AT_FEATURES, 2);
	put_be32(footer + VHD_AT_VERSION, 0x00010000);
	put_be64(footer + VHD_AT_HEADER,
		 plan->type == VHD_FIXED ? UINT64_MAX : HEADER_AT);
	put_be32(footer + VHD_AT_TIME, (uint32_t)(time(NULL) - YEAR_2000));
	memcpy(footer + VHD_AT_CREATOR, plan->by_geometry ? "vpc " : "win ",
	       4);
	put_be32(footer + VHD_AT_CREATOR_VERSION,
		 plan->by_geometry ? 0x00050003 : 0x000a0000);
	memcpy(footer + VHD_AT_CREATOR_OS, "Wi2k", 4);
	put_be64(footer + VHD_AT_FIRST_SIZE, plan->size);
	put_be64(footer + VHD_AT_SIZE, plan->size);
	vhd_put_geometry(footer, plan->size / SECTOR);
	put_be32(footer + VHD_AT_TYPE, plan->type);
	disk_guid_make(footer + VHD_AT_ID);
	put_be32(footer + VHD_AT_SUM, vhd_sum(footer, VHD_FOOTER, VHD_AT_SUM));
}

static uint64_t table_bytes(uint64_t entries)
{
	return (entries * 4 + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
}

/* Names the parent: by its name, and by a path relative to the image. The
 * locator's room lies at `at`. */
static void name_parent(uint8_t *header, uint8_t *locator, uint64_t at,
			const struct plan *plan, const char *path)
{
	const char *slash = strrchr(path, '/');
	uint8_t *place = header + VHD_AT_LOCATORS;
	char windows[LOCATOR_MAX / 2];
	size_t size = 0;

	memcpy(header + VHD_AT_PARENT_ID, plan->parent->footer + VHD_AT_ID, 16);
	memcpy(header + VHD_AT_PARENT_TIME,
	       plan->parent->footer + VHD_AT_TIME, 4);
	utf16_encode(header + VHD_AT_PARENT_NAME, VHD_PARENT_NAME - 2,
		     slash ? slash + 1 : path, true);
	if (*path != '/') {
		windows[size++] = '.';
		windows[size++] = '\\';
	}
	for (; *path && size < sizeof(windows) - 1; path++)
		windows[size++] = *path == '/' ? '\\' : *path;
	windows[size] = 0;
	size = utf16_encode(locator, LOCATOR_MAX, windows, false);
	memcpy(place, "W2ru", 4);
	put_be32(place + 4, LOCATOR_MAX);
	put_be32(place + 8, (uint32_t)size);
	put_be64(place + 16, at);
}

static int write_unused(struct disk_node *file, uint64_t at, uint64_t size)
{
	static const uint64_t at_once = 64 * 1024;
	uint8_t *unused = malloc(at_once);
	int error = unused ? 0 : -ENOMEM;

	if (unused)
		memset(unused, 0xff, at_once);
	while (!error && size) {
		uint64_t part = size < at_once ? size : at_once;

		error = disk_write_bytes(file, at, unused, part);
		at += part;
		size -= part;
	}
	free(unused);
	return error;
}

/* All but the footer at the end, which comes to *end. */
static int write_sparse(struct disk_node *file, const struct plan *plan,
			const char *parent, const uint8_t *footer,
			uint64_t *end)
{
	uint64_t entries = (plan->size - 1) / VHD_BLOCK + 1;
	uint8_t header[VHD_HEADER] = { 0 }, locator[LOCATOR_MAX] = { 0 };
	int error;

	memcpy(header, "cxsparse", 8);
	put_be64(header + 8, UINT64_MAX);
	put_be64(header + VHD_AT_TABLE, TABLE_AT);
	put_be32(header + VHD_AT_HEADER_VERSION, 0x00010000);
	put_be32(header + VHD_AT_ENTRIES, (uint32_t)entries);
	put_be32(header + VHD_AT_BLOCK, VHD_BLOCK);
	*end = TABLE_AT + table_bytes(entries);
	if (plan->parent) {
		name_parent(header, locator, *end, plan, parent);
		error = disk_write_bytes(file, *end, locator, LOCATOR_MAX);
		*end += LOCATOR_MAX;
		if (error)
			return error;
	}
	put_be32(header + VHD_AT_HEADER_SUM,
		 vhd_sum(header, VHD_HEADER, VHD_AT_HEADER_SUM));
	error = disk_write_bytes(file, 0, footer, VHD_FOOTER);
	if (!error)
		error = disk_write_bytes(file, HEADER_AT, header, VHD_HEADER);
	if (!error)
		error = write_unused(file, TABLE_AT, table_bytes(entries));
	return error;
}

static int write_image(struct disk_node *file, const struct plan *plan,
		       const char *parent, struct disk_error *error)
{
	uint8_t footer[VHD_FOOTER];
	uint64_t end = plan->size;
	int result = 0;

	make_footer(footer, plan);
	if (plan->type != VHD_FIXED)
		result = write_sparse(file, plan, parent, footer, &end);
	if (!result)
		result = disk_write_bytes(file, end, footer, VHD_FOOTER);
	return result ? disk_error_set(error, result, "cannot be written: %s",
				       strerror(-result))
		      : 0;
}

static int take_options(struct plan *plan, const struct disk_create *how,
			struct disk_error *error)
{
	const char *sub = disk_create_option(how, "subformat");
	const char *force = disk_create_option(how, "force_size");

	if (sub && strcmp(sub, "fixed") != 0 && strcmp(sub, "dynamic") != 0)
		return disk_error_set(error, -EINVAL, "subformat=%s; give "
				      "dynamic or fixed", sub);
	if (force && strcmp(force, "on") != 0 && strcmp(force, "off") != 0)
		return disk_error_set(error, -EINVAL, "force_size=%s; give on "
				      "or off", force);
	plan->type = sub && !strcmp(sub, "fixed") ? VHD_FIXED : VHD_DYNAMIC;
	plan->by_geometry = force && !strcmp(force, "off");
	plan->size = plan->by_geometry ? round_by_geometry(how->size)
				       : how->size;
	if (how->backing && plan->type == VHD_FIXED)
		return disk_error_set(error, -EINVAL, "a fixed VHD image has "
				      "no backing file; leave subformat out");
	if (how->backing && how->backing_format &&
	    strcmp(how->backing_format, "vhd") != 0)
		return disk_error_set(error, -EINVAL, "a VHD image stands on "
				      "VHD images only, not on %s; take qcow2",
				      how->backing_format);
	if (plan->size > VHD_SIZE_MAX)
		return disk_error_set(error, -EFBIG, "a VHD image has at most "
				      "2040 GiB; take vhdx or qcow2");
	return 0;
}

int vhd_create(struct disk_node *file, const struct disk_create *how,
	       struct disk_error *error)
{
	struct disk_node *parent = NULL;
	struct plan plan = { 0 };
	int result = take_options(&plan, how, error);

	if (!result && how->backing)
		result = disk_create_backing(&parent, file, "vhd", how, error);
	if (result)
		return result;
	if (parent)
		plan.type = VHD_DIFFERENCING;
	plan.parent = parent ? vhd_of(parent) : NULL;
	result = write_image(file, &plan, how->backing, error);
	disk_close(parent);
	return result;
}

/* --- checking --------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The entries of blocks that are in the file, to `list`; others are told. */
static int list_blocks(struct vhd *vhd, bool repair, struct disk_check *check,
		       uint32_t *list, uint32_t *count)
{
	static const uint8_t unused[4] = { 0xff, 0xff, 0xff, 0xff };
	uint8_t entry[4];
	int error = 0;

	*count = 0;
	for (uint32_t i = 0; !error && i < vhd->entries; i++) {
		uint64_t at = disk_table_at(&vhd->table, i);
		uint32_t sector;

		error = disk_meta_read(&vhd->meta, at, entry, 4, 0);
		sector = get_be32(entry);
		if (error || sector == VHD_UNUSED)
			continue;
		if (vhd_block_fits(vhd, sector)) {
			list[(*count)++] = sector;
			continue;
		}
		disk_check_say(check, "block %u: lies outside of the file", i);
		check->corruptions++;
		if (repair)
			error = disk_meta_write(&vhd->meta, at, unused, 4);
		if (repair && !error)
			check->corruptions_fixed++;
	}
	qsort(list, *count, sizeof(*list), by_place);
	return error;
}

/* Where the last of a parent's paths ends. */
static uint64_t locators_end(const struct vhd *vhd)
{
	uint64_t end = 0;

	if (vhd->type != VHD_DIFFERENCING)
		return 0;
	for (unsigned int i = 0; i < VHD_LOCATORS; i++) {
		const uint8_t *at = vhd->header + VHD_AT_LOCATORS +
				    i * VHD_LOCATOR;
		uint64_t offset = get_be64(at + 16);
		uint64_t room = get_be32(at + 4), size = get_be32(at + 8);

		if (room < size) /* some count it in sectors */
			room = (size + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
		if (get_be32(at) && offset <= vhd->end &&
		    room <= vhd->end - offset && end < offset + room)
			end = offset + room;
	}
	return end;
}

/* Blocks that meet, and room between them that would do for more. */
static uint64_t check_places(struct vhd *vhd, struct disk_check *check,
			     const uint32_t *list, uint32_t count)
{
	uint64_t each = vhd->bitmap + vhd->table.block;
	uint64_t table = vhd->table.offset + table_bytes(vhd->entries);
	uint64_t end = vhd->header_at + VHD_HEADER;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)list[i] * SECTOR;

		if (at < end && i) {
			disk_check_say(check, "two blocks share room at byte "
				       "%llu of the file",
				       (unsigned long long)at);
			check->corruptions++;
		}
		if (at >= table && end < table)
			end = table;
		if (at > end)
			check->leaks += (at - end) / each;
		end = at + each;
	}
	if (end < table)
		end = table;
	return end < locators_end(vhd) ? locators_end(vhd) : end;
}

/* The footer where it belongs: behind all, and there at all. */
static int check_end(struct vhd *vhd, bool repair, struct disk_check *check,
		     uint64_t end)
{
	uint64_t each = vhd->bitmap + vhd->table.block;
	uint64_t leaks = vhd->end > end ? (vhd->end - end) / each : 0;
	int error = 0;

	if (vhd->torn)
		disk_check_say(check, "the footer at the end is missing");
	if (leaks)
		disk_check_say(check, "%llu blocks at the end are in no use",
			       (unsigned long long)leaks);
	leaks += vhd->torn;
	check->leaks += leaks;
	if (!repair || !leaks)
		return 0;
	if (end > vhd->end)
		end = vhd->end;
	error = disk_meta_flush(&vhd->meta);
	if (!error)
		error = vhd_write_footer(vhd, end);
	if (!error)
		error = disk_flush(vhd->node.file);
	if (!error)
		error = disk_resize(vhd->node.file, end + VHD_FOOTER,
				    DISK_PREALLOC_OFF, NULL);
	if (error)
		return error;
	vhd->end = end;
	vhd->torn = false;
	check->leaks_fixed += leaks;
	return 0;
}

/* --- another size ----------------------------------------------------------- */

/* The table again, longer, behind the blocks, and the footer behind that. */
static int move_table(struct vhd *vhd, uint32_t entries, uint64_t *table)
{
	uint64_t bytes = (uint64_t)vhd->entries * 4, at = vhd->table.offset;
	uint64_t to = vhd->end, end = to + table_bytes(entries);
	uint8_t *buf = malloc(64 * 1024);
	int error = buf ? vhd_write_footer(vhd, end) : -ENOMEM;

	*table = to;
	while (!error && bytes) {
		uint64_t part = bytes < 64 * 1024 ? bytes : 64 * 1024;

		error = disk_read_bytes(vhd->node.file, at, buf, part);
		if (!error)
			error = disk_write_bytes(vhd->node.file, to, buf, part);
		at += part;
		to += part;
		bytes -= part;
	}
	free(buf);
	if (!error)
		error = write_unused(vhd->node.file, to, end - to);
	if (!error)
		vhd->end = end;
	return error ? error : disk_flush(vhd->node.file);
}

static int set_header(struct vhd *vhd, uint64_t table, uint32_t entries)
{
	put_be64(vhd->header + VHD_AT_TABLE, table);
	put_be32(vhd->header + VHD_AT_ENTRIES, entries);
	put_be32(vhd->header + VHD_AT_HEADER_SUM,
		 vhd_sum(vhd->header, VHD_HEADER, VHD_AT_HEADER_SUM));
	return disk_write_bytes(vhd->node.file, vhd->header_at, vhd->header,
				VHD_HEADER);
}

static int grow_table(struct vhd *vhd, uint64_t size)
{
	uint64_t entries = (size - 1) / vhd->table.block + 1;
	uint64_t table = vhd->table.offset;
	uint64_t old = (uint64_t)vhd->entries * 4;
	int error = disk_meta_flush(&vhd->meta);

	if (error || entries <= vhd->entries)
		return error;
	if (table_bytes(entries) == table_bytes(vhd->entries))
		error = write_unused(vhd->node.file, table + old,
				     entries * 4 - old);
	else
		error = move_table(vhd, (uint32_t)entries, &table);
	if (!error)
		error = disk_flush(vhd->node.file);
	if (!error)
		error = set_header(vhd, table, (uint32_t)entries);
	if (error)
		return error;
	/* What the cache has of the table's last sector is old. */
	disk_meta_fini(&vhd->meta);
	disk_meta_init(&vhd->meta, vhd->node.file);
	vhd->entries = (uint32_t)entries;
	vhd->table.offset = table;
	return disk_flush(vhd->node.file);
}

/* The new size in both footers; a fixed image gets its room by that. */
static int set_size(struct vhd *vhd, uint64_t size)
{
	uint64_t old = vhd->end;
	bool fixed = vhd->type == VHD_FIXED;
	int error;

	put_be64(vhd->footer + VHD_AT_SIZE, size);
	vhd_put_geometry(vhd->footer, size / SECTOR);
	if (!memcmp(vhd->footer + VHD_AT_CREATOR, "vpc ", 4) ||
	    !memcmp(vhd->footer + VHD_AT_CREATOR, "qemu", 4))
		memcpy(vhd->footer + VHD_AT_CREATOR, "win ", 4);
	if (fixed)
		vhd->end = size;
	error = vhd_write_footer(vhd, vhd->end);
	if (!error)
		error = disk_flush(vhd->node.file);
	if (!error && fixed && old < vhd->end)
		error = disk_zero(vhd->node.file, old,
				  vhd->end - old < SECTOR ? vhd->end - old
							  : SECTOR,
				  0);
	if (!error && !fixed)
		error = disk_write_bytes(vhd->node.file, 0, vhd->footer,
					 VHD_FOOTER);
	return error ? error : disk_flush(vhd->node.file);
}

/* Where the disk has places already: a block's end, or a fixed image's room. */
static uint64_t places_end(const struct vhd *vhd)
{
	uint64_t mask = vhd->table.block - 1;

	return vhd->type == VHD_FIXED ? vhd->end
				      : (vhd->node.size + mask) & ~mask;
}

static int grow(struct vhd *vhd, uint64_t size)
{
	uint64_t end = places_end(vhd);
	int error = disk_zero_behind(&vhd->node, vhd->node.size,
				     size < end ? size : end);

	if (!error && vhd->type != VHD_FIXED)
		error = grow_table(vhd, size);
	if (!error)
		error = set_size(vhd, size);
	/* Fixed images of some programs have more room than they show. */
	if (!error && vhd->node.file->size > vhd->end + VHD_FOOTER)
		error = disk_resize(vhd->node.file, vhd->end + VHD_FOOTER,
				    DISK_PREALLOC_OFF, NULL);
	return error;
}

/* A block in the file. */
struct block {
	uint32_t sector, index;
};

static int by_sector(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return (x->sector > y->sector) - (x->sector < y->sector);
}

/* Those that have room, in the file's order. */
static int find_blocks(struct vhd *vhd, struct block *list, uint32_t *count)
{
	uint8_t entry[4];
	int error = 0;

	*count = 0;
	for (uint32_t i = 0; !error && i < vhd->entries; i++) {
		error = disk_meta_read(&vhd->meta, disk_table_at(&vhd->table, i),
				       entry, 4, 0);
		if (!error && get_be32(entry) != VHD_UNUSED)
			list[(*count)++] = (struct block){ get_be32(entry), i };
	}
	qsort(list, *count, sizeof(*list), by_sector);
	return error;
}

/* What the cache knows of the new place is from another block. */
static int move_bitmap(struct vhd *vhd, uint64_t from, uint64_t to)
{
	uint8_t bits[SECTOR];
	int error = 0;

	for (uint32_t at = 0; !error && at < vhd->bitmap; at += SECTOR) {
		error = disk_meta_read(&vhd->meta, from + at, bits, SECTOR, 0);
		if (!error)
			error = disk_meta_write(&vhd->meta, to + at, bits,
						SECTOR);
	}
	return error;
}

static int move_block(struct vhd *vhd, const struct block *block, uint64_t to)
{
	uint64_t from = (uint64_t)block->sector * SECTOR;
	uint8_t entry[4];
	int error = disk_copy_room(vhd->node.file, from, to,
				   vhd->bitmap + vhd->table.block);

	if (!error && vhd->type == VHD_DIFFERENCING)
		error = move_bitmap(vhd, from, to);
	put_be32(entry, (uint32_t)(to / SECTOR));
	return error ? error
		     : disk_meta_write(&vhd->meta,
				       disk_table_at(&vhd->table, block->index),
				       entry, sizeof(entry));
}

/* Moves the last blocks to room between others that would do for them. */
static int fill_gaps(struct vhd *vhd, const struct block *list, uint32_t count)
{
	uint64_t each = vhd->bitmap + vhd->table.block;
	uint64_t table = vhd->table.offset + table_bytes(vhd->entries);
	uint64_t end = vhd->header_at + VHD_HEADER;
	int error = 0;

	if (end < table)
		end = table;
	if (end < locators_end(vhd))
		end = locators_end(vhd);
	for (uint32_t i = 0; !error && i < count; i++) {
		uint64_t at = (uint64_t)list[i].sector * SECTOR, to;

		if (at < end && at + each <= vhd->table.offset)
			continue; /* ahead of a table that was moved */
		for (;; end = to + each) {
			to = vhd_align_block(vhd, end);
			if (error || count <= i || to + each > at)
				break;
			error = move_block(vhd, &list[--count], to);
		}
		end = at + each;
	}
	return error ? error : disk_meta_flush(&vhd->meta);
}

/* Blocks without gaps between. */
static int compact(struct vhd *vhd)
{
	struct block *list = calloc(vhd->entries + 1ul, sizeof(*list));
	uint32_t count;
	int error = list ? disk_meta_flush(&vhd->meta) : -ENOMEM;

	if (!error)
		error = find_blocks(vhd, list, &count);
	if (!error)
		error = fill_gaps(vhd, list, count);
	free(list);
	return error;
}

/* Room between blocks that is in no use goes to the file's end. */
static int close_gaps(struct vhd *vhd, struct disk_check *check,
		      uint32_t *list, uint64_t *end)
{
	struct disk_check left = { 0 };
	uint32_t count;
	int error = compact(vhd);

	if (!error)
		error = list_blocks(vhd, false, &left, list, &count);
	if (error)
		return error;
	*end = check_places(vhd, &left, list, count);
	check->leaks_fixed += check->leaks - left.leaks;
	return 0;
}

/* The blocks from `size` on have no entries, nor room at the file's end. */
static int drop_blocks(struct vhd *vhd, uint64_t size)
{
	static const uint8_t unused[4] = { 0xff, 0xff, 0xff, 0xff };
	struct disk_check check = { 0 };
	uint32_t *list = calloc(vhd->entries + 1ul, sizeof(*list)), count;
	uint64_t from = (size - 1) / vhd->table.block + 1, end;
	int error = list ? 0 : -ENOMEM;

	end = from * vhd->table.block;
	if (!error && vhd->node.size > end)
		error = disk_extents_discard(&vhd->node, end,
					     vhd->node.size - end);
	for (uint64_t i = from; !error && i < vhd->entries; i++)
		error = disk_meta_write(&vhd->meta,
					disk_table_at(&vhd->table, i), unused,
					sizeof(unused));
	if (!error)
		error = disk_meta_flush(&vhd->meta);
	if (!error)
		error = list_blocks(vhd, false, &check, list, &count);
	if (!error && !check.corruptions)
		error = compact(vhd);
	if (!error)
		error = list_blocks(vhd, false, &check, list, &count);
	if (!error && !check.corruptions) {
		end = check_places(vhd, &check, list, count);
		error = check_end(vhd, true, &check, end);
	}
	free(list);
	return error;
}

/* The disk is smaller before its blocks go. */
static int shrink(struct vhd *vhd, uint64_t size)
{
	int error = disk_meta_flush(&vhd->meta);

	if (!error)
		error = set_size(vhd, size);
	if (!error && vhd->type == VHD_FIXED)
		error = disk_resize(vhd->node.file, size + VHD_FOOTER,
				    DISK_PREALLOC_OFF, NULL);
	else if (!error)
		error = drop_blocks(vhd, size);
	/* A footer behind the end must not come back. */
	return error ? error : disk_flush(vhd->node.file);
}

int vhd_resize(struct disk_node *node, uint64_t size,
	       enum disk_preallocation prealloc, struct disk_error *error)
{
	struct vhd *vhd = vhd_of(node);
	int result = 0;

	if (prealloc != DISK_PREALLOC_OFF)
		return disk_error_set(error, -ENOTSUP, "is a VHD image, which "
				      "grows without preallocation only");
	if (size > VHD_SIZE_MAX)
		return disk_error_set(error, -EFBIG, "a VHD image has at most "
				      "2040 GiB; convert it to vhdx or qcow2");
	if (size == node->size)
		return 0;
	result = size > node->size ? disk_check_growth(node, error) : 0;
	if (result)
		return result;
	result = size > node->size ? grow(vhd, size) : shrink(vhd, size);
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	node->size = size;
	return 0;
}

int vhd_check(struct disk_node *node, bool repair, struct disk_check *check,
	      struct disk_error *error)
{
	struct vhd *vhd = vhd_of(node);
	uint32_t *list, count;
	int result;

	if (vhd->type == VHD_FIXED)
		return 0;
	check->clusters = vhd->entries;
	list = calloc(vhd->entries + 1ul, sizeof(*list));
	result = list ? list_blocks(vhd, repair, check, list, &count) : -ENOMEM;
	if (!result) {
		uint64_t end = check_places(vhd, check, list, count);

		check->allocated = count;
		if (repair && check->leaks && !check->corruptions)
			result = close_gaps(vhd, check, list, &end);
		if (!result)
			result = check_end(vhd, repair, check, end);
	}
	if (!result && repair)
		result = disk_meta_flush(&vhd->meta);
	free(list);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}
