/* SPDX-License-Identifier: Apache-2.0
 *
 * SMAP: ring 0 must not read or write user pages unless AC is set; implicit
 * accesses never may; STAC and CLAC. Intel SDM vol. 3A section 4.6.1.
 */
#include "map.h"

static u8 target[4096] __page;
static __user_data u64 ldt[1] = { 0x00cf93000000ffff };

static __user ulong user_stac(ulong arg)
{
	asm volatile(".globl at_stac\nat_stac: stac");
	return arg;
}
extern u8 at_stac[];

static void touch(const char *what, u64 va, bool faults)
{
	CATCH("movb (%0), %%al", ::"r"(va) : "rax", "memory");
	if (faults)
		check_pf(what, PFE_P, va);
	else
		check_no_trap(what);
	CATCH("movb $1, (%0)", ::"r"(va) : "memory");
	if (faults)
		check_pf(what, PFE_P | PFE_W, va);
	else
		check_no_trap(what);
}

void guest_main(void)
{
	u64 va = MAP_BASE;

	need(7, 1, 20, "SMAP");
	map_page(va, 1, (ulong)target | PTE_P | PTE_W | PTE_U);
	touch("SMAP off", va, false);
	write_cr4(read_cr4() | 1UL << 21);
	touch("SMAP on, AC clear", va, true);
	asm volatile("stac" ::: "memory");
	check("STAC", read_flags() & FL_AC, FL_AC);
	touch("SMAP on, AC set", va, false);

	/* an implicit supervisor access: a descriptor in a user page */
	gdt[SEL_FREE / 8] = seg_desc((u32)(ulong)ldt, sizeof(ldt) - 1, 0x82, 0);
	asm volatile("lldt %w0" ::"r"(SEL_FREE));
	if (!tcg_differs("lets implicit accesses pass with AC")) {
		CATCH("mov %0, %%fs", ::"r"(4) : "memory");
		check_pf("descriptor in a user page, AC set", PFE_P,
			 (ulong)ldt);
	}
	asm volatile("clac" ::: "memory");
	check("CLAC", read_flags() & FL_AC, 0);
	touch("SMAP on, AC clear again", va, true);
	asm volatile("stac" ::: "memory");
	user_call(user_stac, 0);
	asm volatile("clac" ::: "memory");
	check_vector("STAC in ring 3", UD, 0);
	check("its RIP", caught.ip, (ulong)at_stac);
	write_cr4(read_cr4() & ~(1UL << 21));
	touch("SMAP off again", va, false);
}
