/* SPDX-License-Identifier: Apache-2.0
 *
 * Translations are renewed by INVLPG, a load of CR3, and for global ones a
 * change of CR4.PGE; global ones may outlive CR3 loads. Intel SDM vol. 3A
 * sections 4.10.2.4 and 4.10.4.1.
 */
#include "map.h"

static u8 first[4096] __page, second[4096] __page;

static u8 load(u64 va)
{
	return *(volatile u8 *)va;
}

void guest_main(void)
{
	u64 va = MAP_BASE, *e = pte_of(va, 1);
	u64 a = (ulong)first | PTE_P | PTE_W, b = (ulong)second | PTE_P | PTE_W;
	u8 seen;

	need(1, 3, 13, "global pages");
	first[0] = 1;
	second[0] = 2;
	map_page(va, 1, a);
	check("first", load(va), 1);
	map_page(va, 1, b);
	check("INVLPG", load(va), 2);
	*e = a;
	write_cr3(read_cr3());
	check("load of CR3", load(va), 1);

	write_cr4(read_cr4() | 1UL << 7);
	map_page(va, 1, b | PTE_G);
	check("global", load(va), 2);
	map_page(va, 1, a | PTE_G);
	check("INVLPG of a global page", load(va), 1);
	*e = b | PTE_G;
	write_cr3(read_cr3());
	seen = load(va);
	check_range("old or new after a load of CR3", seen, 1, 2);
	write_cr4(read_cr4() & ~(1UL << 7));
	check("CR4.PGE off", load(va), 2);
	*e = a | PTE_G;
	write_cr4(read_cr4() | 1UL << 7);
	check("CR4.PGE on", load(va), 1);
	*e = b;
	invlpg((void *)(va + 4095));
	check("INVLPG of another offset", load(va), 2);

	/* a page that was not present needs no invalidation */
	map_page(va, 1, 0);
	CATCH("mov (%0), %%eax", ::"r"(va) : "rax", "memory");
	check_pf("not present", 0, va);
	*e = a;
	check("present without INVLPG", load(va), 1);
	/* nor does one that becomes writable, after a fault */
	map_page(va, 1, a & ~(u64)PTE_W);
	check("read-only", load(va), 1);
	CATCH("movb $1, (%0)", ::"r"(va) : "memory");
	check_pf("read-only", PFE_P | PFE_W, va);
	*e = a;
	invlpg((void *)va);
	CATCH("movb $1, (%0)", ::"r"(va) : "memory");
	check_no_trap("writable");
	/* INVLPG of a non-canonical address does nothing */
	CATCH("invlpg (%0)", ::"r"(1ULL << 63) : "memory");
	check_no_trap("INVLPG non-canonical");
}
