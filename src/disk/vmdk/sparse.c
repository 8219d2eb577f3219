/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sparse extents of VMDK images: a header, a directory, its tables (most have
 * two of each), grains. Packed ones (streamOptimized) are read only; a footer
 * at the end has the place of their directory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "disk/vmdk/vmdk.h"
#include "disk/wire.h"

#define HEADER	   512u
#define GRAIN_MIN  4096u
#define GRAIN_MAX  (1u << 20)
#define MARKER	   12u /* ahead of a packed grain: its sector, its size */
#define SIZE_MAX_HERE (64ull << 40)
#define ENTRY_ZERO 1u
#define COPY	   (64u << 10)

/* --- opening ---------------------------------------------------------------- */

bool vmdk_is_sparse(const uint8_t *head, size_t size)
{
	return size >= HEADER && !memcmp(head, "KDMV", 4);
}

static int bad_header(struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "has a VMDK header that makes no "
			      "sense; a damaged or truncated copy?");
}

/* The header at the end, which has the directory's place. */
static int read_footer(struct vmdk_extent *extent, uint8_t *header,
		       struct disk_error *error)
{
	uint64_t size = extent->file->size;

	if (size < 4 * VMDK_SECTOR ||
	    disk_read_bytes(extent->file, size - 2 * VMDK_SECTOR, header,
			    HEADER) ||
	    !vmdk_is_sparse(header, HEADER) ||
	    get_le64(header + VMDK_AT_DIRECTORY) == VMDK_GD_AT_END)
		return disk_error_set(error, -EINVAL, "is a streamOptimized "
				      "image without its end; a truncated "
				      "copy?");
	return 0;
}

static int check_flags(struct vmdk_extent *extent, const uint8_t *header,
		       struct disk_error *error)
{
	uint32_t version = get_le32(header + VMDK_AT_VERSION);
	uint32_t flags = get_le32(header + VMDK_AT_FLAGS);

	if (version < 1 || version > 3)
		return disk_error_set(error, -ENOTSUP, "has version %u of "
				      "VMDK's sparse extents; 1 to 3 are known",
				      version);
	extent->packed = flags & VMDK_FLAG_PACKED;
	extent->zero_grain = flags & VMDK_FLAG_ZERO_GRAIN;
	if (extent->packed && (!(flags & VMDK_FLAG_MARKERS) ||
			       get_le16(header + VMDK_AT_COMPRESSION) != 1))
		return disk_error_set(error, -ENOTSUP, "is compressed in an "
				      "unknown way");
	return 0;
}

/* Bytes of what the header has in sectors; UINT64_MAX when that is too much. */
static uint64_t bytes_at(const uint8_t *header, size_t at)
{
	uint64_t sectors = get_le64(header + at);

	return sectors > UINT64_MAX / VMDK_SECTOR ? UINT64_MAX
						  : sectors * VMDK_SECTOR;
}

/* The directory that the header names lies in the file. */
static bool directory_fits(const struct vmdk_extent *extent, uint64_t at)
{
	uint64_t table = (uint64_t)VMDK_TABLE * extent->grain;
	uint64_t entries = (extent->size - 1) / table + 1;

	return at >= HEADER && at <= extent->file->size &&
	       entries * 4 <= extent->file->size - at;
}

static int take_header(struct vmdk_extent *extent, const uint8_t *header,
		       struct disk_error *error)
{
	uint64_t grain = bytes_at(header, VMDK_AT_GRAIN);

	extent->size = bytes_at(header, VMDK_AT_CAPACITY);
	extent->overhead = bytes_at(header, VMDK_AT_OVERHEAD);
	extent->descriptor = bytes_at(header, VMDK_AT_DESCRIPTOR);
	extent->descriptor_size = bytes_at(header, VMDK_AT_DESCRIPTOR_SIZE);
	if (grain < GRAIN_MIN || grain > GRAIN_MAX || grain & (grain - 1) ||
	    get_le32(header + VMDK_AT_TABLE) != VMDK_TABLE ||
	    !extent->size || extent->size > SIZE_MAX_HERE ||
	    extent->overhead > extent->file->size)
		return bad_header(error);
	extent->grain = (uint32_t)grain;
	extent->directory = bytes_at(header, VMDK_AT_DIRECTORY);
	extent->fresh = false;
	if (extent->directory == UINT64_MAX &&
	    extent->file->size == extent->overhead) {
		extent->fresh = true; /* made, not yet written */
		return 0;
	}
	if (get_le32(header + VMDK_AT_FLAGS) & VMDK_FLAG_SPARE &&
	    !extent->packed)
		extent->spare = bytes_at(header, VMDK_AT_SPARE_DIRECTORY);
	if (extent->directory != UINT64_MAX &&
	    (!directory_fits(extent, extent->directory) ||
	     (extent->spare && !directory_fits(extent, extent->spare))))
		return bad_header(error);
	return 0;
}

