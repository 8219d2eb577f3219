/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers, region tables and metadata of VHDX images: sections 2.2 and 2.6.
 * What is required and not known is refused, as the specification demands.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crc32c.h"
#include "disk/vhdx/vhdx.h"
#include "disk/wire.h"

#define ENTRIES_MAX 2047u /* of a region or metadata table */
#define ENTRY	    32u
#define REGION_HEAD 16u
#define REQUIRED    1u /* bit of a region's entry */
#define ITEM_NEEDED 4u /* bit of a metadata entry */

static const uint64_t header_at[2] = { 64u << 10, 128u << 10 };

bool vhdx_is_null(const uint8_t *guid)
{
	static const uint8_t null[16];

	return !memcmp(guid, null, sizeof(null));
}

static int bad_image(const char *what, struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "has VHDX %s that make no sense; "
			      "a damaged or truncated copy?", what);
}

/* --- headers ---------------------------------------------------------------- */

static bool good_header(const uint8_t *header)
{
	return !memcmp(header, "head", 4) &&
	       get_le32(header + VHDX_AT_SUM) ==
		       crc32c_around(header, VHDX_SECTOR, VHDX_AT_SUM);
}

static int take_log(struct vhdx *vhdx, struct disk_error *error)
{
	uint64_t size = vhdx->node.file->size;

	vhdx->log.length = get_le32(vhdx->header + VHDX_AT_LOG_LENGTH);
	vhdx->log.at = get_le64(vhdx->header + VHDX_AT_LOG);
	if (get_le16(vhdx->header + VHDX_AT_VERSION) != 1 ||
	    get_le16(vhdx->header + VHDX_AT_LOG_VERSION))
		return disk_error_set(error, -ENOTSUP, "has version %u of "
				      "VHDX; only 1 is known",
				      get_le16(vhdx->header + VHDX_AT_VERSION));
	if (!vhdx->log.length || vhdx->log.length % VHDX_MIB ||
	    vhdx->log.at < VHDX_MIB || vhdx->log.at % VHDX_MIB ||
	    vhdx->log.at > size || vhdx->log.length > size - vhdx->log.at)
		return bad_image("headers", error);
	if (vhdx->log.length > VHDX_LOG_MAX)
		return disk_error_set(error, -ENOTSUP, "has a log of %llu MiB; "
				      "at most 32 are read here",
				      (unsigned long long)(vhdx->log.length /
							   VHDX_MIB));
	return 0;
}

int vhdx_read_header(struct vhdx *vhdx, struct disk_error *error)
{
	uint8_t header[VHDX_SECTOR];
	bool found = false;

	for (unsigned int i = 0; i < 2; i++) {
		if (disk_read_bytes(vhdx->node.file, header_at[i], header,
				    sizeof(header)) ||
		    !good_header(header))
			continue;
		if (found && get_le64(header + VHDX_AT_SEQUENCE) <=
				     get_le64(vhdx->header + VHDX_AT_SEQUENCE))
			continue;
		memcpy(vhdx->header, header, sizeof(header));
		vhdx->header_slot = i;
		found = true;
	}
	return found ? take_log(vhdx, error) : bad_image("headers", error);
}

int vhdx_write_header(struct vhdx *vhdx)
{
	unsigned int slot = 1 - vhdx->header_slot;
	uint64_t sequence = get_le64(vhdx->header + VHDX_AT_SEQUENCE) + 1;
	int error;

	put_le64(vhdx->header + VHDX_AT_SEQUENCE, sequence);
	put_le32(vhdx->header + VHDX_AT_SUM,
		 crc32c_around(vhdx->header, VHDX_SECTOR, VHDX_AT_SUM));
	error = disk_write_bytes(vhdx->node.file, header_at[slot],
				 vhdx->header, VHDX_SECTOR);
	if (!error)
		error = disk_flush(vhdx->node.file);
	if (!error)
		vhdx->header_slot = slot;
	return error;
}

