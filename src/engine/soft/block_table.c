/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of kept blocks; its shape is in block_table.h.
 */
#include "engine/soft/block_table.h"

#include "vm/bytes.h"
#include "vm/error.h"
#include "vm/host.h"

/* Bytes of blocks and host code that there is an entry for. */
#define SHARE 256u

#define ENTRIES_MIN 1024u
#define ENTRIES_MAX (1u << 24)

static uint32_t entries_for(size_t size)
{
	uint32_t n = ENTRIES_MIN;

	while (n < ENTRIES_MAX && n < size / SHARE)
		n *= 2;
	return n;
}

int block_table_init(struct block_table *table, size_t size)
{
	uint32_t n = entries_for(size);

	table->mask = n - 1;
	table->used = 0;
	table->entry = host_alloc(n * sizeof(*table->entry));
	return table->entry ? 0 : -VM_ENOMEM;
}

void block_table_fini(struct block_table *table)
{
	host_free(table->entry);
}

void block_table_empty(struct block_table *table)
{
	memset(table->entry, 0, (table->mask + 1) * sizeof(*table->entry));
	table->used = 0;
}

void block_table_add(struct block_table *table, uint32_t hash, uint32_t place)
{
	uint64_t *entry = &table->entry[hash & table->mask];
	uint32_t at = hash;

	while ((uint32_t)*entry)
		entry = &table->entry[++at & table->mask];
	if (!*entry)
		table->used++;
	*entry = (uint64_t)hash << 32 | place;
}

void block_table_grow(struct block_table *table, size_t size)
{
	struct block_table old = *table;

	if (entries_for(size) - 1 <= old.mask ||
	    block_table_init(table, size)) {
		*table = old;
		return;
	}
	for (uint32_t i = 0; i <= old.mask; i++)
		if ((uint32_t)old.entry[i])
			block_table_add(table, (uint32_t)(old.entry[i] >> 32),
					(uint32_t)old.entry[i]);
	block_table_fini(&old);
}