int vmdk_sparse_open(struct vmdk_extent *extent, struct disk_error *error)
{
	uint8_t header[HEADER];
	uint64_t size = extent->file->size, mask;
	int result;

	if (size < HEADER ||
	    disk_read_bytes(extent->file, 0, header, HEADER) ||
	    !vmdk_is_sparse(header, HEADER))
		return bad_header(error);
	result = check_flags(extent, header, error);
	if (!result)
		result = take_header(extent, header, error);
	if (!result && !extent->fresh && extent->directory == UINT64_MAX) {
		result = read_footer(extent, header, error);
		if (!result)
			result = take_header(extent, header, error);
	}
	if (result)
		return result;
	extent->kind = VMDK_SPARSE;
	extent->whole = extent->size;
	mask = extent->grain - 1;
	extent->end = (size + mask) & ~mask;
	return 0;
}

/* --- tables ----------------------------------------------------------------- */

static int place_grain(void *ctx, const uint8_t *entry,
		       struct disk_place *place)
{
	const struct vmdk_extent *extent = ctx;
	uint32_t sector = get_le32(entry);
	uint64_t size = extent->file->size;

	place->at = 0;
	place->kind = DISK_HOLE;
	if (!sector)
		return 0;
	place->kind = DISK_ZERO;
	if (sector == ENTRY_ZERO && extent->zero_grain)
		return 0;
	place->kind = extent->packed ? DISK_PACKED : DISK_DATA;
	place->at = (uint64_t)sector * VMDK_SECTOR;
	if (place->at < extent->overhead || place->at < HEADER ||
	    place->at > size ||
	    size - place->at < (extent->packed ? MARKER : extent->grain))
		return -EIO;
	return 0;
}

/* Where the table for `offset` of the extent lies; 0: there is none. */
static int find_table(struct vmdk_extent *extent, uint64_t directory,
		      uint64_t offset, unsigned int flags, uint64_t *table)
{
	uint64_t index = offset / extent->grain / VMDK_TABLE;
	uint8_t entry[4];
	int error = disk_meta_read(&extent->meta, directory + index * 4, entry,
				   sizeof(entry), flags);

	if (error)
		return error;
	*table = (uint64_t)get_le32(entry) * VMDK_SECTOR;
	if (*table && (*table < HEADER || *table > extent->file->size ||
		       extent->file->size - *table < VMDK_TABLE * 4))
		return -EIO;
	return 0;
}

int vmdk_sparse_map(struct vmdk_extent *extent, uint64_t offset,
		    uint64_t length, unsigned int flags,
		    struct disk_extent *found)
{
	uint64_t span = (uint64_t)VMDK_TABLE * extent->grain, at;
	uint64_t begin = (offset - extent->first) / span * span;
	uint64_t left = extent->first + begin + span - offset;
	struct disk_table table = {
		.meta = &extent->meta, .in = extent->file, .entry = 4,
		.first = extent->first + begin, .block = extent->grain,
		.place = place_grain, .ctx = extent,
	};
	int error = find_table(extent, extent->directory, begin, flags, &at);

	if (error)
		return error;
	if (length > left)
		length = left;
	table.offset = at;
	if (at)
		return disk_table_map(&table, offset, length, flags, found);
	*found = (struct disk_extent){ .kind = DISK_HOLE, .length = length };
	return 0;
}

/* --- writing ---------------------------------------------------------------- */

/* Room of `size` bytes at the extent's end, zeros; on whole grains. With the
 * mutex held. */
static int take_room(struct vmdk_extent *extent, uint64_t size, uint64_t *at)
{
	uint64_t mask = extent->grain - 1;
	int error;

	*at = extent->end;
	error = (*at + size) / VMDK_SECTOR > UINT32_MAX
			? -EFBIG
			: disk_make_room(extent->file, *at, size);
	if (!error)
		extent->end = (*at + size + mask) & ~mask;
	return error;
}

