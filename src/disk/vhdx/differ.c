/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHDX images that stand on a parent: sections 2.4 and 2.5. A block that is
 * not present is the parent's; one that is present in part has a bit for each
 * sector, least significant first, in a block of bitmaps for all blocks of a
 * chunk (2^23 sectors), whose entry stands behind theirs in the table. Bits of
 * blocks in other states mean nothing and may be anything.
 *
 * Data is written before its bit, the bit before the entry that has it count.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/vhdx/vhdx.h"
#include "disk/wire.h"

#define BITS_AT_ONCE 64u /* bytes of bits that are looked at together */

bool vhdx_is_bitmap(const struct vhdx *vhdx, uint64_t index)
{
	uint64_t chunk = vhdx->table.interleave;

	return index % (chunk + 1) == chunk;
}

uint64_t vhdx_bitmap_entry_at(const struct vhdx *vhdx, uint64_t block)
{
	uint64_t chunk = block / vhdx->table.interleave;

	return vhdx->table.offset +
	       ((chunk + 1) * vhdx->table.interleave + chunk) * 8;
}

int vhdx_bitmap_place(const struct vhdx *vhdx, const uint8_t *entry,
		      uint64_t *at)
{
	uint64_t word = get_le64(entry);

	*at = 0;
	if (!vhdx->differs || (word & 7) == VHDX_NOT_PRESENT)
		return 0;
	*at = word >> 20 << 20;
	return (word & 7) == VHDX_PRESENT && vhdx_fits(vhdx, *at, VHDX_BITMAP)
		       ? 0
		       : -EIO;
}

/* Bytes of a block's bits. */
static uint32_t bits_size(const struct vhdx *vhdx)
{
	return vhdx->table.block / vhdx->sector / 8;
}

/* Where the bits of a block lie in the file; 0: there are none. */
static int find_bits(struct vhdx *vhdx, uint64_t block, unsigned int flags,
		     uint64_t *at)
{
	uint8_t entry[8];
	int error = disk_meta_read(&vhdx->meta,
				   vhdx_bitmap_entry_at(vhdx, block), entry,
				   sizeof(entry), flags);

	if (!error)
		error = vhdx_bitmap_place(vhdx, entry, at);
	if (!error && *at)
		*at += block % vhdx->table.interleave * bits_size(vhdx);
	return error;
}

static bool bit(const uint8_t *bits, uint64_t index)
{
	return bits[index / 8] >> index % 8 & 1;
}

static int block_state(struct vhdx *vhdx, uint64_t block, unsigned int flags,
		       unsigned int *state)
{
	uint8_t entry[8];
	int error = disk_meta_read(&vhdx->meta,
				   disk_table_at(&vhdx->table, block), entry,
				   sizeof(entry), flags);

	*state = error ? 0 : get_le64(entry) & 7;
	return error;
}

int vhdx_cut(struct vhdx *vhdx, uint64_t offset, unsigned int flags,
	     struct disk_extent *extent)
{
	uint64_t block = offset / vhdx->table.block, at, first, last, sector;
	uint32_t skip = (uint32_t)(offset % vhdx->table.block), base;
	uint8_t bits[BITS_AT_ONCE];
	uint64_t count;
	unsigned int state;
	int error = block_state(vhdx, block, flags, &state);

	if (error || state != VHDX_PARTIAL)
		return error;
	error = find_bits(vhdx, block, flags, &at);
	if (error || !at)
		return error ? error : -EIO;
	first = skip / vhdx->sector;
	last = (skip + extent->length - 1) / vhdx->sector;
	base = (uint32_t)(first / 8);
	count = bits_size(vhdx) - base;
	if (count > sizeof(bits))
		count = sizeof(bits);
	error = disk_meta_read(&vhdx->meta, at + base, bits, count, flags);
	if (error)
		return error;
	first -= base * 8ull;
	for (sector = first + 1; sector <= last - base * 8ull; sector++)
		if (sector == count * 8 || bit(bits, sector) != bit(bits, first))
			break;
	at = (sector + base * 8ull) * vhdx->sector - skip;
	if (at < extent->length)
		extent->length = at;
	if (!bit(bits, first)) {
		extent->kind = DISK_HOLE;
		extent->in = NULL;
	}
	return 0;
}

/* --- writing ---------------------------------------------------------------- */

