/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streamOptimized VMDK images being written: packed grains in the disk's
 * order, each behind a marker, then the tables, the directory, a footer that
 * is the header with the directory's place, and a marker of the end. A flush
 * writes all that; later grains go over it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "disk/vmdk/vmdk.h"
#include "disk/wire.h"
#include "disk/zeros.h"

#define LEVEL	    4 /* of deflate: its best size for its time */
#define MARKER	    12u
#define TABLE_BYTES (VMDK_TABLE * 4u)

enum { MARKER_END, MARKER_TABLE, MARKER_DIRECTORY, MARKER_FOOTER };

struct vmdk_stream {
	struct vmdk_extent *extent;
	pthread_mutex_t mutex;
	uint64_t next;	 /* byte of the disk that may be written next */
	uint64_t end;	 /* of the grains, in the file */
	uint8_t **table; /* by index; entries as in the file; NULL: empty */
	uint64_t tables;
	uint8_t *packed; /* room for a packed grain with its marker */
	size_t room;
};

int vmdk_stream_open(struct vmdk *vmdk)
{
	struct vmdk_extent *extent = &vmdk->extent[0];
	struct vmdk_stream *stream = calloc(1, sizeof(*stream));
	uint64_t span = (uint64_t)VMDK_TABLE * extent->grain;

	if (!stream)
		return -ENOMEM;
	pthread_mutex_init(&stream->mutex, NULL);
	stream->extent = extent;
	stream->end = extent->overhead;
	stream->tables = (extent->size - 1) / span + 1;
	stream->table = calloc(stream->tables, sizeof(*stream->table));
	stream->room = MARKER + compressBound(extent->grain) + VMDK_SECTOR;
	stream->packed = malloc(stream->room);
	vmdk->stream = stream;
	return stream->table && stream->packed ? 0 : -ENOMEM;
}

void vmdk_stream_close(struct vmdk *vmdk)
{
	struct vmdk_stream *stream = vmdk->stream;

	if (!stream)
		return;
	for (uint64_t i = 0; stream->table && i < stream->tables; i++)
		free(stream->table[i]);
	free(stream->table);
	free(stream->packed);
	pthread_mutex_destroy(&stream->mutex);
	free(stream);
	vmdk->stream = NULL;
}

/* --- grains ----------------------------------------------------------------- */

/* The grain's entry; NULL: it has none, and none is made. */
static uint8_t *entry_of(struct vmdk_stream *stream, uint64_t offset,
			 bool make)
{
	uint64_t index = offset / stream->extent->grain;
	uint8_t **table = &stream->table[index / VMDK_TABLE];

	if (!*table && make)
		*table = calloc(1, TABLE_BYTES);
	return *table ? *table + index % VMDK_TABLE * 4 : NULL;
}

/* The place of the grain in the file; 0: there is none. */
static uint64_t place_of(struct vmdk_stream *stream, uint64_t offset)
{
	uint8_t *entry;
	uint64_t at;

	pthread_mutex_lock(&stream->mutex);
	entry = entry_of(stream, offset, false);
	at = entry ? (uint64_t)get_le32(entry) * VMDK_SECTOR : 0;
	pthread_mutex_unlock(&stream->mutex);
	return at;
}

int vmdk_stream_map(struct vmdk *vmdk, uint64_t offset, uint64_t length,
		    struct disk_extent *found)
{
	struct vmdk_stream *stream = vmdk->stream;
	uint64_t grain = stream->extent->grain;
	uint64_t left = grain - offset % grain;
	uint64_t at = place_of(stream, offset);

	*found = (struct disk_extent){ .kind = at ? DISK_PACKED : DISK_HOLE,
				       .length = left < length ? left : length,
				       .at = at };
	return 0;
}

int vmdk_stream_read(struct vmdk *vmdk, uint64_t offset, uint64_t length,
		     struct disk_vec to)
{
	struct vmdk_stream *stream = vmdk->stream;
	uint64_t skip = offset % stream->extent->grain;
	uint8_t *buf = malloc(stream->extent->grain);
	int error = buf ? 0 : -ENOMEM;

	if (!error)
		error = vmdk_unpack(stream->extent->file,
				    place_of(stream, offset),
				    (offset - skip) / VMDK_SECTOR, buf,
				    skip + length);
	if (!error)
		disk_vec_fill(to, buf + skip, length);
	free(buf);
	return error;
}

