/* SPDX-License-Identifier: Apache-2.0
 *
 * The interrupt stack table: an entry of 1..7 always switches the stack, also
 * without a change of level and when the old one cannot be used; the frame
 * holds the old SS:RSP. Intel SDM vol. 3A section 6.14.5.
 */
#include "lib.h"

void guest_main(void)
{
	ulong sp, bad = 0x4000000000;

	for (int ist = 1; ist < 8; ist++) {
		trap_default_ist(UD, ist);
		CATCH("mov %%rsp, %0; ud2", : "=r"(sp)::"memory");
		check("#UD", caught.vector, UD);
		check("the handler's stack", caught.frame_top,
		      (ulong)ist_stack[ist] + sizeof(ist_stack[0]));
		check("RSP in the frame", caught.sp, sp);
		check("SS in the frame", caught.ss, SEL_DATA);
	}

	/* the stack is aligned to 16 bytes before the frame is pushed */
	tss[0].ist[2] -= 8;
	trap_default_ist(UD, 2);
	CATCH("ud2", ::: "memory");
	check("frame of a misaligned entry", caught.frame_top,
	      tss[0].ist[2] - 8);

	/* no stack at all: #PF needs its own to be delivered */
	trap_default_ist(PF, 1);
	CATCH("mov %0, %%rsp; push %%rax; nop", ::"r"(bad) : "memory");
	check_vector("push to no page", PF, 2);
	check("CR2", caught.cr2, 0x4000000000 - 8);
	check("RSP in the frame", caught.sp, 0x4000000000);

	/* ... and without one it becomes #DF, which has one */
	trap_stub_restore(PF);
	trap_default_ist(DF, 4);
	CATCH("mov %0, %%rsp; push %%rax; nop", ::"r"(bad) : "memory");
	check_vector("push to no page, no stack for #PF", DF, 0);
	check("#DF's stack", caught.frame_top,
	      (ulong)ist_stack[4] + sizeof(ist_stack[0]));
}
