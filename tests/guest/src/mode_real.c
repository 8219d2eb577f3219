/* SPDX-License-Identifier: Apache-2.0
 *
 * Real mode: segments are paragraphs, addresses reach 0x10ffef, INT goes
 * through the table at 0 and pushes three words, #DE and #UD too. Intel SDM
 * vol. 3A chapter 20.
 */
#include "lib.h"

extern u16 out_int[3], out_seg, out_flags, out_de_ip, out_div_ip, out_vector;
extern u8 real_main[];

asm(".pushsection .low16, \"awx\"; .code16\n"
    "real_main:\n"
    /* vectors 0x40 and 0 */
    "	movw $int40, 0x40 * 4; movw $0, 0x40 * 4 + 2\n"
    "	movw $int0, 0; movw $0, 2\n"
    "	movw $int6, 6 * 4; movw $0, 6 * 4 + 2\n"
    "	stc; sti; int $0x40; cli\n"
    /* 0x7e0:0x300 and 0:0x8100 are the same */
    "	mov $0x7e0, %ax; mov %ax, %es\n"
    "	movw $0x1234, %es:out_seg - 0x7e00\n"
    /* ffff:0010 is 1 MiB (A20 is on) */
    "	mov $0xffff, %ax; mov %ax, %fs\n"
    "	mov %fs:0x10, %eax; mov %eax, out_high\n"
    "	mov $1, %ax; xor %bl, %bl\n"
    "at_div: div %bl\n"
    "	nop\n"
    "at_ud: ud2\n"
    "	nop\n"
    "	smsw %ax; mov %ax, out_msw\n"
    "	ret\n"
    "int40:\n"
    "	mov %sp, %bp\n"
    "	mov (%bp), %ax; mov %ax, out_int\n"
    "	mov 2(%bp), %ax; mov %ax, out_int + 2\n"
    "	mov 4(%bp), %ax; mov %ax, out_int + 4\n"
    "	pushf; pop out_flags\n"
    "	iret\n"
    "int0:	mov %sp, %bp\n"
    "	mov (%bp), %ax; mov %ax, out_de_ip\n"
    "	addw $2, (%bp); iret\n"
    "int6:	mov %sp, %bp\n"
    "	mov (%bp), %ax; mov %ax, out_ud_ip\n"
    "	addw $2, (%bp); iret\n"
    "out_int: .word 0, 0, 0\n"
    "out_seg: .word 0\n"
    "out_flags: .word 0\n"
    "out_de_ip: .word 0\n"
    "out_ud_ip: .word 0\n"
    "out_msw: .word 0\n"
    "out_high: .long 0\n"
    ".code32; .popsection");
extern u8 at_div[], at_ud[];
extern u16 out_ud_ip, out_msw;
extern u32 out_high;

void guest_main(void)
{
	real_call((ulong)real_main);
	check("CS pushed by INT", out_int[1], 0);
	check_range("IP pushed by INT", out_int[0], (ulong)real_main, 0xffff);
	check("flags pushed by INT", out_int[2] & (FL_CF | FL_IF),
	      FL_CF | FL_IF);
	check("IF inside", out_flags & FL_IF, 0);
	check("write through ES", out_seg, 0x1234);
	check("ffff:0010", out_high, *(volatile u32 *)0x100000);
	check("IP of #DE", out_de_ip, (ulong)at_div);
	check("IP of #UD", out_ud_ip, (ulong)at_ud);
	check("PE in real mode", out_msw & 1, 0);
}
