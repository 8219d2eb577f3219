/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of L2 tables and refcount blocks, in slices: 32 MiB at most, and
 * more only while that much is being written. A clock hand looks for slices
 * to use again; dirty ones wait for a flush, which the writers see to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

#define CACHE_BYTES (32u << 20)
#define SLICE_BYTES 4096u

int qcow2_cache_init(struct qcow2_cache *cache, uint32_t cluster_size)
{
	*cache = (struct qcow2_cache){ 0 };
	cache->size = cluster_size < SLICE_BYTES ? cluster_size : SLICE_BYTES;
	cache->limit = CACHE_BYTES / cache->size;
	cache->buckets = cache->limit;
	cache->hash = calloc(cache->buckets, sizeof(*cache->hash));
	return cache->hash ? 0 : -ENOMEM;
}

void qcow2_cache_free(struct qcow2_cache *cache)
{
	for (unsigned int i = 0; i < cache->count; i++) {
		free(cache->slices[i]->bytes);
		free(cache->slices[i]);
	}
	free(cache->slices);
	free(cache->hash);
	*cache = (struct qcow2_cache){ 0 };
}

int qcow2_read_padded(struct disk_node *file, uint64_t at, void *buf,
		      size_t size)
{
	uint64_t end = file->size;
	uint64_t there = at < end ? end - at : 0;

	if (there > size)
		there = size;
	memset((uint8_t *)buf + there, 0, size - there);
	return there ? disk_read_bytes(file, at, buf, there) : 0;
}

static struct qcow2_slice **bucket(struct qcow2_cache *cache, uint64_t at)
{
	return &cache->hash[(at / cache->size) & (cache->buckets - 1)];
}

static struct qcow2_slice *look_up(struct qcow2_cache *cache, uint64_t at)
{
	struct qcow2_slice *slice = *bucket(cache, at);

	while (slice && slice->at != at)
		slice = slice->next;
	return slice;
}

static void unhash(struct qcow2_cache *cache, struct qcow2_slice *slice)
{
	struct qcow2_slice **link = bucket(cache, slice->at);

	while (*link != slice)
		link = &(*link)->next;
	*link = slice->next;
	cache->dirty -= slice->dirty;
	slice->at = 0;
	slice->dirty = slice->used = false;
}

static struct qcow2_slice *add_slice(struct qcow2_cache *cache)
{
	struct qcow2_slice *slice, **slices;

	if (cache->count == cache->room) {
		unsigned int room = cache->room ? cache->room * 2 : 64;

		slices = realloc(cache->slices, room * sizeof(*slices));
		if (!slices)
			return NULL;
		cache->slices = slices;
		cache->room = room;
	}
	slice = calloc(1, sizeof(*slice));
	if (!slice)
		return NULL;
	slice->bytes = aligned_alloc(cache->size, cache->size);
	if (!slice->bytes) {
		free(slice);
		return NULL;
	}
	cache->slices[cache->count++] = slice;
	return slice;
}

/* A slice that holds nothing; NULL without memory. */
static struct qcow2_slice *take_slice(struct qcow2_cache *cache)
{
	if (cache->count < cache->limit)
		return add_slice(cache);
	for (unsigned int turn = 0; turn < 2 * cache->count; turn++) {
		struct qcow2_slice *slice;

		cache->hand = (cache->hand + 1) % cache->count;
		slice = cache->slices[cache->hand];
		if (slice->dirty || slice->writing)
			continue;
		if (slice->used) {
			slice->used = false;
			continue;
		}
		if (slice->at)
			unhash(cache, slice);
		return slice;
	}
	return add_slice(cache);
}

int qcow2_cache_get(struct qcow2 *q, uint64_t at, bool counts,
		    unsigned int flags, struct qcow2_slice **slice)
{
	struct qcow2_cache *cache = &q->cache;
	struct qcow2_slice *found, **link;
	int error;

	at &= ~(uint64_t)(cache->size - 1);
	found = look_up(cache, at);
	if (found && found->counts != counts)
		return qcow2_is_corrupt(q);
	if (!found) {
		if (flags & DISK_NOWAIT)
			return -EAGAIN;
		found = take_slice(cache);
		if (!found)
			return -ENOMEM;
		error = qcow2_read_padded(q->node.file, at, found->bytes,
					  cache->size);
		if (error)
			return error;
		found->at = at;
		found->counts = counts;
		link = bucket(cache, at);
		found->next = *link;
		*link = found;
	}
	found->used = true;
	*slice = found;
	return 0;
}

void qcow2_cache_dirty(struct qcow2 *q, struct qcow2_slice *slice)
{
	q->cache.dirty += !slice->dirty;
	slice->dirty = true;
}

void qcow2_cache_forget(struct qcow2 *q, uint64_t at, uint64_t length)
{
	struct qcow2_slice *slice;

	for (uint64_t end = at + length; at < end; at += q->cache.size) {
		slice = look_up(&q->cache, at);
		if (slice)
			unhash(&q->cache, slice);
	}
}
