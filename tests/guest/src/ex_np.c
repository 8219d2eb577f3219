/* SPDX-License-Identifier: Apache-2.0
 *
 * #NP: a segment that is not present, with its selector (and TI) as error
 * code; a gate that is not present, with its vector. Intel SDM vol. 3A
 * sections 6.13 and 6.15 (interrupt 11).
 */
#include "lib.h"

static u64 ldt[4];

void guest_main(void)
{
	u16 ldt_sel = SEL_FREE + 0x10;

	gdt[SEL_FREE / 8] = seg_desc(0, 0xfffff, 0x12, 0xc);
	CATCH("mov %0, %%ds", ::"r"(SEL_FREE) : "memory");
	check_trap("mov to DS, data not present", NP, SEL_FREE);
	CATCH("mov %0, %%fs", ::"r"(SEL_FREE | 3) : "memory");
	check_trap("the error code has no RPL", GP, SEL_FREE);
	gdt[SEL_FREE / 8] = seg_desc(0, 0xfffff, 0x72, 0xc);
	CATCH("mov %0, %%fs", ::"r"(SEL_FREE | 3) : "memory");
	check_trap("mov to FS, data not present", NP, SEL_FREE);

	gdt[SEL_FREE / 8] = seg_desc(0, 0xfffff, 0x1a, 0xa);
	CATCH("push %0; push $0; lretq", ::"r"((ulong)SEL_FREE) : "memory");
	check_vector("far return, code not present", NP, SEL_FREE);

	gdt[ldt_sel / 8] = seg_desc((u32)(ulong)ldt, sizeof(ldt) - 1, 2, 0);
	gdt[ldt_sel / 8 + 1] = 0;
	CATCH("lldt %w0", ::"r"(ldt_sel) : "memory");
	check_trap("LLDT, not present", NP, ldt_sel);
	gdt[ldt_sel / 8] |= 1ULL << 47;
	CATCH("lldt %w0", ::"r"(ldt_sel) : "memory");
	check_no_trap("LLDT");
	ldt[2] = seg_desc(0, 0xfffff, 0x12, 0xc);
	CATCH("mov %0, %%es", ::"r"(0x14) : "memory");
	check_trap("mov to ES through the LDT, not present", NP, 0x14);
	asm volatile("lldt %w0" ::"r"(0));

	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_CODE, 0x0e, 0);
	if (tcg_differs("doubles the vector in error codes of long mode"))
		return;
	CATCH("int $0x40", ::: "memory");
	check_trap("INT, gate not present", NP, 0x40 * 8 + 2);
}
