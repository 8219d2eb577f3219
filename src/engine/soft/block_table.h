/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept blocks by hash, with open addressing. An entry holds the hash beside
 * the block's place, so a look-up touches the memory of hardly any block but
 * the one that it finds: there are tens of thousands of them, and most
 * look-ups are for code that is not kept.
 */
#ifndef LODGE_ENGINE_SOFT_BLOCK_TABLE_H
#define LODGE_ENGINE_SOFT_BLOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_table {
	/* 0: never used; lower half 0: taken out; else upper half: hash, lower
	 * half: a block's place, not 0. */
	uint64_t *entry;
	uint32_t mask; /* entries, less 1 */
	uint32_t used; /* what was taken out included */
};

/* For `size` bytes of blocks and host code. -ENOMEM. */
int block_table_init(struct block_table *table, size_t size);
void block_table_fini(struct block_table *table);

/* Has entries for `size` bytes from now on. Without memory for them it stays
 * as it is, which will be full. */
void block_table_grow(struct block_table *table, size_t size);

/* Forgets all. */
void block_table_empty(struct block_table *table);

/* There is no room for another one. */
static inline bool block_table_is_full(const struct block_table *table)
{
	return table->used >= table->mask - table->mask / 4;
}

/* There must be room for it. */
void block_table_add(struct block_table *table, uint32_t hash, uint32_t place);

/*
 * Places with this hash: begins with *at = 0; gives 0 when there are no more.
 */
static inline uint32_t block_table_next(const struct block_table *table,
					uint32_t hash, uint32_t *at)
{
	for (;;) {
		uint64_t entry = table->entry[(hash + (*at)++) & table->mask];

		if (!entry)
			return 0;
		if (entry >> 32 == hash && (uint32_t)entry)
			return (uint32_t)entry;
	}
}

/* Takes out what block_table_next() has just given. */
static inline void block_table_drop(struct block_table *table, uint32_t hash,
				    uint32_t at)
{
	table->entry[(hash + at - 1) & table->mask] = (uint64_t)1 << 32;
}

#endif