/* As find_table(), and makes one where there is none. With the mutex held. */
static int need_table(struct vmdk_extent *extent, uint64_t directory,
		      uint64_t offset, uint64_t *table)
{
	static const uint8_t zeros[VMDK_TABLE * 4];
	uint64_t index = offset / extent->grain / VMDK_TABLE;
	uint8_t entry[4];
	int error;

	error = find_table(extent, directory, offset, 0, table);
	if (error || *table)
		return error;
	error = take_room(extent, sizeof(zeros), table);
	if (!error)
		error = disk_meta_write(&extent->meta, *table, zeros,
					sizeof(zeros));
	put_le32(entry, (uint32_t)(*table / VMDK_SECTOR));
	return error ? error
		     : disk_meta_write(&extent->meta, directory + index * 4,
				       entry, sizeof(entry));
}

/* The entries of a grain, in both tables. */
static int set_entry(struct vmdk_extent *extent, const uint64_t *tables,
		     uint64_t offset, uint64_t grain)
{
	uint64_t index = offset / extent->grain % VMDK_TABLE;
	uint8_t entry[4];
	int error = 0;

	put_le32(entry, (uint32_t)(grain / VMDK_SECTOR));
	for (unsigned int i = 0; !error && i < 2; i++)
		if (tables[i])
			error = disk_meta_write(&extent->meta,
						tables[i] + index * 4, entry,
						sizeof(entry));
	return error;
}

/* The backing's bytes from `offset` of the disk on, to a new grain. */
static int copy_backing(struct vmdk_extent *extent, struct disk_node *backing,
			uint64_t offset, uint64_t length, uint64_t at)
{
	uint64_t size = backing->size;
	uint8_t *buf;
	int error = 0;

	if (offset >= size || !length)
		return 0;
	if (length > size - offset)
		length = size - offset;
	buf = malloc(COPY);
	if (!buf)
		return -ENOMEM;
	while (!error && length) {
		size_t part = length < COPY ? length : COPY;

		error = disk_read_bytes(backing, offset, buf, part);
		if (!error)
			error = disk_write_bytes(extent->file, at, buf, part);
		offset += part;
		at += part;
		length -= part;
	}
	free(buf);
	return error;
}

/* What a new grain has around what is written: the backing's bytes. */
static int fill_around(struct vmdk_extent *extent, struct disk_node *node,
		       uint64_t grain, uint64_t offset, uint64_t length)
{
	uint64_t skip = (offset - extent->first) % extent->grain;
	uint64_t after = skip + length;
	uint64_t rest = extent->grain - after;
	uint64_t left = extent->first + extent->size - (offset + length);
	int error;

	if (!node->backing)
		return 0;
	if (rest > left)
		rest = left;
	error = copy_backing(extent, node->backing, offset - skip, skip, grain);
	return error ? error
		     : copy_backing(extent, node->backing, offset + length,
				    rest, grain + after);
}

/* Room for the grain at `within` of the extent, and tables to enter it in. */
static int take_grain(struct vmdk_extent *extent, uint64_t within,
		      uint64_t *tables, uint64_t *grain)
{
	int error;

	pthread_mutex_lock(&extent->mutex);
	error = need_table(extent, extent->directory, within, &tables[0]);
	if (!error && extent->spare)
		error = need_table(extent, extent->spare, within, &tables[1]);
	if (!error)
		error = take_room(extent, extent->grain, grain);
	pthread_mutex_unlock(&extent->mutex);
	return error;
}

/* In one grain; `offset` of the disk. */
static int write_grain(struct vmdk_extent *extent, struct disk_node *node,
		       uint64_t offset, uint64_t length, struct disk_vec from)
{
	uint64_t within = offset - extent->first, grain, tables[2] = { 0 };
	struct disk_extent there;
	int error = vmdk_sparse_map(extent, offset, length, 0, &there);

	if (error)
		return error;
	if (there.kind == DISK_DATA)
		return disk_write(extent->file, there.at, length, from);
	error = take_grain(extent, within, tables, &grain);
	if (error)
		return error;
	if (there.kind == DISK_HOLE)
		error = fill_around(extent, node, grain, offset, length);
	if (!error)
		error = disk_write(extent->file, grain + within % extent->grain,
				   length, from);
	return error ? error : set_entry(extent, tables, within, grain);
}

int vmdk_sparse_write(struct vmdk_extent *extent, struct disk_node *node,
		      uint64_t offset, uint64_t length, struct disk_vec from)
{
	int error = 0;

	if (extent->packed)
		return -EROFS;
	while (!error && length) {
		uint64_t part = extent->grain -
				(offset - extent->first) % extent->grain;

		if (part > length)
			part = length;
		error = write_grain(extent, node, offset, part, from);
		offset += part;
		length -= part;
		from = disk_vec_from(from, part);
	}
	return error;
}

/* --- another size ----------------------------------------------------------- */

