/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another size for VMDK images: of sparse extents, whose header and tables
 * change, and of flat ones. The header's sector says at once how long a sparse
 * extent is and where its tables are; the text of the descriptor follows, in
 * its place in a monolithicSparse image, where it only repeats the size, else
 * as a new file. What comes to split images, and goes: split.c. Packed
 * images keep their size.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/file.h"
#include "disk/vmdk/vmdk.h"
#include "disk/wire.h"

#define TABLE_BYTES (VMDK_TABLE * 4u)

/* --- the text --------------------------------------------------------------- */

struct edit {
	const struct vmdk_change *change;
	FILE *to;
	unsigned int heads;
	unsigned int lines; /* of extents, so far */
};

/* The line of an extent; those behind the last that stays are left out. */
static void put_extent(struct edit *edit, const char *line, size_t length)
{
	const struct vmdk_change *change = edit->change;
	const char *rest = memchr(line + 3, ' ', length - 3);

	edit->lines++;
	if (edit->lines > change->keep)
		return;
	if (edit->lines < change->keep || !rest)
		fwrite(line, 1, length, edit->to);
	else
		fprintf(edit->to, "RW %llu%.*s",
			(unsigned long long)(change->last / VMDK_SECTOR),
			(int)(length - (size_t)(rest - line)), rest);
	fputc('\n', edit->to);
	if (edit->lines == change->keep && change->added)
		fputs(change->added, edit->to);
}

/* One line, with the size in its place when it says that. */
static void put_line(struct edit *edit, const char *line, size_t length)
{
	static const char cylinders[] = "ddb.geometry.cylinders";
	unsigned long long sectors = edit->change->size / VMDK_SECTOR;
	size_t skip = strspn(line, " \t\r");

	if (skip < length && !strncmp(line + skip, "RW ", 3)) {
		put_extent(edit, line + skip, length - skip);
		return;
	}
	if (!strncmp(line, cylinders, sizeof(cylinders) - 1))
		fprintf(edit->to, "%s = \"%llu\"", cylinders,
			sectors / 63 / edit->heads);
	else
		fwrite(line, 1, length, edit->to);
	fputc('\n', edit->to);
}

/* The text as it is to be; *length: its bytes. NULL: no memory. */
static char *make_text(const char *text, const struct vmdk_change *change,
		       size_t *length)
{
	static const char key[] = "ddb.geometry.heads = \"";
	const char *at = strstr(text, key);
	unsigned long heads = at ? strtoul(at + strlen(key), NULL, 10) : 0;
	char *made = NULL;
	FILE *to = open_memstream(&made, length);
	struct edit edit = { .change = change, .to = to };

	if (!to)
		return NULL;
	edit.heads = heads && heads <= 255 ? (unsigned int)heads : 16;
	while (*text) {
		size_t line = strcspn(text, "\n");

		put_line(&edit, text, line);
		text += line + (text[line] != 0);
	}
	if (fclose(to)) {
		free(made);
		return NULL;
	}
	return made;
}

/* In the sectors that the header says, the rest zeros. */
static int write_inside(struct disk_node *file, uint64_t at, uint64_t room,
			const char *text, size_t length)
{
	char *padded = length > room ? NULL : calloc(1, room);
	int error;

	if (!padded)
		return length > room ? -ENOSPC : -ENOMEM;
	memcpy(padded, text, length);
	error = disk_write_bytes(file, at, padded, room);
	free(padded);
	return error ? error : disk_flush(file);
}

int vmdk_write_text(struct vmdk *vmdk, const struct vmdk_change *change)
{
	const struct vmdk_extent *extent = &vmdk->extent[0];
	struct disk_node *file = vmdk->node.file;
	bool inside = extent->file == file;
	uint64_t at = inside ? extent->descriptor : 0;
	uint64_t room = inside ? extent->descriptor_size : file->size;
	char *old = calloc(1, room + 1), *text = NULL;
	size_t length = 0;
	int error = old ? disk_read_bytes(file, at, old, room) : -ENOMEM;

	if (!error) {
		text = make_text(old, change, &length);
		error = text ? 0 : -ENOMEM;
	}
	if (!error)
		error = inside ? write_inside(file, at, room, text, length)
			       : disk_file_replace(file, text, length);
	free(old);
	free(text);
	return error;
}

