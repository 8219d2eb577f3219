/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two images side by side: whether they have the same content, and what one
 * must have of its own to stand on another.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/chain.h"
#include "disk/job.h"
#include "disk/zeros.h"

#define PIECE (1u << 20) /* bytes looked at together */
#define BLOCK 65536u	 /* what differs is copied in these */

struct pair {
	uint8_t *a, *b; /* a piece of each */
};

static int pair_create(struct pair *pair, struct disk_error *error)
{
	pair->a = aligned_alloc(4096, PIECE);
	pair->b = aligned_alloc(4096, PIECE);
	return pair->a && pair->b
		       ? 0
		       : disk_error_set(error, -ENOMEM, "out of memory");
}

static void pair_destroy(struct pair *pair)
{
	free(pair->a);
	free(pair->b);
}

/* What begins at `offset`: zeros beyond the end, and of no image at all. */
static int look(struct disk_node *node, uint64_t offset, uint64_t length,
		struct disk_piece *piece)
{
	uint64_t size = node ? (uint64_t)node->size : 0;

	*piece = (struct disk_piece){ .extent = { .kind = DISK_ZERO,
						  .length = length } };
	if (offset >= size)
		return 0;
	if (length > size - offset)
		length = size - offset;
	return disk_chain_map(node, NULL, offset, length, piece);
}

static int read_piece(struct disk_node *node, const struct disk_piece *piece,
		      uint64_t offset, void *buf, uint64_t length)
{
	if (piece->extent.kind == DISK_ZERO) {
		memset(buf, 0, length);
		return 0;
	}
	return disk_read_bytes(node, offset, buf, length);
}

/* Reads from both what is alike in kind; *same: no need to look further. */
static int read_both(struct disk_node *a, struct disk_node *b, uint64_t offset,
		     uint64_t *length, struct pair *pair, bool *same)
{
	struct disk_piece x, y;
	int error = look(a, offset, *length, &x);

	*same = false;
	if (!error)
		error = look(b, offset, x.extent.length, &y);
	if (error)
		return error;
	*length = y.extent.length;
	*same = x.extent.kind == DISK_ZERO && y.extent.kind == DISK_ZERO;
	if (x.extent.kind == DISK_DATA && y.extent.kind == DISK_DATA &&
	    x.extent.in == y.extent.in && x.extent.at == y.extent.at &&
	    x.extent.in)
		*same = true;
	if (*same)
		return 0;
	error = read_piece(a, &x, offset, pair->a, *length);
	return error ? error : read_piece(b, &y, offset, pair->b, *length);
}

static int stopped(struct disk_job *job, int result, struct disk_error *error)
{
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	if (atomic_load(&job->cancel))
		return disk_error_set(error, -ECANCELED, "interrupted");
	return 0;
}

static uint64_t first_difference(const uint8_t *a, const uint8_t *b)
{
	uint64_t i = 0;

	while (a[i] == b[i])
		i++;
	return i;
}

int disk_compare(struct disk_node *a, struct disk_node *b, uint64_t *differs,
		 struct disk_job *job, struct disk_error *error)
{
	uint64_t size = a->size > b->size ? a->size : b->size;
	struct pair pair;
	int result = pair_create(&pair, error);

	atomic_store(&job->total, size);
	for (uint64_t offset = 0; !result && offset < size;) {
		uint64_t length = size - offset < PIECE ? size - offset : PIECE;
		bool same;

		result = read_both(a, b, offset, &length, &pair, &same);
		result = stopped(job, result, error);
		if (!result && !same && memcmp(pair.a, pair.b, length)) {
			*differs = offset + first_difference(pair.a, pair.b);
			result = 1;
		}
		offset += length;
		atomic_store(&job->done, offset);
	}
	pair_destroy(&pair);
	return result;
}

/* Writes what `node` gives now where `to` gives something else. */
static int keep_difference(struct disk_node *node, uint64_t offset,
			   uint64_t length, const struct pair *pair,
			   uint64_t *moved)
{
	int error = 0;

	for (uint64_t done = 0, part; done < length && !error; done += part) {
		part = BLOCK - (offset + done) % BLOCK;
		if (part > length - done)
			part = length - done;
		if (!memcmp(pair->a + done, pair->b + done, part))
			continue;
		*moved += part;
		if (disk_all_zeros(pair->a + done, part))
			error = disk_zero(node, offset + done, part,
					  DISK_UNMAP);
		else
			error = disk_write_bytes(node, offset + done,
						 pair->a + done, part);
	}
	return error;
}

int disk_rebase_extent(struct disk_node *node, struct disk_node *to,
		       uint64_t offset, uint64_t *length, uint8_t *buf,
		       uint64_t *moved)
{
	struct pair pair = { buf, buf + *length };
	struct disk_extent extent;
	bool same = true;
	int error = disk_map(node, offset, *length, 0, &extent);

	if (error)
		return error;
	*length = extent.length;
	if (extent.kind == DISK_HOLE)
		error = read_both(node, to, offset, length, &pair, &same);
	return error || same ? error
			     : keep_difference(node, offset, *length, &pair,
					       moved);
}

int disk_rebase(struct disk_node *node, struct disk_node *to,
		struct disk_job *job, struct disk_error *error)
{
	uint64_t size = node->size, moved = 0;
	uint8_t *buf = aligned_alloc(4096, 2 * PIECE);
	int result = buf ? 0
			 : disk_error_set(error, -ENOMEM, "out of memory");

	atomic_store(&job->total, size);
	for (uint64_t offset = 0; !result && offset < size;) {
		uint64_t length = size - offset < PIECE ? size - offset : PIECE;

		result = disk_rebase_extent(node, to, offset, &length, buf,
					    &moved);
		result = stopped(job, result, error);
		offset += length;
		atomic_store(&job->done, offset);
	}
	free(buf);
	return result;
}
