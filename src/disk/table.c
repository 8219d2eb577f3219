/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of blocks; see table.h.
 */
#include "disk/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/driver.h"
#include "disk/zeros.h"

#define ENTRIES_AT_ONCE 64u
#define ENTRY_MAX	8u
#define PIECE		4096u /* that is a hole or not */
#define AT_ONCE		(256u << 10) /* bytes that are copied */

uint64_t disk_table_at(const struct disk_table *table, uint64_t block)
{
	if (table->interleave)
		block += block / table->interleave;
	return table->offset + block * table->entry;
}

/* Entries from `block` on that lie side by side in the table. */
static unsigned int read_entries(const struct disk_table *table,
				 uint64_t block, uint64_t wanted,
				 unsigned int flags, uint8_t *entries,
				 int *error)
{
	uint64_t count = wanted < ENTRIES_AT_ONCE ? wanted : ENTRIES_AT_ONCE;

	if (table->interleave &&
	    count > table->interleave - block % table->interleave)
		count = table->interleave - block % table->interleave;
	*error = disk_meta_read(table->meta, disk_table_at(table, block),
				entries, count * table->entry, flags);
	return (unsigned int)count;
}

static bool continues(const struct disk_place *first, uint64_t bytes,
		      const struct disk_place *next)
{
	return next->kind == first->kind &&
	       (first->kind != DISK_DATA || next->at == first->at + bytes);
}

int disk_table_map(const struct disk_table *table, uint64_t offset,
		   uint64_t length, unsigned int flags,
		   struct disk_extent *extent)
{
	uint64_t block = (offset - table->first) / table->block;
	uint64_t last = (offset - table->first + length - 1) / table->block;
	uint64_t skip = (offset - table->first) % table->block;
	uint8_t entries[ENTRIES_AT_ONCE * ENTRY_MAX];
	struct disk_place first = { 0 }, next = { 0 };
	unsigned int count, i;
	int error;

	count = read_entries(table, block, last - block + 1, flags, entries,
			     &error);
	if (!error)
		error = table->place(table->ctx, entries, &first);
	if (error)
		return error;
	for (i = 1; i < count; i++) {
		/* One that makes no sense is told when it is asked for. */
		if (table->place(table->ctx, entries + i * table->entry, &next) ||
		    !continues(&first, (uint64_t)i * table->block, &next))
			break;
	}
	*extent = (struct disk_extent){ .kind = first.kind, .at = first.at };
	extent->length = (uint64_t)i * table->block - skip;
	if (extent->length > length)
		extent->length = length;
	if (first.kind == DISK_DATA) {
		extent->in_place = true;
		extent->in = table->in;
		extent->at = first.at + skip;
	}
	return 0;
}

/* --- zeros in place --------------------------------------------------------- */

static bool has_backing(const struct disk_node *node, uint64_t offset)
{
	return node->backing && offset < node->backing->size;
}

int disk_extents_zero(struct disk_node *node, uint64_t offset, uint64_t length,
		      unsigned int flags)
{
	while (length) {
		struct disk_extent extent;
		int error = node->driver->map(node, offset, length, 0, &extent);

		if (error)
			return error;
		if (extent.kind == DISK_PACKED ||
		    (extent.kind == DISK_HOLE && has_backing(node, offset)))
			return -ENOTSUP;
		if (extent.kind == DISK_DATA)
			error = disk_zero(extent.in, extent.at, extent.length,
					  flags);
		if (error)
			return error;
		offset += extent.length;
		length -= extent.length;
	}
	return 0;
}

int disk_extents_discard(struct disk_node *node, uint64_t offset,
			 uint64_t length)
{
	while (length) {
		struct disk_extent extent;
		int error = node->driver->map(node, offset, length, 0, &extent);

		if (!error && extent.kind == DISK_DATA)
			error = disk_discard(extent.in, extent.at,
					     extent.length);
		if (error)
			return error;
		offset += extent.length;
		length -= extent.length;
	}
	return 0;
}

/* --- another size ----------------------------------------------------------- */

int disk_zero_behind(struct disk_node *node, uint64_t from, uint64_t end)
{
	int error = 0;

	while (!error && from < end) {
		struct disk_extent extent;

		error = node->driver->map(node, from, end - from, 0, &extent);
		if (error)
			break;
		if (extent.kind == DISK_DATA)
			error = disk_zero(extent.in, extent.at, extent.length,
					  0);
		from += extent.length;
	}
	return error;
}

/* Bytes from `at` on that are, or are not, zeros in whole pieces. */
static uint64_t alike(const uint8_t *buf, uint64_t at, uint64_t size,
		      bool *zeros)
{
	uint64_t end = at;

	do {
		uint64_t part = size - end < PIECE ? size - end : PIECE;
		bool none = disk_all_zeros(buf + end, part);

		if (end > at && none != *zeros)
			break;
		*zeros = none;
		end += part;
	} while (end < size);
	return end - at;
}

int disk_copy_room(struct disk_node *file, uint64_t from, uint64_t to,
		   uint64_t size)
{
	uint8_t *buf = malloc(AT_ONCE);
	int error = buf ? disk_make_room(file, to, size) : -ENOMEM;

	while (!error && size) {
		uint64_t part = size < AT_ONCE ? size : AT_ONCE, run;

		error = disk_read_bytes(file, from, buf, part);
		for (uint64_t i = 0; !error && i < part; i += run) {
			bool zeros = true;

			run = alike(buf, i, part, &zeros);
			if (!zeros)
				error = disk_write_bytes(file, to + i, buf + i,
							 run);
		}
		from += part;
		to += part;
		size -= part;
	}
	free(buf);
	return error;
}

int disk_check_growth(const struct disk_node *node, struct disk_error *error)
{
	if (!node->backing || node->backing->size <= node->size)
		return 0;
	return disk_error_set(error, -ENOTSUP, "stands on a longer image, the "
			      "end of which would show; convert it");
}

/* --- room ------------------------------------------------------------------- */

int disk_make_room(struct disk_node *file, uint64_t offset, uint64_t size)
{
	uint64_t end = file->size;
	int error = 0;

	if (offset < end)
		error = disk_zero(file, offset,
				  end - offset < size ? end - offset : size,
				  DISK_UNMAP);
	if (!error && offset + size > end)
		error = disk_resize(file, offset + size, DISK_PREALLOC_OFF,
				    NULL);
	return error;
}

/* --- checks ----------------------------------------------------------------- */

void disk_check_say(struct disk_check *check, const char *format, ...)
{
	char line[160];
	va_list args;

	if (!check->say)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	check->say(check->ctx, line);
}