int vmdk_sparse_room(struct vmdk_extent *extent, uint64_t size, uint64_t *at)
{
	int error;

	pthread_mutex_lock(&extent->mutex);
	error = take_room(extent, size, at);
	pthread_mutex_unlock(&extent->mutex);
	return error;
}

int vmdk_sparse_drop(struct vmdk_extent *extent, uint64_t from, uint64_t end)
{
	int error = 0;

	for (; !error && from < end; from += extent->grain) {
		uint64_t tables[2] = { 0 };

		error = find_table(extent, extent->directory, from, 0,
				   &tables[0]);
		if (!error && extent->spare)
			error = find_table(extent, extent->spare, from, 0,
					   &tables[1]);
		if (!error && (tables[0] || tables[1]))
			error = set_entry(extent, tables, from, 0);
	}
	return error;
}

/* --- packed grains ---------------------------------------------------------- */

/* Unpacks `size` bytes; what there is beyond `want` is left. */
static int inflate_bytes(uint8_t *packed, size_t size, uint8_t *to,
			 size_t want)
{
	z_stream stream = { .next_in = packed, .avail_in = (unsigned int)size,
			    .next_out = to, .avail_out = (unsigned int)want };

	if (inflateInit(&stream) != Z_OK)
		return -ENOMEM;
	inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	return stream.avail_out ? -EIO : 0;
}

int vmdk_unpack(struct disk_node *file, uint64_t at, uint64_t sector,
		uint8_t *grain, size_t want)
{
	uint8_t marker[MARKER], *packed;
	uint32_t size;
	int error = disk_read_bytes(file, at, marker, MARKER);

	size = get_le32(marker + 8);
	if (error || get_le64(marker) != sector || !size ||
	    size > 2 * GRAIN_MAX || size > file->size - at - MARKER)
		return error ? error : -EIO;
	packed = malloc(size);
	if (!packed)
		return -ENOMEM;
	error = disk_read_bytes(file, at + MARKER, packed, size);
	if (!error)
		error = inflate_bytes(packed, size, grain, want);
	free(packed);
	return error;
}

/* A part of one grain, which `buf` has room for. */
static int read_grain(struct vmdk_extent *extent, uint64_t offset,
		      uint64_t length, struct disk_vec to, uint8_t *buf)
{
	uint64_t within = offset - extent->first;
	uint64_t skip = within % extent->grain, want = skip + length;
	struct disk_extent there;
	int error = vmdk_sparse_map(extent, offset, length, 0, &there);

	if (error)
		return error;
	if (there.kind != DISK_PACKED)
		return -EIO;
	error = vmdk_unpack(extent->file, there.at,
			    (within - skip) / VMDK_SECTOR, buf, want);
	if (!error)
		disk_vec_fill(to, buf + skip, length);
	return error;
}

int vmdk_sparse_read_packed(struct vmdk_extent *extent, uint64_t offset,
			    uint64_t length, struct disk_vec to)
{
	uint8_t *buf = malloc(extent->grain);
	int error = buf ? 0 : -ENOMEM;

	while (!error && length) {
		uint64_t part = extent->grain -
				(offset - extent->first) % extent->grain;

		if (part > length)
			part = length;
		error = read_grain(extent, offset, part, to, buf);
		offset += part;
		length -= part;
		to = disk_vec_from(to, part);
	}
	free(buf);
	return error;
}

/* --- checking --------------------------------------------------------------- */

struct finding {
	struct vmdk_extent *extent;
	struct disk_check *check;
	bool repair;
	uint8_t *used; /* a bit for each grain's room in the file */
	uint64_t end;
	uint64_t spares; /* entries that the two tables do not agree on */
};

static int check_grain(struct finding *find, const uint64_t *tables,
		       uint64_t offset, uint8_t *entry)
{
	struct vmdk_extent *extent = find->extent;
	struct disk_check *check = find->check;
	struct disk_place place;
	uint64_t slot;

	if (place_grain(extent, entry, &place)) {
		disk_check_say(check, "byte %llu of the disk: its grain lies "
			       "outside of the file",
			       (unsigned long long)(extent->first + offset));
		check->corruptions++;
		if (!find->repair)
			return 0;
		check->corruptions_fixed++;
		return set_entry(extent, tables, offset, 0);
	}
	check->clusters++;
	if (place.kind != DISK_DATA && place.kind != DISK_PACKED)
		return 0;
	check->allocated++;
	check->compressed += extent->packed;
	slot = place.at / extent->grain;
	if (!extent->packed && find->used[slot / 8] & 1u << slot % 8) {
		disk_check_say(check, "byte %llu of the disk: another grain "
			       "has its room, too",
			       (unsigned long long)(extent->first + offset));
		check->corruptions++;
	}
	find->used[slot / 8] |= (uint8_t)(1u << slot % 8);
	if (place.at + extent->grain > find->end)
		find->end = place.at + extent->grain;
	return 0;
}

