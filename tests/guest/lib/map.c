/* SPDX-License-Identifier: Apache-2.0
 *
 * Page tables of 64-bit guests (Intel SDM vol. 3A, section 4.5).
 */
#include "map.h"

static u8 pool[24][4096] __page;
static unsigned int pool_used;
extern u8 user_start[], user_end[];

void map_init(void);

void *page_alloc(void)
{
	if (pool_used == array_size(pool))
		fail("out of pages");
	memset(pool[pool_used], 0, 4096);
	return pool[pool_used++];
}

u64 *pte_of(u64 va, int level)
{
	u64 *table = boot_pml4;

	for (int l = 4;; l--) {
		u64 *e = &table[va >> (12 + 9 * (l - 1)) & 511];

		if (l == level)
			return e;
		if (!(*e & PTE_P))
			*e = (ulong)page_alloc() | PTE_P | PTE_W | PTE_U;
		table = (u64 *)(*e & PTE_ADDR);
	}
}

void map_page(u64 va, int level, u64 pte)
{
	*pte_of(va, level) = pte;
	invlpg((void *)va);
}

void image_page_bits(const void *p, u64 set, u64 clear)
{
	u64 *e = &boot_pt0[(ulong)p >> 12 & 511];

	*e = (*e | set) & ~clear;
	invlpg(p);
}

void map_init(void)
{
	for (u8 *p = user_start; p < user_end; p += 4096)
		image_page_bits(p, PTE_U, 0);
}
