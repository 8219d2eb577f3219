/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded buffer of little-endian table bytes; see table.h. */
#include "board/table.h"

#include "vm/bytes.h"

void table_init(struct table *table, void *data, uint32_t size, uint64_t base)
{
	*table = (struct table){ .data = data, .size = size, .base = base };
}

void table_bytes(struct table *table, const void *bytes, uint32_t count)
{
	if (count > table->size - table->used) {
		table->overflow = true;
		return;
	}
	memcpy(table->data + table->used, bytes, count);
	table->used += count;
}

static void put(struct table *table, uint64_t value, uint32_t count)
{
	uint8_t bytes[8];

	for (uint32_t i = 0; i < count; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	table_bytes(table, bytes, count);
}

void table_u8(struct table *table, uint8_t value)
{
	put(table, value, 1);
}

void table_u16(struct table *table, uint16_t value)
{
	put(table, value, 2);
}

void table_u32(struct table *table, uint32_t value)
{
	put(table, value, 4);
}

void table_u64(struct table *table, uint64_t value)
{
	put(table, value, 8);
}

void table_zero(struct table *table, uint32_t count)
{
	while (count--)
		put(table, 0, 1);
}

void table_align(struct table *table, uint32_t align)
{
	table_zero(table, -table->used & (align - 1));
}

void table_text(struct table *table, const char *text, uint32_t count, char pad)
{
	while (count--)
		table_u8(table, (uint8_t)(*text ? *text++ : pad));
}

static void overwrite(struct table *table, uint32_t offset, uint32_t value,
		      uint32_t count)
{
	if (count > table->used || offset > table->used - count)
		return;
	for (uint32_t i = 0; i < count; i++)
		table->data[offset + i] = (uint8_t)(value >> (8 * i));
}

void table_put_u8(struct table *table, uint32_t offset, uint8_t value)
{
	overwrite(table, offset, value, 1);
}

void table_put_u32(struct table *table, uint32_t offset, uint32_t value)
{
	overwrite(table, offset, value, 4);
}

uint8_t table_checksum(const struct table *table, uint32_t from, uint32_t count)
{
	uint8_t sum = 0;

	for (uint32_t i = from; i < from + count && i < table->used; i++)
		sum += table->data[i];
	return (uint8_t)-sum;
}

void table_pointer(struct table *table, uint32_t size, uint32_t offset)
{
	struct table_links *links = table->links;

	if (links && links->pointers < TABLE_LINKS_MAX) {
		links->pointer[links->pointers].at = table->used;
		links->pointer[links->pointers++].size = size;
	} else if (links) {
		table->overflow = true;
	}
	put(table, table->base + offset, size);
}

void table_sum(struct table *table, uint32_t at, uint32_t from,
	       uint32_t count)
{
	struct table_links *links = table->links;

	if (links && links->sums < TABLE_LINKS_MAX) {
		links->sum[links->sums].at = at;
		links->sum[links->sums].from = from;
		links->sum[links->sums++].count = count;
	} else if (links) {
		table->overflow = true;
	}
	if (!links)
		table_put_u8(table, at, table_checksum(table, from, count));
}
