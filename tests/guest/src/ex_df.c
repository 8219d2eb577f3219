/* SPDX-License-Identifier: Apache-2.0
 *
 * Double fault: which pairs of exceptions make one, its error code 0, and
 * which are delivered one after the other. Intel SDM vol. 3A section 6.15
 * (interrupt 8), tables 6-4 and 6-5.
 */
#include "lib.h"

static void gate_gone(int vector)
{
	idt_set(vector, (ulong)trap_stubs[vector], SEL_CODE, 0x0e, 0);
}

void guest_main(void)
{
	volatile u32 *nowhere = (void *)0x4000000000;

	trap_default_ist(DF, 1);

	/* benign first: the second one is delivered */
	gate_gone(UD);
	CATCH("ud2", ::: "memory");
	check("#UD, then #NP", caught.vector, NP);
	trap_stub_restore(UD);

	/* contributory after contributory */
	gate_gone(GP);
	CATCH("mov %0, %%ds", ::"r"(0x1000) : "memory");
	check_vector("#GP, then #NP", DF, 0);
	gate_gone(DE);
	CATCH("div %%cl", ::"a"(1), "c"(0) : "memory");
	check_vector("#DE, then #NP", DF, 0);
	trap_stub_restore(DE);
	trap_stub_restore(GP);

	/* a page fault, then a contributory one */
	gate_gone(PF);
	CATCH("mov (%0), %%eax", ::"r"(nowhere) : "rax", "memory");
	check_vector("#PF, then #NP", DF, 0);
	check("CR2 has the first address", caught.cr2, (ulong)nowhere);
	trap_stub_restore(PF);

	/* a contributory one, then a page fault: served one by one */
	tss[0].ist[3] = 0x4000001000;
	trap_default_ist(GP, 3);
	CATCH("mov %0, %%ds", ::"r"(0x1000) : "memory");
	check_vector("#GP, then #PF", PF, 2);
	check("CR2", caught.cr2, 0x4000000ff8);
	trap_stub_restore(GP);

	/* page fault after page fault */
	trap_default_ist(PF, 3);
	CATCH("mov (%0), %%eax", ::"r"(nowhere) : "rax", "memory");
	check_vector("#PF, then #PF", DF, 0);
	check("CR2 has the second address", caught.cr2, 0x4000000ff8);
	trap_stub_restore(PF);

	/* INT n is benign, however its gate fails */
	gate_gone(0x40);
	CATCH("int $0x40", ::: "memory");
	check("INT, then #NP", caught.vector, NP);
}
