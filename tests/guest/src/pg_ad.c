/* SPDX-License-Identifier: Apache-2.0
 *
 * Accessed and dirty bits: set by the access that uses the entry, at every
 * level (A) and in the last one (D); never by a faulting write; set also for
 * 2 MiB pages and by page-straddling accesses. Intel SDM vol. 3A section 4.8.
 */
#include "map.h"

static u8 target[4096] __page;

static void clear(u64 va, int leaf)
{
	for (int level = leaf; level < 5; level++)
		*pte_of(va, level) &= ~(u64)(PTE_A | (level == leaf ? PTE_D
								    : 0));
	write_cr3(read_cr3());
}

static void want(const char *what, u64 va, int leaf, bool a, bool d)
{
	for (int level = leaf; level < 5; level++) {
		u64 seen = *pte_of(va, level);

		check(what, !!(seen & PTE_A), a);
		if (level == leaf)
			check(what, !!(seen & PTE_D), d);
	}
}

void guest_main(void)
{
	u64 va = MAP_BASE + 0x5000, big = MAP_BASE + 0x200000;

	map_page(va, 1, (ulong)target | PTE_P | PTE_W);
	map_page(va + 0x1000, 1, (ulong)target | PTE_P | PTE_W);
	clear(va, 1);
	want("nothing yet", va, 1, false, false);
	asm volatile("movb (%0), %%al" ::"r"(va) : "rax", "memory");
	want("after a read", va, 1, true, false);
	asm volatile("movb %%al, (%0)" ::"r"(va) : "rax", "memory");
	want("after a write", va, 1, true, true);
	clear(va, 1);
	asm volatile("movb %%al, (%0)" ::"r"(va) : "rax", "memory");
	want("after a write at once", va, 1, true, true);
	clear(va, 1);
	asm volatile("lock; addb $0, (%0)" ::"r"(va) : "memory");
	want("after a locked addition of 0", va, 1, true, true);

	*pte_of(va, 1) &= ~(u64)PTE_W;
	clear(va, 1);
	CATCH("movb %%al, (%0)", ::"r"(va) : "memory");
	check_pf("write to a read-only page", PFE_P | PFE_W, va);
	check("its D", !!(*pte_of(va, 1) & PTE_D), 0);
	*pte_of(va, 1) |= PTE_W;

	clear(va, 1);
	clear(va + 0x1000, 1);
	asm volatile("movl %%eax, (%0)" ::"r"(va + 4094) : "memory");
	want("straddling write, first page", va, 1, true, true);
	want("straddling write, second page", va + 0x1000, 1, true, true);

	map_page(big, 2, 0x200000 | PTE_P | PTE_W | PTE_PS);
	clear(big, 2);
	asm volatile("movb 0x1234(%0), %%al" ::"r"(big) : "rax", "memory");
	want("2 MiB, after a read", big, 2, true, false);
	asm volatile("movb %%al, 0x1234(%0)" ::"r"(big) : "rax", "memory");
	want("2 MiB, after a write", big, 2, true, true);

	target[0] = 0xc3;
	clear(va, 1);
	asm volatile("call *%0" ::"r"(va) : "memory");
	want("after running it", va, 1, true, false);
}