/* --- regions ---------------------------------------------------------------- */

static bool good_regions(const uint8_t *table)
{
	return !memcmp(table, "regi", 4) &&
	       get_le32(table + 8) <= ENTRIES_MAX &&
	       get_le32(table + 4) == crc32c_around(table, VHDX_REGIONS, 4);
}

static int take_region(struct vhdx *vhdx, const uint8_t *entry,
		       struct disk_error *error)
{
	struct vhdx_region region = { get_le64(entry + 16),
				      get_le32(entry + 24) };
	uint64_t size = vhdx->node.file->size;

	if (region.at < VHDX_MIB || region.at % VHDX_MIB || !region.length ||
	    region.length % VHDX_MIB || region.at > size ||
	    region.length > size - region.at)
		return bad_image("region tables", error);
	if (!memcmp(entry, vhdx_bat_guid, 16))
		vhdx->bat = region;
	else if (!memcmp(entry, vhdx_metadata_guid, 16))
		vhdx->metadata = region;
	else if (get_le32(entry + 28) & REQUIRED)
		return disk_error_set(error, -ENOTSUP, "has a VHDX region that "
				      "is not known here, but required");
	return 0;
}

static bool meet(const struct vhdx_region *a, const struct vhdx_region *b)
{
	return a->at < b->at + b->length && b->at < a->at + a->length;
}

static int take_regions(struct vhdx *vhdx, const uint8_t *table,
			struct disk_error *error)
{
	uint32_t count = get_le32(table + 8);

	for (uint32_t i = 0; i < count; i++) {
		int result = take_region(vhdx,
					 table + REGION_HEAD + i * ENTRY,
					 error);

		if (result)
			return result;
	}
	if (!vhdx->bat.length || !vhdx->metadata.length ||
	    meet(&vhdx->bat, &vhdx->metadata) || meet(&vhdx->bat, &vhdx->log) ||
	    meet(&vhdx->metadata, &vhdx->log))
		return bad_image("region tables", error);
	return 0;
}

int vhdx_read_regions(struct vhdx *vhdx, struct disk_error *error)
{
	static const uint64_t at[2] = VHDX_REGIONS_AT;
	uint8_t *table = malloc(VHDX_REGIONS);
	int result = -EINVAL;

	if (!table)
		return disk_error_set(error, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < 2; i++) {
		if (disk_read_bytes(vhdx->node.file, at[i], table,
				    VHDX_REGIONS) ||
		    !good_regions(table))
			continue;
		result = take_regions(vhdx, table, error);
		free(table);
		return result;
	}
	free(table);
	return bad_image("region tables", error);
}

/* --- metadata --------------------------------------------------------------- */

uint64_t vhdx_entries(uint64_t payloads, uint32_t block, uint32_t sector,
		      bool differs)
{
	uint64_t chunk = ((uint64_t)sector << 23) / block;

	if (differs) /* the last chunk's bitmap, too */
		return ((payloads - 1) / chunk + 1) * (chunk + 1);
	return payloads + (payloads - 1) / chunk;
}

/* An item's first bytes; 0 when it has as many and lies where it may. */
static int read_item(struct vhdx *vhdx, const uint8_t *entry, void *bytes,
		     uint32_t size)
{
	uint64_t at = get_le32(entry + 16), length = get_le32(entry + 20);

	if (length < size || at < VHDX_METADATA ||
	    at > vhdx->metadata.length || length > vhdx->metadata.length - at)
		return -EINVAL;
	return !size ? 0 : disk_read_bytes(vhdx->node.file, vhdx->metadata.at + at, bytes,
			       size);
}

/* Which of the known items the entry is; -1: none. */
static int item_of(const uint8_t *entry)
{
	for (int i = 0; i < 6; i++)
		if (!memcmp(entry, vhdx_item_guids[i], 16))
			return i;
	return -1;
}

struct items {
	uint8_t file[8], size[8], sector[4], physical[4];
	unsigned int have;
};

