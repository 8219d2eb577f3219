/* SPDX-License-Identifier: Apache-2.0
 *
 * Page tables of 64-bit guests: the boot map is the first 4 GiB, supervisor
 * only but for the .user sections; guests map at MAP_BASE and above.
 */
#ifndef GUEST_MAP_H
#define GUEST_MAP_H

#include "lib.h"

enum {
	PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_PWT = 8, PTE_PCD = 0x10,
	PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100,
};
#define PTE_NX	 (1ULL << 63)
#define PTE_ADDR 0x000ffffffffff000ULL

/* Nothing is mapped here at the start. */
#define MAP_BASE 0x8000000000ULL

/* Bits of a page fault's error code. */
enum {
	PFE_P = 1, PFE_W = 2, PFE_U = 4, PFE_RSVD = 8, PFE_I = 16,
};

extern u64 boot_pml4[512], boot_pt0[512];

/* A zeroed page of the pool; fails the guest when it is used up. */
void *page_alloc(void);
/*
 * The entry that maps `va` at a level (1: 4 KiB, 2: 2 MiB, 3: 1 GiB, 4: its
 * PML4 entry), with the tables above it made on the way (P, W and U set).
 */
u64 *pte_of(u64 va, int level);
/* Writes the entry and invalidates the address. */
void map_page(u64 va, int level, u64 pte);
/* Sets and clears bits of the 4 KiB entry of a page of the image. */
void image_page_bits(const void *p, u64 set, u64 clear);

#endif
