/* SPDX-License-Identifier: Apache-2.0
 *
 * CR0.WP: ring 0 may write read-only pages without it and faults with it,
 * whatever level says read-only. Intel SDM vol. 3A section 4.6.1.
 */
#include "map.h"

static u8 target[4096] __page;

static void store(const char *what, u64 va, bool faults)
{
	CATCH("movb $1, (%0)", ::"r"(va) : "memory");
	if (faults)
		check_pf(what, PFE_P | PFE_W, va);
	else
		check_no_trap(what);
}

void guest_main(void)
{
	u64 va = MAP_BASE + 8;

	map_page(va, 1, (ulong)target | PTE_P | PTE_W);
	store("writable", va, false);
	for (int user = 0; user < 2; user++) {
		for (int level = 1; level < 5; level++) {
			u64 *e = pte_of(va, level);

			*e = (*e & ~(u64)PTE_W) | (user ? PTE_U : 0);
			invlpg((void *)va);
			CATCH("mov (%0), %%eax", ::"r"(va) : "rax", "memory");
			check_no_trap("reading");
			store("read-only, WP on", va, true);
			write_cr0(read_cr0() & ~(1UL << 16));
			store("read-only, WP off", va, false);
			write_cr0(read_cr0() | 1UL << 16);
			store("read-only, WP on again", va, true);
			*e |= PTE_W;
			invlpg((void *)va);
		}
	}
	store("writable again", va, false);
}
