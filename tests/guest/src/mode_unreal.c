/* SPDX-License-Identifier: Apache-2.0
 *
 * "Unreal" mode: limits loaded in protected mode stay in real mode, also when
 * the register is loaded there; without them an offset beyond 64 KiB gives
 * #GP (#SS for the stack). Intel SDM vol. 3A section 9.9.2.
 */
#include "lib.h"

asm(".pushsection .low16, \"awx\"; .code16\n"
    "unreal:\n"
    "	movw $fault, 13 * 4; movw $0, 13 * 4 + 2\n"
    "	movw $fault, 12 * 4; movw $0, 12 * 4 + 2\n"
    /* limit 64 KiB first */
    "	mov $0x100000, %ebx\n"
    "	movw $0, faults\n"
    "	mov (%ebx), %eax; nop\n"
    "	mov faults, %ax; mov %ax, faults_small\n"
    "	mov $0x20000, %ebp\n"
    "	mov (%ebp), %ax\n"
    "	mov faults, %ax; mov %ax, faults_ss\n"
    "	mov $0xffff, %ebx\n"
    "	mov (%bx), %ax; nop; nop\n"
    "	mov faults, %ax; mov %ax, faults_word\n"
    /* to protected mode and back with big limits in DS and ES */
    "	lgdtl gdt_ptr_low\n"
    "	mov %cr0, %eax; or $1, %al; mov %eax, %cr0\n"
    "	mov $0x10, %bx; mov %bx, %ds; mov %bx, %es\n"
    "	and $0xfe, %al; mov %eax, %cr0\n"
    "	ljmp $0, $1f\n"
    "1:	xor %ax, %ax; mov %ax, %ds\n"
    "	mov $0x20, %ax; mov %ax, %es\n"
    "	movw $0, faults\n"
    "	mov $0x100000, %ebx\n"
    "	mov (%ebx), %eax; mov %eax, value\n"
    "	mov %es:-0x200(%ebx), %eax; mov %eax, value_es\n"
    "	mov faults, %ax; mov %ax, faults_big\n"
    /* limits of 64 KiB again */
    "	mov %cr0, %eax; or $1, %al; mov %eax, %cr0\n"
    "	mov $0x40, %bx; mov %bx, %ds; mov %bx, %es\n"
    "	and $0xfe, %al; mov %eax, %cr0\n"
    "	xor %ax, %ax; mov %ax, %ds; mov %ax, %es\n"
    "	ret\n"
    /* every faulting instruction here has 4 bytes, with its NOPs */
    "fault:	push %bp; mov %sp, %bp; push %ds; push $0; pop %ds\n"
    "	incw faults\n"
    "	addw $4, 2(%bp); pop %ds; pop %bp; iret\n"
    ".balign 4\n"
    "gdt_ptr_low: .word 0xff; .long gdt\n"
    "faults: .word 0\nfaults_small: .word 0\nfaults_ss: .word 0\n"
    "faults_word: .word 0\nfaults_big: .word 0\n"
    "value: .long 0\nvalue_es: .long 0\n"
    ".code32; .popsection");
extern u8 unreal[];
extern u16 faults_small, faults_ss, faults_word, faults_big;
extern u32 value, value_es;

void guest_main(void)
{
	real_call((ulong)unreal);
	if (!tcg_differs("checks no segment limits")) {
		check("offset 1 MiB, limit 64 KiB", faults_small, 1);
		check("stack offset 128 KiB", faults_ss, 2);
		check("word at offset 0xffff", faults_word, 3);
	}
	check("faults with limits of 4 GiB", faults_big, 0);
	check("read through DS", value, *(volatile u32 *)0x100000);
	check("read through ES, reloaded", value_es,
	      *(volatile u32 *)0x100000);
}