/* A sector that is the parent's but for some bytes, to `at` of the file. */
static int write_in_sector(struct vhdx *vhdx, uint64_t at, uint64_t offset,
			   uint64_t length, struct disk_vec from)
{
	uint64_t skip = offset % vhdx->sector;
	struct span span = { malloc(vhdx->sector), vhdx->sector };
	int error = span.data ? disk_read_held(&vhdx->node, offset - skip,
					       vhdx->sector,
					       (struct disk_vec){ &span, 1, 0 })
			      : -ENOMEM;

	if (!error) {
		disk_vec_gather((uint8_t *)span.data + skip, from, length);
		error = disk_write_bytes(vhdx->node.file, at - skip, span.data,
					 vhdx->sector);
	}
	free(span.data);
	return error;
}

/* Sectors that have no bit yet, from place `at` of the file on. */
static int write_sectors(struct vhdx *vhdx, uint64_t at, uint64_t offset,
			 uint64_t length, struct disk_vec from)
{
	int error = 0;

	while (!error && length) {
		uint64_t part = vhdx->sector - offset % vhdx->sector;

		if (part == vhdx->sector && length >= vhdx->sector) {
			part = length & ~(uint64_t)(vhdx->sector - 1);
			error = disk_write(vhdx->node.file, at, part, from);
		} else {
			if (part > length)
				part = length;
			error = write_in_sector(vhdx, at, offset, part, from);
		}
		at += part;
		offset += part;
		length -= part;
		from = disk_vec_from(from, part);
	}
	return error;
}

/* The place of a block's bits, in new room when there is none. Nobody else has
 * the block, but others may have those of its chunk. */
static int own_bits(struct vhdx *vhdx, uint64_t block, uint64_t *at)
{
	uint8_t entry[8];
	int error;

	pthread_mutex_lock(&vhdx->bitmaps);
	error = find_bits(vhdx, block, 0, at);
	if (!error && !*at) {
		error = vhdx_take_room(vhdx, VHDX_BITMAP, at);
		put_le64(entry, *at | VHDX_PRESENT);
		if (!error)
			error = disk_meta_write(
				&vhdx->meta, vhdx_bitmap_entry_at(vhdx, block),
				entry, sizeof(entry));
		*at += block % vhdx->table.interleave * bits_size(vhdx);
	}
	pthread_mutex_unlock(&vhdx->bitmaps);
	return error;
}

/* Sets bits [first, last]; when `anew` the block's others are cleared. */
static int set_bits(struct vhdx *vhdx, uint64_t at, uint64_t first,
		    uint64_t last, bool anew)
{
	uint32_t size = bits_size(vhdx);
	uint32_t from = anew ? 0 : (uint32_t)(first / 8);
	uint32_t end = anew ? size : (uint32_t)(last / 8 + 1);
	uint8_t bits[BITS_AT_ONCE];
	int error = 0;

	while (!error && from < end) {
		uint32_t count = end - from < sizeof(bits) ? end - from
							   : sizeof(bits);

		memset(bits, 0, sizeof(bits));
		if (!anew)
			error = disk_meta_read(&vhdx->meta, at + from, bits,
					       count, 0);
		for (uint64_t i = from * 8ull; i < (from + count) * 8ull; i++)
			if (i >= first && i <= last)
				bits[i / 8 - from] |= (uint8_t)(1u << i % 8);
		if (!error)
			error = disk_meta_write(&vhdx->meta, at + from, bits,
						count);
		from += count;
	}
	return error;
}

int vhdx_write_absent(struct vhdx *vhdx, uint64_t offset, uint64_t length,
		      struct disk_vec from)
{
	uint64_t block = offset / vhdx->table.block;
	uint64_t entry_at = disk_table_at(&vhdx->table, block), at, bits;
	uint64_t skip = offset % vhdx->table.block;
	uint8_t entry[8];
	bool made;
	int error = disk_meta_read(&vhdx->meta, entry_at, entry, 8, 0);

	if (error)
		return error;
	at = get_le64(entry) >> 20 << 20;
	made = (get_le64(entry) & 7) == VHDX_NOT_PRESENT;
	if (made)
		error = vhdx_take_room(vhdx, vhdx->table.block, &at);
	if (!error)
		error = write_sectors(vhdx, at + skip, offset, length, from);
	if (!error)
		error = own_bits(vhdx, block, &bits);
	if (!error)
		error = set_bits(vhdx, bits, skip / vhdx->sector,
				 (skip + length - 1) / vhdx->sector, made);
	if (error || !made)
		return error;
	put_le64(entry, at | VHDX_PARTIAL);
	return disk_meta_write(&vhdx->meta, entry_at, entry, 8);
}
