/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of physical memory that every boot protocol hands over, in the
 * form of the BIOS call that gave it its name (ACPI 6.4, section 15).
 */
#ifndef LODGE_BOARD_E820_H
#define LODGE_BOARD_E820_H

#include <stdbool.h>
#include <stdint.h>

#define E820_RAM      1u
#define E820_RESERVED 2u

#define E820_MAX 8

struct e820_entry {
	uint64_t base;
	uint64_t size;
	uint32_t type;
};

struct e820 {
	struct e820_entry entry[E820_MAX]; /* sorted, no overlaps */
	unsigned int count;
};

/* The map of a machine with `memory` bytes (see board.h). */
void e820_build(struct e820 *map, uint64_t memory);

/* End of the RAM that starts at 1 MiB; 1 MiB when there is none. */
uint64_t e820_high_end(const struct e820 *map);

/* Whether all of [base, base + size) is RAM. Overflow-safe. */
bool e820_is_ram(const struct e820 *map, uint64_t base, uint64_t size);

#endif
