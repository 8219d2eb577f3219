/* SPDX-License-Identifier: Apache-2.0
 *
 * Error codes of 32-bit protected mode: segment loads by privilege, type and
 * presence, gates, IDT limit. Intel SDM vol. 3A sections 5.5, 5.6 and 6.13.
 */
#include "lib.h"

static void load(const char *what, int seg, u16 sel, u32 vector, u32 error)
{
	switch (seg) {
	case 'd':
		CATCH("mov %0, %%ds", ::"r"(sel) : "memory");
		break;
	case 's':
		CATCH("mov %0, %%ss", ::"r"(sel) : "memory");
		break;
	case 'c':
		CATCH("push %0; push $1f; lret; 1:", ::"r"((ulong)sel)
		      : "memory");
		break;
	}
	asm volatile("mov %0, %%ds; mov %0, %%ss" ::"r"(SEL_DATA) : "memory");
	check_vector(what, vector, error);
}

void guest_main(void)
{
	struct desc_ptr small = { 0x20 * 8 - 1, (ulong)idt };
	u16 s = SEL_FREE;

	asm volatile("lldt %w0" ::"r"(0));
	load("DS null", 'd', 0, NONE, 0);
	load("DS null with RPL", 'd', 3, NONE, 0);
	load("DS beyond the GDT", 'd', 0x1000, GP, 0x1000);
	load("DS, no LDT", 'd', 0x14, GP, 0x14);
	load("DS, a TSS", 'd', SEL_TSS, GP, SEL_TSS);
	load("DS, RPL 3 of DPL 0", 'd', SEL_DATA | 3, GP, SEL_DATA);
	load("DS, readable code", 'd', SEL_CODE, NONE, 0);
	gdt[s / 8] = seg_desc(0, 0xfffff, 0x98, 0xc);
	load("DS, code that cannot be read", 'd', s, GP, s);
	gdt[s / 8] = seg_desc(0, 0xfffff, 0x12, 0xc);
	load("DS, not present", 'd', s, NP, s);
	load("SS, not present", 's', s, SS, s);
	load("SS null", 's', 0, GP, 0);
	load("SS, read-only code", 's', SEL_CODE, GP, SEL_CODE);
	load("SS, RPL 3", 's', SEL_DATA | 3, GP, SEL_DATA);
	load("SS, DPL 3", 's', SEL_USER_DATA & ~3, GP, SEL_USER_DATA & ~3);
	gdt[s / 8] = seg_desc(0, 0xfffff, 0x90, 0xc);
	load("SS, read-only", 's', s, GP, s);
	load("CS, data", 'c', SEL_DATA, GP, SEL_DATA);
	load("CS null", 'c', 0, GP, 0);
	gdt[s / 8] = seg_desc(0, 0xfffff, 0x1a, 0xc);
	load("CS, not present", 'c', s, NP, s);
	gdt[s / 8] = seg_desc(0, 0xfffff, 0xfa, 0xc);
	load("CS, DPL 3 without RPL", 'c', s, GP, s);
	gdt[s / 8] = seg_desc(0, 0xfffff, 0x9e, 0xc);
	load("CS, conforming", 'c', s, NONE, 0);

	asm volatile("lidt %0" ::"m"(small));
	CATCH("int $0x20", ::: "memory");
	check_trap("INT beyond the IDT", GP, 0x20 * 8 + 2);
	asm volatile("lidt %0" ::"m"(idt_ptr));
	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_CODE, 0x0e, 0);
	CATCH("int $0x40", ::: "memory");
	check_trap("INT, gate not present", NP, 0x40 * 8 + 2);
	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_CODE, 0x8c, 0);
	CATCH("int $0x40", ::: "memory");
	check_trap("INT, a call gate", GP, 0x40 * 8 + 2);
	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_DATA, 0x8e, 0);
	CATCH("int $0x40", ::: "memory");
	check_vector("INT, gate to data", GP, SEL_DATA);
}
