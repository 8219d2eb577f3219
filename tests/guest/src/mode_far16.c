/* SPDX-License-Identifier: Apache-2.0
 *
 * Far transfers of real mode: CALL, JMP and RET with and without a count,
 * direct and through memory, 16-bit and 32-bit offsets, IRET. Intel SDM
 * vol. 2 CALL, JMP, RET, IRET.
 */
#include "lib.h"

asm(".pushsection .low16, \"awx\"; .code16\n"
    "far_main:\n"
    "	mov %sp, sp_before\n"
    "	lcall $0x7f0, $sub1 - 0x7f00\n"
    "ret1:	mov %ax, seen_cs\n"
    "	mov %bx, seen_ip\n"
    "	mov %cx, seen_ret_cs\n"
    "	push $0x1111; push $0x2222\n"
    "	movw $sub2 - 0x7ff0, fp; movw $0x7ff, fp + 2\n"
    "	lcall *fp\n"
    "	mov %ax, seen_arg\n"
    "	mov %sp, sp_after\n"
    "	movl $sub3 - 0x7e00, fp; movw $0x7e0, fp + 4\n"
    "	lcalll *fp\n"
    "	mov %eax, seen32\n"
    "	ljmp $0x7d0, $jumped - 0x7d00\n"
    "back:	pushf; push $0; push $iret1; iret\n"
    "	movw $1, bad\n"
    "iret1:	mov %sp, sp_end\n"
    "	ret\n"
    "sub1:	mov %cs, %ax; mov %sp, %bp; mov (%bp), %bx; mov 2(%bp), %cx\n"
    "	lret\n"
    "sub2:	mov %sp, %bp; mov 6(%bp), %ax; lret $4\n"
    "sub3:	mov %esp, %ebp; mov (%ebp), %eax; lretl\n"
    "jumped: mov %cs, %ax; mov %ax, seen_jmp\n"
    "	ljmp $0, $back\n"
    "fp: .long 0, 0\n"
    "sp_before: .word 0\nsp_after: .word 0\nsp_end: .word 0\n"
    "seen_cs: .word 0\nseen_ip: .word 0\nseen_ret_cs: .word 9\n"
    "seen_arg: .word 0\nseen32: .long 0\nseen_jmp: .word 0\nbad: .word 0\n"
    ".code32; .popsection");
extern u8 far_main[], ret1[];
extern u16 sp_before, sp_after, sp_end, seen_cs, seen_ip, seen_ret_cs;
extern u16 seen_arg, seen_jmp, bad;
extern u32 seen32;

void guest_main(void)
{
	real_call((ulong)far_main);
	check("CS in a far call", seen_cs, 0x7f0);
	check("IP pushed", seen_ip, (ulong)ret1);
	check("CS pushed", seen_ret_cs, 0);
	check("argument under the far frame", seen_arg, 0x1111);
	check("SP after RETF 4", sp_after, sp_before);
	check_range("EIP pushed by a 32-bit far call", seen32, (ulong)ret1,
		    0xffff);
	check("CS after a far jump", seen_jmp, 0x7d0);
	check("SP after IRET", sp_end, sp_before);
	check("IRET missed", bad, 0);
}
