/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another size for VMDK images of one extent: monolithicSparse, whose header
 * and tables change, and monolithicFlat. The header's sector says at once how
 * long a sparse extent is and where its tables are; the text of the
 * descriptor, which repeats the size for other programs, follows. Other kinds
 * are refused: a split image would need or lose files.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/vmdk.h"
#include "disk/wire.h"

#define TABLE_BYTES (VMDK_TABLE * 4u)
#define SPARSE_MAX  (2048ull << 30)

/* --- the text --------------------------------------------------------------- */

/* One line, with the size in its place when it says that. */
static void put_line(FILE *to, const char *line, size_t length, uint64_t size,
		     unsigned int heads)
{
	static const char cylinders[] = "ddb.geometry.cylinders";
	unsigned long long sectors = size / VMDK_SECTOR;
	const char *rest;

	if (!strncmp(line, "RW ", 3)) {
		rest = memchr(line + 3, ' ', length - 3);
		if (rest) {
			fprintf(to, "RW %llu%.*s", sectors,
				(int)(length - (size_t)(rest - line)), rest);
			return;
		}
	}
	if (!strncmp(line, cylinders, sizeof(cylinders) - 1))
		fprintf(to, "%s = \"%llu\"", cylinders,
			sectors / 63 / heads);
	else
		fwrite(line, 1, length, to);
}

/* The text as it is to be; *length: its bytes. NULL: no memory. */
static char *make_text(const char *text, uint64_t size, size_t *length)
{
	static const char key[] = "ddb.geometry.heads = \"";
	const char *at = strstr(text, key);
	unsigned long heads = at ? strtoul(at + strlen(key), NULL, 10) : 0;
	char *made = NULL;
	FILE *to = open_memstream(&made, length);

	if (!to)
		return NULL;
	if (!heads || heads > 255)
		heads = 16;
	while (*text) {
		size_t line = strcspn(text, "\n");

		put_line(to, text, line, size, (unsigned int)heads);
		text += line;
		if (*text) {
			fputc('\n', to);
			text++;
		}
	}
	if (fclose(to)) {
		free(made);
		return NULL;
	}
	return made;
}

/* In the sectors that the header says, or the whole file. */
static int write_text(struct vmdk *vmdk, uint64_t size)
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
		text = make_text(old, size, &length);
		error = !text ? -ENOMEM : inside && length > room ? -ENOSPC : 0;
	}
	if (!error && length < room) { /* no more lines than there were */
		char *padded = realloc(text, room);

		if (padded)
			memset(padded + length, inside ? 0 : '\n',
			       room - length);
		text = padded ? padded : text;
		error = padded ? 0 : -ENOMEM;
		length = room;
	}
	if (!error)
		error = disk_write_bytes(file, at, text, length);
	free(old);
	free(text);
	return error ? error : disk_flush(file);
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
	extent->directory = main;
	extent->spare = spare;
	return 0;
}

static uint64_t grain_up(const struct vmdk_extent *extent, uint64_t size)
{
	uint64_t mask = extent->grain - 1;

	return (size + mask) & ~mask;
}

static int grow_sparse(struct vmdk *vmdk, uint64_t size)
{
	struct vmdk_extent *extent = &vmdk->extent[0];
	uint64_t count = table_count(extent, size), old = extent->size;
	uint64_t end = grain_up(extent, old);
	uint64_t main = extent->directory, spare = extent->spare;
	int error;

	extent->size = end; /* all of the last grain */
	error = disk_zero_behind(&vmdk->node, old, size < end ? size : end);
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

static int shrink_sparse(struct vmdk *vmdk, uint64_t size)
{
	struct vmdk_extent *extent = &vmdk->extent[0];
	uint64_t from = grain_up(extent, size), old = extent->size;
	struct disk_check check = { 0 };
	int error = disk_meta_flush(&extent->meta);

	/* Smaller before its grains go; and so that the file's end can. */
	if (!error)
		error = write_header(extent, size, extent->directory,
				     extent->spare);
	extent->size = old;
	if (!error && from < old)
		error = disk_extents_discard(&vmdk->node, from, old - from);
	extent->size = size;
	if (!error)
		error = vmdk_sparse_drop(extent, from, old);
	if (!error)
		error = disk_meta_flush(&extent->meta);
	return error ? error : vmdk_sparse_check(extent, true, &check);
}

/* --- flat ones -------------------------------------------------------------- */

static int resize_flat(struct vmdk *vmdk, uint64_t size)
{
	struct vmdk_extent *extent = &vmdk->extent[0];
	uint64_t end = extent->at + size, from = extent->at + extent->size;
	bool grows = size > extent->size;
	int error = 0;

	if (grows && from < extent->file->size) /* what may lie there */
		error = disk_zero(extent->file, from,
				  (end < extent->file->size
					   ? end
					   : (uint64_t)extent->file->size) -
					  from,
				  DISK_UNMAP);
	if (!error && grows && end > extent->file->size)
		error = disk_resize(extent->file, end, DISK_PREALLOC_OFF, NULL);
	if (!error && grows)
		error = disk_flush(extent->file);
	if (!error)
		error = write_text(vmdk, size);
	if (!error && !grows)
		error = disk_resize(extent->file, end, DISK_PREALLOC_OFF, NULL);
	if (!error)
		extent->size = size;
	return error;
}

/* --- the driver's ----------------------------------------------------------- */

static int resize_sparse(struct vmdk *vmdk, uint64_t size)
{
	int error = size > vmdk->extent[0].size ? grow_sparse(vmdk, size)
						: shrink_sparse(vmdk, size);

	return error ? error : write_text(vmdk, size);
}

int vmdk_resize(struct disk_node *node, uint64_t size,
		enum disk_preallocation prealloc, struct disk_error *error)
{
	struct vmdk *vmdk = vmdk_of(node);
	struct vmdk_extent *extent = &vmdk->extent[0];
	bool sparse = extent->kind == VMDK_SPARSE;
	int result;

	if (vmdk->extents > 1 || vmdk->stream || extent->packed ||
	    (sparse && extent->file != node->file) ||
	    extent->kind == VMDK_ZEROS)
		return disk_error_set(error, -ENOTSUP, "is a VMDK image of type "
				      "%s, which keeps its size; convert it",
				      vmdk->type);
	if (prealloc != DISK_PREALLOC_OFF)
		return disk_error_set(error, -ENOTSUP, "is a VMDK image, which "
				      "grows without preallocation only");
	if (sparse && size > SPARSE_MAX)
		return disk_error_set(error, -EFBIG, "is a VMDK image, which "
				      "has at most 2 TiB");
	if (size == node->size)
		return 0;
	result = size > node->size ? disk_check_growth(node, error) : 0;
	if (result)
		return result;
	result = vmdk_note_change(vmdk);
	if (!result)
		result = sparse ? resize_sparse(vmdk, size)
				: resize_flat(vmdk, size);
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	node->size = size;
	return 0;
}
