/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame of long mode: SS and RSP are always pushed, RSP is aligned to 16
 * first, from ring 3 the stack is RSP0; flags on entry. Intel SDM vol. 3A
 * sections 6.12.1.3 and 6.14.
 */
#include "lib.h"

static volatile ulong entry_flags;

static void look(struct frame *f)
{
	entry_flags = read_flags();
	user_leave(f->flags);
}

static __user ulong user_ud(ulong arg)
{
	asm volatile("stc; std; mov %0, %%rcx; .globl at_ud\nat_ud: ud2" ::"r"(
		arg));
	return 0;
}
extern u8 at_ud[];

void guest_main(void)
{
	ulong sp;

	for (int off = 0; off < 16; off++) {
		CATCH("sub %1, %%rsp; mov %%rsp, %0; ud2", : "=&r"(sp)
		      : "r"((ulong)off + 256) : "memory");
		check_vector("#UD", UD, 0);
		check("RSP in the frame", caught.sp, sp);
		check("SS in the frame", caught.ss, SEL_DATA);
		check("CS in the frame", caught.cs, SEL_CODE);
		check("the frame's end", caught.frame_top, sp & ~15UL);
	}

	user_call(user_ud, 0x1234);
	check_vector("#UD in ring 3", UD, 0);
	check("its RIP", caught.ip, (ulong)at_ud);
	check("its CS", caught.cs, SEL_USER_CODE);
	check("its SS", caught.ss, SEL_USER_DATA);
	check("its RSP", caught.sp,
	      (ulong)user_stack + sizeof(user_stack) - 8);
	check("its frame is on RSP0", caught.frame_top,
	      (ulong)ring0_stack[0] + sizeof(ring0_stack[0]));
	check("its DF and CF", caught.flags & (FL_DF | FL_CF), FL_DF | FL_CF);
	check("its registers", caught.regs.cx, 0x1234);

	trap_hook_set(UD, look);
	user_call_flags(user_ud, 0, FL_IF | FL_NT | 2);
	check("IF, NT, TF, RF on entry",
	      entry_flags & (FL_IF | FL_NT | FL_TF | FL_RF), 0);
}
