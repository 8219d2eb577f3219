/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot code and data in global and other pages while CR3 is written all the
 * time: pages that are not global follow CR3 at once, global ones INVLPG and
 * CR4.PGE, large global ones INVLPG of any address in them.
 */
#include "map.h"

static u64 local = MAP_BASE, global = MAP_BASE + 0x200000;
static u64 large = MAP_BASE + 0x40000000;
static u8 page[2][4096] __page;
static u64 second_pml4[512] __page;
static ulong cr3[2];

static u32 call(u64 at)
{
	u32 a;

	asm volatile("call *%1" : "=a"(a) : "r"(at) : "memory");
	return a;
}

static u32 load(u64 at)
{
	return *(volatile u32 *)at;
}

/* mov eax, v; ret */
static void put_mov(u8 *at, u32 v)
{
	u8 mov[] = { 0xb8, v, v >> 8, v >> 16, v >> 24, 0xc3 };

	memcpy(at, mov, sizeof(mov));
	memcpy(at + 2048, &v, 4);
}

static u64 pte(u32 i, u64 bits)
{
	return (ulong)page[i] | PTE_P | PTE_W | bits;
}

static void load_cr3(u32 i)
{
	write_cr3(cr3[i & 1]);
}

/* `local` leads to page 0 under one CR3, to page 1 under the other. */
static void make_second(void)
{
	u64 *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc();
	u64 *first_l3;

	map_page(local, 1, pte(0, 0));
	map_page(global, 1, pte(0, PTE_G));
	map_page(large, 2, 0);
	memcpy(second_pml4, boot_pml4, sizeof(second_pml4));
	first_l3 = (u64 *)(boot_pml4[local >> 39 & 511] & PTE_ADDR);
	memcpy(l3, first_l3, 4096);
	memcpy(l2, (u64 *)(first_l3[local >> 30 & 511] & PTE_ADDR), 4096);
	second_pml4[local >> 39 & 511] = (ulong)l3 | PTE_P | PTE_W;
	l3[local >> 30 & 511] = (ulong)l2 | PTE_P | PTE_W;
	l2[local >> 21 & 511] = (ulong)l1 | PTE_P | PTE_W;
	l1[local >> 12 & 511] = pte(1, 0);
	cr3[0] = read_cr3();
	cr3[1] = (ulong)second_pml4;
}

static void both_kinds(void)
{
	for (u32 i = 0; i < 400; i++) {
		u32 want = i / 40 & 1;

		load_cr3(i);
		if (i % 40 == 0)
			map_page(global, 1, pte(want, PTE_G));
		check("local code", call(local), 100 + (i & 1));
		check("global code", call(global), 100 + want);
		check("local data", load(local + 2048), 100 + (i & 1));
		check("global data", load(global + 2048), 100 + want);
		check("local code again", call(local), 100 + (i & 1));
	}
}

/* A page that was global and is not any more, and the other way round. */
static void change_kind(void)
{
	for (u32 i = 0; i < 200; i++) {
		u32 now = i & 1;

		map_page(global, 1, pte(now, PTE_G));
		check("global", call(global), 100 + now);
		map_page(global, 1, pte(now, 0));
		check("no longer global", call(global), 100 + now);
		check("its data", load(global + 2048), 100 + now);
		*pte_of(global, 1) = pte(!now, 0);
		load_cr3(i);
		check("behind CR3", call(global), 100 + !now);
		check("its data behind CR3", load(global + 2048), 100 + !now);
	}
	load_cr3(0);
}

static void switch_pge(void)
{
	map_page(global, 1, pte(0, PTE_G));
	for (u32 i = 0; i < 100; i++) {
		check("before", call(global), 100 + (i & 1));
		*pte_of(global, 1) = pte(!(i & 1), PTE_G);
		write_cr4(read_cr4() ^ 1UL << 7);
		check("behind CR4.PGE", call(global), 100 + !(i & 1));
		/* without PGE the bit means nothing */
		if (!(i & 1)) {
			*pte_of(global, 1) = pte(0, PTE_G);
			load_cr3(i);
			check("PGE off", call(global), 100);
			*pte_of(global, 1) = pte(1, PTE_G);
			load_cr3(i);
			check("PGE off again", call(global), 101);
		}
	}
}

static void large_page(void)
{
	u64 frame = (ulong)page[0] & ~0x1fffffUL;
	u64 at = large + ((ulong)page[0] & 0x1fffff);
	u64 *e = pte_of(large, 2);

	for (u32 i = 0; i < 60; i++) {
		*e = frame | PTE_P | PTE_W | PTE_PS | PTE_G;
		invlpg((void *)large);
		load_cr3(i);
		check("large", call(at), 100);
		check("large data", load(at + 2048), 100);
		load_cr3(i);
		*e = 0;
		invlpg((void *)(large + 0x1ff000));
		CATCH("call *%0", ::"r"(at) : "rax", "memory");
		check_vector("no large code", PF, PFE_I);
		check("its address", caught.cr2, at);
		CATCH("mov (%0), %%eax", ::"r"(at + 2048) : "rax", "memory");
		check_pf("no large data", 0, at + 2048);
	}
	load_cr3(0);
}

void guest_main(void)
{
	need(1, 3, 13, "global pages");
	put_mov(page[0], 100);
	put_mov(page[1], 101);
	make_second();
	write_cr4(read_cr4() | 1UL << 7);
	both_kinds();
	change_kind();
	large_page();
	switch_pge();
}
