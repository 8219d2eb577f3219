/* SPDX-License-Identifier: Apache-2.0
 *
 * #GP and its error codes: selectors, vectors beyond the IDT, control and
 * model specific registers, alignment of SSE operands, instruction length.
 * Intel SDM vol. 3A section 6.15 (interrupt 13), sections 2.5 and 6.13.
 */
#include "lib.h"

static u8 buf[32] __attribute__((aligned(16)));

static void selectors(void)
{
	asm volatile("lldt %w0" ::"r"(0));
	CATCH("mov %0, %%ds", ::"r"(0x1000) : "memory");
	check_trap("mov to DS, beyond the GDT", GP, 0x1000);
	CATCH("mov %0, %%ds", ::"r"(0x1003) : "memory");
	check_trap("the same with RPL 3", GP, 0x1000);
	CATCH("mov %0, %%ds", ::"r"(0x14) : "memory");
	check_trap("mov to DS, LDT without one", GP, 0x14);
	CATCH("mov %0, %%ds", ::"r"(SEL_TSS) : "memory");
	check_trap("mov to DS, a TSS", GP, SEL_TSS);
	CATCH("ltr %w0", ::"r"(SEL_DATA) : "memory");
	check_trap("LTR, a data segment", GP, SEL_DATA);
	CATCH("ltr %w0", ::"r"(SEL_TSS) : "memory");
	check_trap("LTR, busy", GP, SEL_TSS);
	CATCH("push $0x10; push $0; lretq", ::: "memory");
	check_vector("far return to data", GP, 0x10);
	CATCH("push $0; push $0; lretq", ::: "memory");
	check_vector("far return to null", GP, 0);
	if (tcg_differs("loads a null TR"))
		return;
	CATCH("ltr %w0", ::"r"(0) : "memory");
	check_trap("LTR, null", GP, 0);
}

static void vectors(void)
{
	struct desc_ptr small = { 0x20 * 16 - 1, (ulong)idt };

	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_DATA, 0x8e, 0);
	CATCH("int $0x40", ::: "memory");
	check_vector("INT, gate to a data segment", GP, SEL_DATA);
	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_CODE32, 0x8e, 0);
	CATCH("int $0x40", ::: "memory");
	check_vector("INT, gate to a 32-bit segment", GP, SEL_CODE32);
	idt_set(0x40, (ulong)trap_stubs[0x40], 0, 0x8e, 0);
	CATCH("int $0x40", ::: "memory");
	check_vector("INT, gate to null", GP, 0);
	if (tcg_differs("doubles the vector in error codes of long mode"))
		return;
	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_CODE, 0x85, 0);
	CATCH("int $0x40", ::: "memory");
	check_trap("INT, task gate in long mode", GP, 0x40 * 8 + 2);
	asm volatile("lidt %0" ::"m"(small));
	CATCH("int $0x20", ::: "memory");
	check_trap("INT beyond the IDT", GP, 0x20 * 8 + 2);
	asm volatile("lidt %0" ::"m"(idt_ptr));
}

static void control(void)
{
	ulong cr0 = read_cr0(), cr4 = read_cr4();

	if (tcg_differs("takes any value for control registers"))
		return;
	CATCH("mov %0, %%cr4", ::"r"(cr4 | 1 << 15) : "memory");
	check_trap("CR4 reserved bit", GP, 0);
	CATCH("mov %0, %%cr4", ::"r"(cr4 & ~0x20UL) : "memory");
	check_trap("CR4.PAE off in long mode", GP, 0);
	CATCH("mov %0, %%cr0", ::"r"(cr0 & ~1UL) : "memory");
	check_trap("CR0.PE off with PG", GP, 0);
	CATCH("mov %0, %%cr0", ::"r"((cr0 | 1UL << 29) & ~(1UL << 30))
	      : "memory");
	check_trap("CR0.NW without CD", GP, 0);
	CATCH("mov %0, %%cr0", ::"r"(cr0 | 1UL << 32) : "memory");
	check_trap("CR0 bit 32", GP, 0);
	CATCH("mov %0, %%cr8", ::"r"(0x10UL) : "memory");
	check_trap("CR8 reserved bit", GP, 0);
	CATCH("wrmsr", ::"c"(MSR_EFER), "a"(0x2d01), "d"(1) : "memory");
	check_trap("EFER reserved bit", GP, 0);
	CATCH("wrmsr", ::"c"(MSR_LSTAR), "a"(0), "d"(0x8000) : "memory");
	check_trap("LSTAR non-canonical", GP, 0);
	CATCH("wrmsr", ::"c"(MSR_FS_BASE), "a"(0), "d"(0x8000) : "memory");
	check_trap("FS.base non-canonical", GP, 0);
}

static void operands(void)
{
	CATCH("movaps %0, %%xmm0", ::"m"(buf[4]) : "memory");
	check_trap("movaps unaligned", GP, 0);
	CATCH("movups %0, %%xmm0", ::"m"(buf[4]) : "memory");
	check_no_trap("movups unaligned");
	CATCH("addps %0, %%xmm0", ::"m"(buf[8]) : "memory");
	check_trap("addps unaligned", GP, 0);
	CATCH("fxsave %0", : "=m"(buf[8])::"memory");
	check_trap("fxsave unaligned", GP, 0);
	CATCH(".fill 14, 1, 0x66; nop", ::: "memory");
	check_no_trap("15 bytes of instruction");
	CATCH(".fill 15, 1, 0x66; nop", ::: "memory");
	check_trap("16 bytes of instruction", GP, 0);
	CATCH("jmp *%0", ::"r"(0x800000000000) : "memory");
	check_vector("jump to a non-canonical address", GP, 0);
}

void guest_main(void)
{
	selectors();
	vectors();
	control();
	operands();
}
