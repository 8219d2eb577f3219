/* SPDX-License-Identifier: Apache-2.0
 *
 * 16-bit protected mode: default sizes of code and stack, both overridden by
 * prefixes, SP wraps within the 16-bit stack and ESP's upper half stays.
 * Intel SDM vol. 3A section 3.4.5 (D/B), vol. 1 section 3.6.
 */
#include "lib.h"

asm(".pushsection .low16, \"awx\"; .code16\n"
    "prot16:\n"
    "	mov $0x40, %ax; mov %ax, %ss; mov %ax, %ds\n"
    "	mov $0x56788000, %esp\n"
    "	mov $0x11112222, %eax\n"
    "	push %ax; mov %esp, out_sp\n"
    "	push %eax; mov %esp, out_sp + 4\n"
    "	pop %eax; pop %ax\n"
    "	mov $0xffff0000, %ecx\n"
    "	mov $0x56780002, %esp\n"
    "	push %ax; push %ax; mov %esp, out_sp + 8\n"
    "	mov %sp, %bx; mov (%bx), %dx; mov %dx, out_wrap\n"
    "	mov $0x7000, %esp\n"
    "	call near1\n"
    "near1:	pop %ax; sub $near1, %ax; mov %ax, out_call\n"
    "	mov $0xffff1000, %eax; mov $0x1234, %bx\n"
    "	add %bx, %ax; mov %eax, out_add\n"
    "	mov $3, %cx; mov $0, %dx\n"
    "1:	inc %dx; loop 1b\n"
    "	mov %dx, out_loop\n"
    "	addr32 mov 0x100000, %eax\n"
    "	mov %eax, out_end\n"
    "	ljmpl $8, $prot16_back\n"
    "out_sp: .long 0, 0, 0\nout_wrap: .word 0\nout_call: .word 1\n"
    "out_add: .long 0\nout_loop: .word 0\nout_end: .long 0\n"
    ".code32; .popsection\n"
    "prot16_back:\n"
    "	mov $0x10, %eax; mov %eax, %ds; mov %eax, %ss\n"
    "	mov saved_sp, %esp; popa; ret\n"
    "enter16: pusha; mov %esp, saved_sp; ljmp $0x38, $prot16\n");
extern u32 out_sp[3], out_add;
extern u16 out_wrap, out_call, out_loop;
void enter16(void);
ulong saved_sp;

void guest_main(void)
{
	/* the 16-bit segment may reach beyond 64 KiB for the 32-bit address */
	gdt[SEL_DATA16 / 8] = seg_desc(0, 0x1ff, 0x92, 8);
	enter16();
	check("push of a word", out_sp[0], 0x56787ffe);
	check("push of a doubleword", out_sp[1], 0x56787ffa);
	check("SP wraps", out_sp[2], 0x5678fffe);
	check("the word at the wrap", out_wrap, 0x2222);
	check("near call", out_call, 0);
	check("add leaves the upper half", out_add, 0xffff2234);
	check("LOOP uses CX", out_loop, 3);
}
