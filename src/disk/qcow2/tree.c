/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to all that an L1 table of a qcow2 image refers to: references
 * counted up or down, flags set by the counts. The callers have the image
 * alone and have settled it, so that the file has all that the cache has.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

/* Extents to be freed that wait in memory at most. */
#define FREED_MAX 16384u

struct walk {
	struct qcow2 *q;
	enum qcow2_way way;
	uint64_t done, limit; /* references counted, and when to stop */
	bool changed;	      /* the L2 table in hand */
};

/* One reference to a cluster. */
static int count_one(struct walk *walk, uint64_t cluster)
{
	struct qcow2 *q = walk->q;
	uint64_t count;
	int error;

	if (walk->done == walk->limit)
		return 0;
	walk->done++;
	if (walk->way == QCOW2_LOWER)
		return qcow2_free(q, cluster << q->header.cluster_bits, 1,
				  true);
	if (walk->way == QCOW2_RAISE) {
		error = qcow2_count_change(q, cluster, 1, 1);
		walk->done -= !!error;
		return error;
	}
	error = qcow2_count(q, cluster, &count);
	return !error && !count ? -EUCLEAN : error;
}

static int count_range(struct walk *walk, uint64_t at, uint64_t length)
{
	unsigned int bits = walk->q->header.cluster_bits;
	uint64_t last = (at + length - 1) >> bits;
	int error = 0;

	for (uint64_t c = at >> bits; c <= last && !error; c++)
		error = count_one(walk, c);
	return error;
}

/* What the flag of an entry must be for the cluster at `at`. */
static int right_flag(struct qcow2 *q, uint64_t at, enum qcow2_way way,
		      uint64_t *entry)
{
	uint64_t count = 0;
	int error = 0;

	if (way == QCOW2_FLAGS)
		error = qcow2_count(q, at >> q->header.cluster_bits, &count);
	*entry &= ~QCOW2_COPIED;
	if (count == 1)
		*entry |= QCOW2_COPIED;
	return error;
}

static int change_entry(struct walk *walk, uint8_t *bytes)
{
	struct qcow2 *q = walk->q;
	uint64_t desc = get_be64(bytes), at = desc & QCOW2_OFFSET, old = desc;
	bool flags = walk->way == QCOW2_FLAGS || walk->way == QCOW2_UNFLAG;
	uint32_t size;
	int error;

	if (q->external) /* clusters of another file have no counts */
		return 0;
	if (desc & QCOW2_COMPRESSED) {
		qcow2_packed_place(q, desc, &at, &size);
		return flags ? 0 : count_range(walk, at, size);
	}
	if (!at)
		return 0;
	if (at & (q->cluster_size - 1))
		return -EUCLEAN;
	if (!flags)
		return count_range(walk, at, q->cluster_size);
	error = right_flag(q, at, walk->way, &desc);
	put_be64(bytes, desc);
	walk->changed |= desc != old;
	return error;
}

/* Writes out what has gathered, so that memory stays bounded. */
static int relieve(struct qcow2 *q)
{
	bool full;

	pthread_mutex_lock(&q->lock);
	full = q->cache.dirty > q->cache.limit / 4 ||
	       q->freed.count > FREED_MAX;
	pthread_mutex_unlock(&q->lock);
	return full ? qcow2_flush_held(q) : 0;
}

static int change_l2(struct walk *walk, uint64_t at, uint8_t *l2)
{
	struct qcow2 *q = walk->q;
	uint32_t entries = 1u << q->l2_bits;
	int error = qcow2_read_padded(q->node.file, at, l2, q->cluster_size);

	walk->changed = false;
	pthread_mutex_lock(&q->lock);
	for (uint32_t i = 0; i < entries && !error; i++)
		error = change_entry(walk, l2 + (size_t)i * q->entry_size);
	if (!error && walk->changed) {
		qcow2_cache_forget(q, at, q->cluster_size);
		error = disk_write_bytes(q->node.file, at, l2,
					 q->cluster_size);
	}
	pthread_mutex_unlock(&q->lock);
	return error;
}

/* The L2 table itself, or the entry of L1 that refers to it. */
static int change_own(struct walk *walk, struct qcow2_table *l1, uint32_t i)
{
	struct qcow2 *q = walk->q;
	uint64_t at = l1->entry[i] & QCOW2_OFFSET;
	int error;

	pthread_mutex_lock(&q->lock);
	if (walk->way == QCOW2_FLAGS || walk->way == QCOW2_UNFLAG)
		error = right_flag(q, at, walk->way, &l1->entry[i]);
	else
		error = count_range(walk, at, q->cluster_size);
	pthread_mutex_unlock(&q->lock);
	return error;
}

static int change_tree(struct walk *walk, struct qcow2_table *l1)
{
	struct qcow2 *q = walk->q;
	uint8_t *l2 = malloc(q->cluster_size);
	int error = l2 ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < l1->entries && !error; i++) {
		uint64_t at = l1->entry[i] & QCOW2_OFFSET;

		if (!at)
			continue;
		if (at & (q->cluster_size - 1))
			error = -EUCLEAN;
		if (!error)
			error = change_l2(walk, at, l2);
		if (!error)
			error = change_own(walk, l1, i);
		if (!error)
			error = relieve(q);
	}
	free(l2);
	return error;
}

int qcow2_tree_change(struct qcow2 *q, struct qcow2_table *l1,
		      enum qcow2_way way)
{
	struct walk walk = { .q = q, .way = way, .limit = UINT64_MAX };
	int error = change_tree(&walk, l1);

	if (error && way == QCOW2_RAISE) {
		struct walk back = { .q = q, .way = QCOW2_LOWER,
				     .limit = walk.done };

		(void)change_tree(&back, l1);
	}
	return error;
}

int qcow2_tree_place(struct qcow2 *q, struct qcow2_table *l1)
{
	uint64_t size = l1->entries * 8ull, clusters, at;
	int error = 0;

	clusters = qcow2_round_up(size, q->cluster_size) >>
		   q->header.cluster_bits;
	l1->at = 0;
	if (!clusters)
		return 0;
	pthread_mutex_lock(&q->lock);
	error = qcow2_alloc_all(q, clusters, &at);
	if (!error)
		l1->at = at;
	if (!error)
		error = qcow2_table_write(l1, q->node.file, l1->at);
	if (!error)
		error = qcow2_tables_add(q, l1->at, size);
	pthread_mutex_unlock(&q->lock);
	return error;
}