/* --- sparse extents --------------------------------------------------------- */

static uint64_t table_count(const struct vmdk_extent *extent, uint64_t size)
{
	return (size - 1) / ((uint64_t)VMDK_TABLE * extent->grain) + 1;
}

/* A directory at `to` with the entries of the one at `from`, and new tables
 * behind it, which read as zeros. */
static int copy_directory(struct vmdk_extent *extent, uint64_t from,
			  uint64_t to, uint64_t old, uint64_t count)
{
	uint64_t bytes = (count * 4 + VMDK_SECTOR - 1) &
			 ~(uint64_t)(VMDK_SECTOR - 1);
	uint8_t *entries = calloc(1, bytes);
	int error = entries ? disk_meta_read(&extent->meta, from, entries,
					     old * 4, 0)
			    : -ENOMEM;

	for (uint64_t i = old; !error && i < count; i++)
		put_le32(entries + i * 4,
			 (uint32_t)((to + bytes + (i - old) * TABLE_BYTES) /
				    VMDK_SECTOR));
	if (!error)
		error = disk_meta_write(&extent->meta, to, entries, bytes);
	free(entries);
	return error;
}

/* Both directories behind the grains, with tables for `count`. */
static int move_directories(struct vmdk_extent *extent, uint64_t count,
			    uint64_t *main, uint64_t *spare)
{
	uint64_t old = table_count(extent, extent->size);
	uint64_t bytes = count * 4 + VMDK_SECTOR + (count - old) * TABLE_BYTES;
	int error = disk_meta_flush(&extent->meta);

	if (!error)
		error = vmdk_sparse_room(extent, bytes, main);
	if (!error)
		error = copy_directory(extent, extent->directory, *main, old,
				       count);
	if (!error && extent->spare)
		error = vmdk_sparse_room(extent, bytes, spare);
	if (!error && extent->spare)
		error = copy_directory(extent, extent->spare, *spare, old,
				       count);
	return error ? error : disk_meta_flush(&extent->meta);
}

/* The header's sector, on the disk. */
static int write_header(struct vmdk_extent *extent, uint64_t size,
			uint64_t main, uint64_t spare)
{
	uint8_t number[8];
	int error;

	put_le64(number, size / VMDK_SECTOR);
	error = disk_meta_write(&extent->meta, VMDK_AT_CAPACITY, number, 8);
	put_le64(number, main / VMDK_SECTOR);
	if (!error)
		error = disk_meta_write(&extent->meta, VMDK_AT_DIRECTORY,
					number, 8);
	put_le64(number, spare / VMDK_SECTOR);
	if (!error && spare)
		error = disk_meta_write(&extent->meta, VMDK_AT_SPARE_DIRECTORY,
					number, 8);
	if (!error)
		error = disk_meta_flush(&extent->meta);
	if (error)
		return error;
	extent->size = size;
	extent->whole = size;
	extent->directory = main;
	extent->spare = spare;
	return 0;
}

static uint64_t grain_up(const struct vmdk_extent *extent, uint64_t size)
{
	uint64_t mask = extent->grain - 1;

	return (size + mask) & ~mask;
}

static int grow_sparse(struct vmdk *vmdk, struct vmdk_extent *extent,
		       uint64_t size)
{
	uint64_t count = table_count(extent, size), old = extent->size;
	uint64_t end = grain_up(extent, old);
	uint64_t main = extent->directory, spare = extent->spare;
	int error;

	extent->size = end; /* all of the last grain */
	error = disk_zero_behind(&vmdk->node, extent->first + old,
				 extent->first + (size < end ? size : end));
	extent->size = old;
	/* Entries behind the end may be left from when it was longer. */
	if (!error)
		error = vmdk_sparse_drop(extent, end,
					 table_count(extent, old) * VMDK_TABLE *
						 extent->grain);
	if (!error && count > table_count(extent, old))
		error = move_directories(extent, count, &main, &spare);
	return error ? error : write_header(extent, size, main, spare);
}

