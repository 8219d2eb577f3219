/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2's tables that are in memory as a whole, L1 and refcount table, and the
 * set of clusters that hold tables.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

#define SECTOR_ENTRIES 64u /* 512 bytes: what a disk writes as one */
#define SET_LEAST      64u

/* --- tables ----------------------------------------------------------------- */

int qcow2_table_make(struct qcow2_table *table, uint32_t entries)
{
	size_t sectors = entries / SECTOR_ENTRIES + 1;

	*table = (struct qcow2_table){ .entries = entries };
	table->entry = calloc((size_t)entries + 1, sizeof(*table->entry));
	table->dirty = calloc(sectors / 64 + 1, sizeof(*table->dirty));
	if (table->entry && table->dirty)
		return 0;
	qcow2_table_free(table);
	return -ENOMEM;
}

void qcow2_table_free(struct qcow2_table *table)
{
	free(table->entry);
	free(table->dirty);
	*table = (struct qcow2_table){ 0 };
}

int qcow2_table_load(struct qcow2_table *table, struct disk_node *file,
		     uint64_t at, uint32_t entries)
{
	int error = qcow2_table_make(table, entries);

	if (error)
		return error;
	table->at = at;
	if (entries)
		error = qcow2_read_padded(file, at, table->entry,
					  (size_t)entries * 8);
	for (uint32_t i = 0; i < entries; i++)
		table->entry[i] = be64toh(table->entry[i]);
	if (error)
		qcow2_table_free(table);
	return error;
}

void qcow2_table_set(struct qcow2_table *table, uint32_t index, uint64_t value)
{
	uint32_t sector = index / SECTOR_ENTRIES;

	table->entry[index] = value;
	table->dirty[sector / 64] |= 1ull << sector % 64;
	table->any_dirty = true;
}

int qcow2_table_write(const struct qcow2_table *table, struct disk_node *file,
		      uint64_t at)
{
	uint64_t part[SECTOR_ENTRIES * 8];
	int error = 0;

	for (uint32_t i = 0; i < table->entries && !error;) {
		uint32_t count = table->entries - i;

		if (count > SECTOR_ENTRIES * 8)
			count = SECTOR_ENTRIES * 8;
		for (uint32_t j = 0; j < count; j++)
			part[j] = htobe64(table->entry[i + j]);
		error = disk_write_bytes(file, at + (uint64_t)i * 8, part,
					 (size_t)count * 8);
		i += count;
	}
	return error;
}

/* --- the set ---------------------------------------------------------------- */

static uint64_t slot_of(const struct qcow2_set *set, uint64_t key)
{
	return (key * 0x9e3779b97f4a7c15ull >> 20) & (set->room - 1);
}

/* The slot that has `key`, or the free one where it would be. */
static uint64_t find_slot(const struct qcow2_set *set, uint64_t key)
{
	uint64_t slot = slot_of(set, key);

	while (set->key[slot] && set->key[slot] != key)
		slot = (slot + 1) & (set->room - 1);
	return slot;
}

static int set_grow(struct qcow2_set *set)
{
	struct qcow2_set bigger = { .count = set->count,
				    .room = set->room ? set->room * 2
						      : SET_LEAST };

	bigger.key = calloc(bigger.room, sizeof(*bigger.key));
	if (!bigger.key)
		return -ENOMEM;
	for (uint64_t i = 0; i < set->room; i++)
		if (set->key[i])
			bigger.key[find_slot(&bigger, set->key[i])] =
				set->key[i];
	free(set->key);
	*set = bigger;
	return 0;
}

int qcow2_set_add(struct qcow2_set *set, uint64_t cluster)
{
	uint64_t slot;

	if (set->count * 2 >= set->room && set_grow(set))
		return -ENOMEM;
	slot = find_slot(set, cluster + 1);
	set->count += !set->key[slot];
	set->key[slot] = cluster + 1;
	return 0;
}

bool qcow2_set_has(const struct qcow2_set *set, uint64_t cluster)
{
	return set->room && set->key[find_slot(set, cluster + 1)];
}

static void qcow2_set_remove(struct qcow2_set *set, uint64_t cluster)
{
	uint64_t hole, slot, mask = set->room - 1;

	if (!qcow2_set_has(set, cluster))
		return;
	hole = find_slot(set, cluster + 1);
	set->count--;
	/* Those behind that would not be found with a hole before them move
	 * up. */
	for (slot = (hole + 1) & mask; set->key[slot];
	     slot = (slot + 1) & mask) {
		uint64_t home = slot_of(set, set->key[slot]);

		if (((slot - home) & mask) < ((slot - hole) & mask))
			continue;
		set->key[hole] = set->key[slot];
		hole = slot;
	}
	set->key[hole] = 0;
}

int qcow2_tables_add(struct qcow2 *q, uint64_t at, uint64_t length)
{
	unsigned int bits = q->header.cluster_bits;
	uint64_t end = qcow2_round_up(at + length, q->cluster_size) >> bits;

	for (uint64_t c = at >> bits; c < end; c++)
		if (qcow2_set_add(&q->tables, c))
			return -ENOMEM;
	return 0;
}

void qcow2_tables_remove(struct qcow2 *q, uint64_t at, uint64_t length)
{
	unsigned int bits = q->header.cluster_bits;
	uint64_t end = qcow2_round_up(at + length, q->cluster_size) >> bits;

	for (uint64_t c = at >> bits; c < end; c++)
		qcow2_set_remove(&q->tables, c);
}
