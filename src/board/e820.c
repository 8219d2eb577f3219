/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The physical memory map (ACPI 6.4, section 15). What lies between the RAM
 * entries and is not named (the VGA window, the hole from the end of low RAM
 * on) is free for devices.
 */
#include "board/e820.h"

#include "board/layout.h"
#include "vm/memory.h"

static void add(struct e820 *map, uint64_t base, uint64_t end, uint32_t type)
{
	if (end <= base)
		return;
	bug_on(map->count == E820_MAX);
	map->entry[map->count++] = (struct e820_entry){
		.base = base,
		.size = end - base,
		.type = type,
	};
}

void e820_build(struct e820 *map, uint64_t memory)
{
	uint64_t low = memory < MEMORY_LOW_MAX ? memory : MEMORY_LOW_MAX;

	map->count = 0;
	add(map, 0, LAYOUT_EBDA, E820_RAM);
	add(map, LAYOUT_EBDA, LAYOUT_LOW_END, E820_RESERVED);
	add(map, LAYOUT_TABLES, LAYOUT_ROM_END, E820_RESERVED);
	add(map, LAYOUT_HIGH, low, E820_RAM);
	add(map, LAYOUT_ECAM, LAYOUT_PCI, E820_RESERVED);
	add(map, LAYOUT_IOAPIC, LAYOUT_4G, E820_RESERVED);
	add(map, LAYOUT_4G, LAYOUT_4G + (memory - low), E820_RAM);
}

uint64_t e820_high_end(const struct e820 *map)
{
	for (unsigned int i = 0; i < map->count; i++) {
		const struct e820_entry *e = &map->entry[i];

		if (e->type == E820_RAM && e->base == LAYOUT_HIGH)
			return e->base + e->size;
	}
	return LAYOUT_HIGH;
}

bool e820_is_ram(const struct e820 *map, uint64_t base, uint64_t size)
{
	for (unsigned int i = 0; i < map->count; i++) {
		const struct e820_entry *e = &map->entry[i];

		if (e->type == E820_RAM && base >= e->base &&
		    base - e->base <= e->size &&
		    size <= e->size - (base - e->base))
			return true;
	}
	return false;
}