/* The grains of one table, from `offset` of the extent on. */
static int check_table(struct finding *find, uint64_t offset)
{
	struct vmdk_extent *extent = find->extent;
	uint8_t entries[VMDK_TABLE * 4], spares[VMDK_TABLE * 4];
	uint64_t tables[2] = { 0 };
	int error = find_table(extent, extent->directory, offset, 0,
			       &tables[0]);

	if (!error && extent->spare)
		error = find_table(extent, extent->spare, offset, 0,
				   &tables[1]);
	if (error == -EIO) {
		disk_check_say(find->check, "byte %llu of the disk: its table "
			       "lies outside of the file",
			       (unsigned long long)(extent->first + offset));
		find->check->corruptions++;
		return 0;
	}
	if (error || !tables[0])
		return error;
	error = disk_meta_read(&extent->meta, tables[0], entries,
			       sizeof(entries), 0);
	if (!error && tables[1])
		error = disk_meta_read(&extent->meta, tables[1], spares,
				       sizeof(spares), 0);
	for (unsigned int i = 0; i < 2; i++)
		if (tables[i] + sizeof(entries) > find->end)
			find->end = tables[i] + sizeof(entries);
	for (unsigned int i = 0; !error && i < VMDK_TABLE; i++) {
		uint64_t at = offset + (uint64_t)i * extent->grain;

		if (at >= extent->size)
			break;
		error = check_grain(find, tables, at, entries + i * 4);
		if (error || !tables[1] ||
		    !memcmp(entries + i * 4, spares + i * 4, 4))
			continue;
		find->spares++;
		if (find->repair)
			error = set_entry(extent, tables, at,
					  (uint64_t)get_le32(entries + i * 4) *
						  VMDK_SECTOR);
	}
	return error;
}

/* What comes behind the last grain, and tables that do not agree. */
static int check_rest(struct finding *find)
{
	struct vmdk_extent *extent = find->extent;
	uint64_t end = find->end, mask = extent->grain - 1;
	uint64_t size = extent->file->size, leaks;
	int error = 0;

	end = (end + mask) & ~mask;
	leaks = size > end ? (size - end) / extent->grain : 0;
	if (leaks)
		disk_check_say(find->check, "%llu grains at the end are in no "
			       "use", (unsigned long long)leaks);
	if (find->spares)
		disk_check_say(find->check, "%llu entries of the second tables "
			       "are not those of the first",
			       (unsigned long long)find->spares);
	find->check->leaks += leaks + find->spares;
	if (!find->repair)
		return 0;
	error = disk_meta_flush(&extent->meta);
	if (!error && leaks)
		error = disk_resize(extent->file, end, DISK_PREALLOC_OFF, NULL);
	if (!error && leaks)
		extent->end = end;
	if (!error)
		find->check->leaks_fixed += leaks + find->spares;
	return error;
}

/* Where header, text and directories end. */
static uint64_t head_end(const struct vmdk_extent *extent)
{
	uint64_t span = (uint64_t)VMDK_TABLE * extent->grain;
	uint64_t bytes = ((extent->size - 1) / span + 1) * 4;
	uint64_t end = extent->overhead;

	if (extent->directory + bytes > end)
		end = extent->directory + bytes;
	if (extent->spare && extent->spare + bytes > end)
		end = extent->spare + bytes;
	return end;
}

int vmdk_sparse_check(struct vmdk_extent *extent, bool repair,
		      struct disk_check *check)
{
	uint64_t span = (uint64_t)VMDK_TABLE * extent->grain;
	struct finding find = { .extent = extent, .check = check,
				.repair = repair, .end = head_end(extent) };
	uint64_t room = extent->file->size;
	int error = 0;

	if (room > (uint64_t)UINT32_MAX * VMDK_SECTOR)
		room = (uint64_t)UINT32_MAX * VMDK_SECTOR;
	find.used = calloc(1, room / extent->grain / 8 + 1);
	if (!find.used)
		return -ENOMEM;
	for (uint64_t at = 0; !error && at < extent->size; at += span)
		error = check_table(&find, at);
	/* What ends a packed extent is the footer. */
	if (!error && !extent->packed)
		error = check_rest(&find);
	free(find.used);
	return error;
}
