/* SPDX-License-Identifier: Apache-2.0
 *
 * 4 KiB, 2 MiB and 1 GiB pages of 4-level paging translate every offset to
 * the right address. Intel SDM vol. 3A section 4.5.4.
 */
#include "map.h"

static u8 target[4096] __page;

static void same(const char *what, u64 va, void *p)
{
	volatile u32 *a = (void *)va, *b = p;

	*b = 0x11111111;
	check(what, *a, 0x11111111);
	*a = 0x22222222;
	check(what, *b, 0x22222222);
}

void guest_main(void)
{
	u64 va = MAP_BASE;

	map_page(va, 1, (ulong)target | PTE_P | PTE_W);
	same("4 KiB, first word", va, target);
	same("4 KiB, last word", va + 4092, target + 4092);

	va = MAP_BASE + 0x40000000;
	map_page(va, 2, 0x200000 | PTE_P | PTE_W | PTE_PS);
	same("2 MiB, first word", va, (void *)0x200000);
	same("2 MiB, middle", va + 0x123454, (void *)0x323454);
	same("2 MiB, last word", va + 0x1ffffc, (void *)0x3ffffc);
	same("2 MiB, across a 4 KiB line", va + 0x1ffe, (void *)0x201ffe);

	/* two that are not neighbours */
	map_page(va + 0x200000, 2, 0x600000 | PTE_P | PTE_W | PTE_PS);
	*(volatile u32 *)0x400000 = 0;
	*(volatile u64 *)(va + 0x1ffffc) = 0x5555555566666666;
	check("write across pages, low part", *(u32 *)0x3ffffc, 0x66666666);
	check("write across pages, high part", *(u32 *)0x600000, 0x55555555);
	check("not in the physical neighbour", *(u32 *)0x400000, 0);

	need(0x80000001, 3, 26, "1 GiB pages");
	va = MAP_BASE + 0x80000000;
	map_page(va, 3, PTE_P | PTE_W | PTE_PS);
	same("1 GiB, the image", va + (ulong)target, target);
	same("1 GiB, another", va + 0x2345678, (void *)0x2345678);
	map_page(va, 3, 0);
	CATCH("mov (%0), %%eax", ::"r"(va) : "rax", "memory");
	check_pf("gone", 0, va);
}