static int take_item(struct vhdx *vhdx, const uint8_t *entry,
		     struct items *items, struct disk_error *error)
{
	int item = item_of(entry), result = 0;

	if (item < 0 && get_le32(entry + 24) & ITEM_NEEDED)
		return disk_error_set(error, -ENOTSUP, "has VHDX metadata that "
				      "are not known here, but required");
	if (item == VHDX_ITEM_FILE) {
		result = read_item(vhdx, entry, items->file, 8);
	} else if (item == VHDX_ITEM_SIZE) {
		result = read_item(vhdx, entry, items->size, 8);
		vhdx->size_at = vhdx->metadata.at + get_le32(entry + 16);
	} else if (item == VHDX_ITEM_SECTOR) {
		result = read_item(vhdx, entry, items->sector, 4);
	} else if (item == VHDX_ITEM_ID) {
		result = read_item(vhdx, entry, vhdx->id, 16);
	} else if (item == VHDX_ITEM_PHYSICAL) {
		result = read_item(vhdx, entry, items->physical, 4);
	} else if (item == VHDX_ITEM_PARENT) {
		vhdx->locator.at = vhdx->metadata.at + get_le32(entry + 16);
		vhdx->locator.length = get_le32(entry + 20);
		result = read_item(vhdx, entry, NULL, 0);
	} else {
		return 0;
	}
	items->have |= 1u << item;
	return result ? bad_image("metadata", error) : 0;
}

#define NEEDED                                       \
	(1u << VHDX_ITEM_FILE | 1u << VHDX_ITEM_SIZE | \
	 1u << VHDX_ITEM_SECTOR)

static int take_items(struct vhdx *vhdx, const struct items *items,
		      struct disk_error *error)
{
	uint32_t block = get_le32(items->file), flags;
	uint64_t size = get_le64(items->size);

	vhdx->sector = get_le32(items->sector);
	flags = get_le32(items->file + 4);
	vhdx->physical = get_le32(items->physical);
	vhdx->differs = flags & 2;
	if ((items->have & NEEDED) != NEEDED ||
	    (vhdx->differs && !(items->have & 1u << VHDX_ITEM_PARENT)) ||
	    (vhdx->sector != 512 && vhdx->sector != 4096) ||
	    block < VHDX_BLOCK_MIN || block > VHDX_BLOCK_MAX ||
	    block & (block - 1) || !size || size > VHDX_SIZE_MAX ||
	    size % vhdx->sector)
		return bad_image("metadata", error);
	vhdx->fixed = flags & 1;
	vhdx->payloads = (size - 1) / block + 1;
	vhdx->table.block = block;
	vhdx->table.offset = vhdx->bat.at;
	vhdx->table.interleave = ((uint64_t)vhdx->sector << 23) / block;
	vhdx->node.size = size;
	vhdx->node.cluster = block;
	if (vhdx_entries(vhdx->payloads, block, vhdx->sector, vhdx->differs) *
		    8 > vhdx->bat.length)
		return bad_image("tables", error);
	return 0;
}

int vhdx_read_metadata(struct vhdx *vhdx, struct disk_error *error)
{
	struct items items = { .have = 0 };
	uint8_t *table = malloc(VHDX_METADATA);
	int result = 0;
	uint16_t count = 0;

	if (!table)
		return disk_error_set(error, -ENOMEM, "out of memory");
	if (disk_read_bytes(vhdx->node.file, vhdx->metadata.at, table,
			    VHDX_METADATA) ||
	    memcmp(table, "metadata", 8) != 0)
		result = bad_image("metadata", error);
	else
		count = get_le16(table + 10);
	if (count > ENTRIES_MAX)
		result = bad_image("metadata", error);
	for (uint16_t i = 0; !result && i < count; i++)
		result = take_item(vhdx, table + ENTRY + i * ENTRY, &items,
				   error);
	free(table);
	return result ? result : take_items(vhdx, &items, error);
}
