/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ROM over RAM: a region of memory of which guests see something else, as a
 * chipset has it that leads reads to its firmware's ROM and writes to memory,
 * or to nothing. Covers change while processors run, like views of device
 * memory (memory_view.h), and are settled like those. The region stays what it
 * is; loaders and dirty logging know it by itself.
 *
 * Everything here is called with the device lock held, or before the machine
 * runs.
 */
#ifndef LODGE_VM_MEMORY_COVER_H
#define LODGE_VM_MEMORY_COVER_H

#include "vm/memory.h"

/*
 * Fills `cover` with ROM to be seen in place of the region that begins at
 * `base`: as many bytes at guest address `rom`, if they lie in a region, else
 * nothing, which reads as ones. Guests' writes reach the region, with
 * `through`, or nothing. The cover is kept and must not change any more.
 * -ENOENT: no such region; -ENOSPC, -ENOMEM.
 */
int memory_cover_init(struct memory *mem, struct memory_region *cover,
		      gpa_t base, gpa_t rom, bool through);

/* Has guests see `cover`, or with NULL the region that begins at `base`. */
void memory_cover(struct memory *mem, gpa_t base,
		  const struct memory_region *cover);

#endif