static int shrink_sparse(struct vmdk *vmdk, struct vmdk_extent *extent,
			 uint64_t size)
{
	uint64_t from = grain_up(extent, size), old = extent->whole;
	struct disk_check check = { 0 };
	int error = disk_meta_flush(&extent->meta);

	/* Smaller before its grains go; and so that the file's end can. */
	if (!error)
		error = write_header(extent, size, extent->directory,
				     extent->spare);
	extent->size = old;
	if (!error && from < old)
		error = disk_extents_discard(&vmdk->node, extent->first + from,
					     old - from);
	extent->size = size;
	if (!error)
		error = vmdk_sparse_drop(extent, from, old);
	if (!error)
		error = disk_meta_flush(&extent->meta);
	return error ? error : vmdk_sparse_check(extent, true, &check);
}

/* --- flat ones -------------------------------------------------------------- */

static int grow_flat(struct vmdk_extent *extent, uint64_t size)
{
	uint64_t end = extent->at + size, from = extent->at + extent->size;
	int error = 0;

	if (from < extent->file->size) /* what may lie there */
		error = disk_zero(extent->file, from,
				  (end < extent->file->size
					   ? end
					   : (uint64_t)extent->file->size) -
					  from,
				  DISK_UNMAP);
	if (!error && end > extent->file->size)
		error = disk_resize(extent->file, end, DISK_PREALLOC_OFF, NULL);
	return error ? error : disk_flush(extent->file);
}

/* --- the driver's ----------------------------------------------------------- */

int vmdk_extent_trim(struct vmdk *vmdk, struct vmdk_extent *extent)
{
	return shrink_sparse(vmdk, extent, extent->size);
}

int vmdk_extent_resize(struct vmdk *vmdk, struct vmdk_extent *extent,
		       uint64_t size)
{
	bool grows = size > extent->size;
	int error = 0;

	if (extent->kind == VMDK_FLAT) {
		error = grows ? grow_flat(extent, size)
			      : disk_resize(extent->file, extent->at + size,
					    DISK_PREALLOC_OFF, NULL);
		if (!error)
			extent->size = size;
		return error;
	}
	if (grows && extent->whole > extent->size)
		error = vmdk_extent_trim(vmdk, extent);
	if (error)
		return error;
	return grows ? grow_sparse(vmdk, extent, size)
		     : shrink_sparse(vmdk, extent, size);
}

/* An image of one extent. A text of its own has the smaller size first, since
 * an extent may be longer than it says. */
static int resize_single(struct vmdk *vmdk, uint64_t size)
{
	struct vmdk_extent *extent = &vmdk->extent[0];
	const struct vmdk_change change = { .size = size, .keep = 1,
					    .last = size };
	bool first = extent->file != vmdk->node.file && size < extent->size;
	int error = first ? vmdk_write_text(vmdk, &change) : 0;

	if (!error)
		error = vmdk_extent_resize(vmdk, extent, size);
	return error || first ? error : vmdk_write_text(vmdk, &change);
}

static bool is_split(const struct vmdk *vmdk)
{
	return vmdk->extents > 1 || !strncmp(vmdk->type, "twoGb", 5);
}

int vmdk_resize(struct disk_node *node, uint64_t size,
		enum disk_preallocation prealloc, struct disk_error *error)
{
	struct vmdk *vmdk = vmdk_of(node);
	struct vmdk_extent *extent = &vmdk->extent[vmdk->extents - 1];
	bool sparse = extent->kind == VMDK_SPARSE;
	int result;

	if (vmdk->stream || extent->packed || extent->kind == VMDK_ZEROS)
		return disk_error_set(error, -ENOTSUP, "is a VMDK image of type "
				      "%s, which keeps its size; convert it",
				      vmdk->type);
	if (prealloc != DISK_PREALLOC_OFF)
		return disk_error_set(error, -ENOTSUP, "is a VMDK image, which "
				      "grows without preallocation only");
	if (sparse && size > VMDK_SPARSE_MAX)
		return disk_error_set(error, -EFBIG, "is a VMDK image, which "
				      "has at most 2 TiB");
	if (size == node->size)
		return 0;
	result = size > node->size ? disk_check_growth(node, error) : 0;
	if (result)
		return result;
	result = vmdk_note_change(vmdk);
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	if (is_split(vmdk))
		result = vmdk_split_resize(vmdk, size, error);
	else if ((result = resize_single(vmdk, size)))
		disk_error_set(error, result, "%s", strerror(-result));
	if (!result)
		node->size = size;
	return result;
}
