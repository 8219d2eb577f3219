/* SPDX-License-Identifier: Apache-2.0
 *
 * Expand-down segments: valid above the limit, up to 64 KiB or 4 GiB by the B
 * flag. Intel SDM vol. 3A section 5.3.
 */
#include "lib.h"

static void access(const char *what, u32 off, u32 vector)
{
	CATCH("movw %%fs:(%0), %%ax", ::"r"(off) : "eax", "memory");
	check_trap(what, vector, 0);
}

void guest_main(void)
{
	/* base so that the top of 64 KiB lies in memory that exists */
	gdt[SEL_FREE / 8] = seg_desc(0x200000, 0xfff, 0x96, 0);
	asm volatile("mov %0, %%fs" ::"r"(SEL_FREE));
	access("B 0: at 0", 0, GP);
	access("B 0: at the limit", 0xffe, GP);
	access("B 0: half below", 0xfff, GP);
	access("B 0: first above", 0x1000, NONE);
	access("B 0: last word", 0xfffe, NONE);
	access("B 0: half above 64 KiB", 0xffff, GP);
	access("B 0: above 64 KiB", 0x10000, GP);

	gdt[SEL_FREE / 8] = seg_desc(0x200000, 0xfff, 0x96, 4);
	asm volatile("mov %0, %%fs" ::"r"(SEL_FREE));
	access("B 1: at the limit", 0xffe, GP);
	access("B 1: first above", 0x1000, NONE);
	access("B 1: above 64 KiB", 0x10000, NONE);
	access("B 1: last word, wrapping the base", 0xfffffffe, NONE);
	access("B 1: beyond 4 GiB", 0xffffffff, GP);

	gdt[SEL_FREE / 8] = seg_desc(0x200000, 1, 0x96, 0xc);
	asm volatile("mov %0, %%fs" ::"r"(SEL_FREE));
	access("G 1: at the limit", 0x1ffe, GP);
	access("G 1: first above", 0x2000, NONE);

	asm volatile("movw %0, %%fs:0x2000" ::"r"((u16)0x5555)
		     : "memory");
	check("base is added", *(volatile u16 *)0x202000, 0x5555);
}