/* Packs a grain with its marker, up to whole sectors; the bytes of it all. */
static int pack(struct vmdk_stream *stream, uint64_t offset,
		const uint8_t *grain, size_t *bytes)
{
	uLongf size = stream->room - MARKER;
	size_t whole;

	if (compress2(stream->packed + MARKER, &size, grain,
		      stream->extent->grain, LEVEL) != Z_OK)
		return -EIO;
	put_le64(stream->packed, offset / VMDK_SECTOR);
	put_le32(stream->packed + 8, (uint32_t)size);
	whole = (MARKER + size + VMDK_SECTOR - 1) & ~(size_t)(VMDK_SECTOR - 1);
	memset(stream->packed + MARKER + size, 0, whole - MARKER - size);
	*bytes = whole;
	return 0;
}

static int add_grain(struct vmdk_stream *stream, uint64_t offset,
		     const uint8_t *grain)
{
	uint8_t *entry = entry_of(stream, offset, true);
	size_t bytes = 0;
	int error = entry ? pack(stream, offset, grain, &bytes) : -ENOMEM;

	if (!error && (stream->end + bytes) / VMDK_SECTOR > UINT32_MAX)
		error = -EFBIG;
	if (!error)
		error = disk_write_bytes(stream->extent->file, stream->end,
					 stream->packed, bytes);
	if (error)
		return error;
	put_le32(entry, (uint32_t)(stream->end / VMDK_SECTOR));
	stream->end += bytes;
	return 0;
}

int vmdk_stream_write(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec from)
{
	struct vmdk_stream *stream = vmdk_of(node)->stream;
	uint8_t *grain;
	int error = 0;

	if (!stream)
		return -ENOTSUP;
	grain = calloc(1, stream->extent->grain);
	if (!grain)
		return -ENOMEM;
	disk_vec_gather(grain, from, length);
	pthread_mutex_lock(&stream->mutex);
	if (offset < stream->next)
		error = -EINVAL; /* what reads it takes it in order */
	else if (!disk_all_zeros(grain, length))
		error = add_grain(stream, offset, grain);
	if (!error)
		stream->next = offset + length;
	pthread_mutex_unlock(&stream->mutex);
	free(grain);
	return error;
}

/* --- the end ---------------------------------------------------------------- */

/* A marker's sector and what it announces; *at goes on behind them. */
static int write_part(struct vmdk_stream *stream, uint64_t *at, uint32_t type,
		      const uint8_t *bytes, size_t size)
{
	struct disk_node *file = stream->extent->file;
	uint8_t marker[VMDK_SECTOR] = { 0 };
	uint64_t whole = (size + VMDK_SECTOR - 1) & ~(size_t)(VMDK_SECTOR - 1);
	int error;

	put_le64(marker, whole / VMDK_SECTOR);
	put_le32(marker + 12, type);
	error = disk_write_bytes(file, *at, marker, sizeof(marker));
	if (!error && size)
		error = disk_write_bytes(file, *at + VMDK_SECTOR, bytes, size);
	*at += VMDK_SECTOR + whole;
	return error;
}

/* The directory, in whole sectors, to *directory, after its tables. */
static int write_tables(struct vmdk_stream *stream, uint64_t *at,
			uint8_t *directory)
{
	int error = 0;

	for (uint64_t i = 0; !error && i < stream->tables; i++) {
		if (!stream->table[i])
			continue;
		put_le32(directory + i * 4,
			 (uint32_t)(*at / VMDK_SECTOR + 1));
		error = write_part(stream, at, MARKER_TABLE, stream->table[i],
				   TABLE_BYTES);
	}
	return error;
}

static int write_end(struct vmdk_stream *stream, uint64_t *at,
		     uint64_t directory)
{
	uint8_t header[VMDK_SECTOR];
	int error = disk_read_bytes(stream->extent->file, 0, header,
				    sizeof(header));

	put_le64(header + VMDK_AT_DIRECTORY, directory / VMDK_SECTOR);
	if (!error)
		error = write_part(stream, at, MARKER_FOOTER, header,
				   sizeof(header));
	return error ? error : write_part(stream, at, MARKER_END, NULL, 0);
}

int vmdk_stream_finish(struct vmdk *vmdk)
{
	struct vmdk_stream *stream = vmdk->stream;
	size_t size = (stream->tables * 4 + VMDK_SECTOR - 1) &
		      ~(size_t)(VMDK_SECTOR - 1);
	uint8_t *directory = calloc(1, size);
	uint64_t at, place;
	int error;

	if (!directory)
		return -ENOMEM;
	pthread_mutex_lock(&stream->mutex);
	at = stream->end;
	error = write_tables(stream, &at, directory);
	place = at + VMDK_SECTOR;
	if (!error)
		error = write_part(stream, &at, MARKER_DIRECTORY, directory,
				   size);
	if (!error)
		error = write_end(stream, &at, place);
	pthread_mutex_unlock(&stream->mutex);
	free(directory);
	return error ? error : disk_flush(stream->extent->file);
}
