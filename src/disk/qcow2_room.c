/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for guest clusters before they are written: preallocation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2.h"

#define ZEROS (1u << 20)

/* Takes places for clusters of [offset, end), as many as come in one run. */
static int place_run(struct qcow2 *q, uint64_t offset, uint64_t end,
		     uint64_t *at, uint64_t *clusters)
{
	uint64_t want = (end - offset + q->cluster_size - 1) >>
			q->header.cluster_bits;
	struct qcow2_spot spot;
	bool clean;
	int error = qcow2_find_own(q, offset, &spot);

	if (error)
		return error;
	if (want > spot.left)
		want = spot.left;
	*at = offset;
	*clusters = want;
	if (!q->external)
		error = qcow2_alloc(q, want, at, clusters, &clean);
	if (!error)
		error = qcow2_find_own(q, offset, &spot);
	for (uint64_t i = 0; i < *clusters && !error; i++) {
		struct qcow2_entry entry = {
			.desc = (*at + (i << q->header.cluster_bits)) |
				QCOW2_COPIED,
		};

		if (qcow2_extended(q) && !q->node.backing)
			entry.bits = UINT32_MAX;
		qcow2_entry_put(q, spot.slice, spot.index + (unsigned int)i,
				entry);
	}
	return error;
}

static int write_zeros(struct disk_node *node, uint64_t at, uint64_t length)
{
	uint8_t *zeros = calloc(1, ZEROS);
	int error = zeros ? 0 : -ENOMEM;

	while (length && !error) {
		uint64_t part = length < ZEROS ? length : ZEROS;

		error = disk_write_bytes(node, at, zeros, part);
		at += part;
		length -= part;
	}
	free(zeros);
	return error;
}

/* Has the host take the room, too. */
static int fill(struct qcow2 *q, uint64_t at, uint64_t length,
		enum disk_preallocation mode)
{
	if (mode == DISK_PREALLOC_FALLOC)
		return disk_zero(q->data, at, length, 0);
	return write_zeros(q->data, at, length);
}

int qcow2_preallocate(struct qcow2 *q, uint64_t offset, uint64_t end,
		      enum disk_preallocation mode)
{
	uint64_t at = 0, clusters = 0, top = 0;
	int error = 0;

	while (offset < end && !error) {
		error = qcow2_begin(q);
		pthread_mutex_lock(&q->lock);
		if (!error)
			error = place_run(q, offset, end, &at, &clusters);
		pthread_mutex_unlock(&q->lock);
		if (error)
			break;
		if (mode != DISK_PREALLOC_METADATA)
			error = fill(q, at, clusters << q->header.cluster_bits,
				     mode);
		offset += clusters << q->header.cluster_bits;
		if (at + (clusters << q->header.cluster_bits) > top)
			top = at + (clusters << q->header.cluster_bits);
	}
	if (!error && top > q->data->size)
		error = disk_resize(q->data, top, DISK_PREALLOC_OFF, NULL);
	return error;
}

int qcow2_preallocate_new(struct disk_node *file,
			  const struct disk_create *how,
			  enum disk_preallocation mode,
			  struct disk_error *error)
{
	const struct disk_open open = { .path = how->path,
					.folders = how->folders,
					.folder_count = how->folder_count };
	struct disk_node *node;
	struct qcow2 *q;
	int result = qcow2_open(&node, file, &open, error);

	if (result)
		return result;
	q = qcow2_of(node);
	result = qcow2_preallocate(q, 0, node->size, mode);
	pthread_mutex_lock(&q->flushing);
	if (!result)
		result = qcow2_settle(q);
	pthread_mutex_unlock(&q->flushing);
	node->readonly = true; /* all is settled */
	disk_node_abandon(node);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}
