/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame of 32-bit protected mode: no SS:ESP without a change of level,
 * both with one; 32-bit and 16-bit gates; no alignment. Intel SDM vol. 3A
 * section 6.12.1, figure 6-4.
 */
#include "lib.h"

u16 frame16[3];
ulong sp16;

asm(".globl gate16\ngate16:\n"
    "	push %eax\n"
    "	mov 4(%esp), %eax; mov %eax, frame16\n"
    "	mov 8(%esp), %ax; mov %ax, frame16 + 4\n"
    "	lea 4(%esp), %eax; mov %eax, sp16\n"
    "	pop %eax\n"
    "	iretw");
extern u8 gate16[];

static __user ulong user_ud(ulong arg)
{
	asm volatile(".globl at_ud\nat_ud: ud2");
	return arg;
}
extern u8 at_ud[];

void guest_main(void)
{
	ulong sp;

	for (int off = 0; off < 4; off++) {
		CATCH("sub %1, %%esp; mov %%esp, %0; ud2", : "=&r"(sp)
		      : "r"(off + 64) : "memory");
		check_vector("#UD", UD, 0);
		check("ESP behind the frame", caught.sp, sp);
		check("CS in the frame", caught.cs, SEL_CODE);
	}
	user_call(user_ud, 0);
	check_vector("#UD in ring 3", UD, 0);
	check("its EIP", caught.ip, (ulong)at_ud);
	check("its CS", caught.cs, SEL_USER_CODE);
	check("its SS", caught.ss, SEL_USER_DATA);
	check("its frame is on ESP0", caught.frame_top,
	      (ulong)ring0_stack[0] + sizeof(ring0_stack[0]));

	/* a 16-bit gate pushes words and has offsets of 16 bits */
	gdt[SEL_FREE / 8] = seg_desc(0x100000, 0xffff, 0x9a, 4);
	idt_set(0x40, (ulong)gate16 - 0x100000, SEL_FREE, 0x86, 0);
	asm volatile("mov %%esp, %0\n"
		     "	ljmp %1, $1f - 0x100000\n"
		     "1:	stc; int $0x40\n"
		     ".globl after16\nafter16:\n"
		     "	ljmp $8, $2f\n2:"
		     : "=&r"(sp) : "i"(SEL_FREE) : "memory", "cc");
	extern u8 after16[];

	check("16-bit gate: IP", frame16[0], (ulong)after16 - 0x100000);
	check("16-bit gate: CS", frame16[1], SEL_FREE);
	check("16-bit gate: FLAGS.CF", frame16[2] & FL_CF, FL_CF);
	check("16-bit gate: size of the frame", sp - sp16, 6);
}
