/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot 16-bit code in real mode: segments that are loaded all the time, offsets
 * that wrap, the word at 0xffff that faults, SP that wraps, code that runs
 * under two values of CS, that is patched, and near calls of both sizes. Intel
 * SDM vol. 3A, 21.1.
 */
#include "lib.h"

asm(".pushsection .low16, \"awx\"; .code16\n"
    "real_main:\n"
    "	movw $int13, 13 * 4; movw $0, 13 * 4 + 2\n"
    /* words at 0xf000:0 - 0xffff; the last one faults */
    "	mov $0x1000, %ax; mov %ax, %es; xor %di, %di; mov $0x8000, %cx\n"
    "1:	mov %di, %ax; mov %ax, %es:(%di); add $2, %di; loop 1b\n"
    "	mov $0xf001, %bx; xor %dx, %dx\n"
    "1:\n"
    "at_word: add %es:(%bx), %dx; add $2, %bx; jmp 1b\n"
    "after_word: mov %dx, out_sum\n"
    /* [bp + si] wraps at 64 KiB; stack is not meant with ES */
    "	mov $0xfff0, %si; xor %dx, %dx; mov $500, %cx\n"
    "1:	mov $0x20, %bp; add %es:(%bp,%si), %dx; loop 1b\n"
    "	mov %dx, out_wrap\n"
    /* pushes through 0 */
    "	mov %sp, %si; mov %ss, %di; mov $0x1000, %ax; mov %ax, %ss\n"
    "	mov $8, %sp; mov $8000, %cx\n"
    "1:	push %cx; push %cx; pop %ax; pop %bx; sub %bx, %ax; push %cx\n"
    "	loop 1b\n"
    "	mov %sp, out_sp; mov %es:0, %ax; mov %es:0xfffe, %bx\n"
    "	mov %di, %ss; mov %si, %sp\n"
    "	mov %ax, out_top; mov %bx, out_top + 2\n"
    /* two segments by turns */
    "	mov $1000, %cx; xor %dx, %dx\n"
    "1:	mov $0x1000, %ax; mov %ax, %ds; add %ds:0x10, %dx\n"
    "	mov $0x1001, %ax; mov %ax, %ds; add %ds:0x10, %dx; loop 1b\n"
    "	xor %ax, %ax; mov %ax, %ds; mov %dx, out_turns\n"
    /* one place by two names: IP as CALL pushes it */
    "	mov $500, %cx\n"
    "1:	lcall $0, $where; mov %ax, out_ip\n"
    "	lcall $0x10, $where - 0x100; mov %ax, out_ip + 2; loop 1b\n"
    /* calls with 32-bit operands, and high bytes beside memory */
    "	mov $2000, %cx; xor %edx, %edx\n"
    "1:	calll wide; loop 1b\n"
    "	mov %edx, out_wide\n"
    /* patched while hot */
    "	xor %dx, %dx; mov $900, %cx\n"
    "1:	call patched; incb patched + 2; loop 1b\n"
    "	mov %dx, out_patched\n"
    "	ret\n"
    "wide:	mov %cl, %ah; mov %ah, out_byte; xor %al, %al\n"
    "	add out_byte, %al; movzx %ax, %eax; add %eax, %edx; retl\n"
    "patched: add $0, %dx; ret\n"
    "where:	call 2f\n"
    "2:	pop %ax; lret\n"
    /* the frame: goes on behind the loop */
    "int13:	mov %sp, %bp\n"
    "	mov (%bp), %ax; mov %ax, out_fault; mov %bx, out_at\n"
    "	movw $after_word, (%bp); iret\n"
    "out_sum: .word 0\nout_wrap: .word 0\nout_sp: .word 0\n"
    "out_top: .word 0, 0\nout_turns: .word 0\nout_ip: .word 0, 0\n"
    "out_patched: .word 0\nout_fault: .word 0\nout_at: .word 0\n"
    "out_byte: .byte 0, 0\n"
    ".balign 4\nout_wide: .long 0\n"
    ".code32; .popsection");
extern u8 real_main[], where[], at_word[];
extern u16 out_sum, out_wrap, out_sp, out_top[2], out_turns, out_ip[2];
extern u16 out_patched, out_fault, out_at;
extern u32 out_wide;

static u16 word_at(u32 offset)
{
	return *(volatile u16 *)(0x10000 + offset);
}

static void check_segments(void)
{
	u16 sum = 0;

	for (u32 i = 0xf001; i < 0xffff; i += 2)
		sum += (u16)(((i + 1) & 0xff) << 8 | (i - 1) >> 8);
	check("sum up to the segment's end", out_sum, sum);
	check("IP of the fault", out_fault, (ulong)at_word);
	check("its offset", out_at, 0xffff);
	check("offsets wrap", out_wrap, (u16)(500 * 0x10));
	check("two segments by turns", out_turns, (u16)(1000 * 0x30));
}

static void check_stack(void)
{
	check("SP", out_sp, (u16)(8 - 8000 * 2));
	check("pushed at 0", out_top[0], 7997);
	check("pushed at 0xfffe", out_top[1], 7996);
}

void guest_main(void)
{
	u32 wide = 0;
	u16 patched = 0;

	real_call((ulong)real_main);
	check_segments();
	check_stack();
	check("IP under CS 0", out_ip[0], (ulong)where + 3);
	check("IP under CS 0x10", out_ip[1], (ulong)where + 3 - 0x100);
	for (u32 i = 1; i <= 2000; i++)
		wide += (i & 0xff) << 8 | (i & 0xff);
	check("calls of 32 bits", out_wide, wide);
	for (u32 i = 0; i < 900; i++)
		patched += (u16)(signed char)i;
	check("patched code", out_patched, patched);
	check("memory is what was pushed", word_at(6), 8000);
}
