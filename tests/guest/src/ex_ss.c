/* SPDX-License-Identifier: Apache-2.0
 *
 * #SS: a stack segment that is not present (its selector), and stack accesses
 * at non-canonical addresses (0), against #GP for the other segments. Intel
 * SDM vol. 3A section 6.15 (interrupt 12), vol. 1 section 3.3.7.1.
 */
#include "lib.h"

void guest_main(void)
{
	ulong bad = 0x8000000000000000;

	gdt[SEL_FREE / 8] = seg_desc(0, 0xfffff, 0x12, 0xc);
	CATCH("mov %0, %%ss", ::"r"(SEL_FREE) : "memory");
	check_trap("mov to SS, not present", SS, SEL_FREE);
	gdt[SEL_FREE / 8] = seg_desc(0, 0xfffff, 0xf2, 0xc);
	CATCH("mov %0, %%ss", ::"r"(SEL_FREE) : "memory");
	check_trap("mov to SS, DPL 3", GP, SEL_FREE);
	gdt[SEL_FREE / 8] = seg_desc(0, 0xfffff, 0x90, 0xc);
	CATCH("mov %0, %%ss", ::"r"(SEL_FREE) : "memory");
	check_trap("mov to SS, read-only", GP, SEL_FREE);

	if (tcg_differs("gives #GP for the stack, too"))
		return;
	/* the handler gets a stack of its own; the old one comes back here */
	trap_default_ist(SS, 2);
	trap_default_ist(GP, 2);
	CATCH("xchg %%rbp, %0; mov (%%rbp), %%eax", : "+r"(bad)::"rax",
	      "memory");
	asm volatile("xchg %%rbp, %0" : "+r"(bad));
	check_vector("(%rbp) non-canonical", SS, 0);
	CATCH("mov (%0), %%eax", ::"r"(bad) : "rax", "memory");
	check_trap("(%reg) non-canonical", GP, 0);
	bad = 0x8000000000000000;
	CATCH("mov %0, %%rsp; push %%rax", ::"r"(bad) : "memory");
	check_vector("push with a non-canonical RSP", SS, 0);
	CATCH("mov %0, %%rsp; call . + 5", ::"r"(bad) : "memory");
	check_vector("call with a non-canonical RSP", SS, 0);
	CATCH("mov %0, %%rsp; pop %%rax", ::"r"(bad) : "rax", "memory");
	check_vector("pop with a non-canonical RSP", SS, 0);
	check("RSP in the frame", caught.sp, bad);
}
