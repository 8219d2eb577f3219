/* SPDX-License-Identifier: Apache-2.0
 *
 * PUSHA, POPA, PUSH of ESP, PUSH of segment registers, POP to memory
 * addressed by ESP, with both operand sizes. Intel SDM vol. 2.
 */
#include "lib.h"

u32 regs_out[8], sp_before, sp_after;
u16 words_out[8];

void guest_main(void)
{
	u32 a, b, before, after;

	asm volatile("mov %%esp, sp_before; push %%ebx; push %%ebp\n\t"
		     "mov $0x11111111, %%eax; mov $0x22222222, %%ecx\n\t"
		     "mov $0x33333333, %%edx; mov $0x44444444, %%ebx\n\t"
		     "mov $0x55555555, %%ebp; mov $0x66666666, %%esi\n\t"
		     "mov $0x77777777, %%edi\n\t"
		     "pusha\n\t"
		     "xor %%eax, %%eax; xor %%edi, %%edi; xor %%ebp, %%ebp\n\t"
		     "pop regs_out; pop regs_out + 4; pop regs_out + 8\n\t"
		     "pop regs_out + 12; pop regs_out + 16\n\t"
		     "pop regs_out + 20; pop regs_out + 24\n\t"
		     "pop regs_out + 28\n\t"
		     "sub $32, %%esp; movl $0x99999999, 12(%%esp)\n\t"
		     "popa\n\t"
		     "mov %%eax, words_out; mov %%edi, words_out + 4\n\t"
		     "mov %%ebp, words_out + 8\n\t"
		     "pop %%ebp; pop %%ebx; mov %%esp, sp_after"
		     ::: "eax", "ecx", "edx", "esi", "edi", "memory");
	check("EDI", regs_out[0], 0x77777777);
	check("ESI", regs_out[1], 0x66666666);
	check("EBP", regs_out[2], 0x55555555);
	check("ESP before", regs_out[3], sp_before - 8);
	check("EBX", regs_out[4], 0x44444444);
	check("EDX", regs_out[5], 0x33333333);
	check("ECX", regs_out[6], 0x22222222);
	check("EAX", regs_out[7], 0x11111111);
	check("ESP after POPA", sp_after, sp_before);
	check("EAX popped", *(u32 *)&words_out[0], 0x11111111);
	check("EDI popped", *(u32 *)&words_out[2], 0x77777777);
	check("EBP popped", *(u32 *)&words_out[4], 0x55555555);

	asm volatile("mov $0xaaaabbbb, %%eax; pushaw; popw %%dx\n\t"
		     "addl $12, %%esp; popw %%cx\n\t"
		     "movzwl %%cx, %0; movzwl %%dx, %1"
		     : "=&r"(a), "=&r"(b) : "D"(0x12345678)
		     : "eax", "ecx", "edx", "memory");
	check("AX of PUSHAW", a, 0xbbbb);
	check("DI of PUSHAW", b, 0x5678);

	asm volatile("mov %%esp, %1; push %%esp; pop %0" : "=&r"(a), "=&r"(b));
	check("PUSH ESP pushes the old value", a, b);
	/* the address counts after the pop: this writes over 0x4321 */
	asm volatile("mov %%esp, %1; push $0x4321; push $0x55\n\t"
		     "popl (%%esp); mov %%esp, %2; pop %0"
		     : "=&r"(a), "=&r"(before), "=&r"(after)::"memory");
	check("POP to (%esp)", a, 0x55);
	check("ESP behind it", before - after, 4);
	asm volatile("mov %%esp, %1; push $-1; push %%ds\n\t"
		     "mov %%esp, %2; pop %0; add $4, %%esp"
		     : "=&r"(a), "=&r"(before), "=&r"(after)::"memory");
	check("PUSH DS", a & 0xffff, SEL_DATA);
	check("its size", before - after, 8);
	asm volatile("mov %%esp, %1; pushw %%ds; mov %%esp, %2; popw %w0"
		     : "=&r"(a), "=&r"(before), "=&r"(after)::"memory");
	check("PUSHW DS", a & 0xffff, SEL_DATA);
	check("its size", before - after, 2);
}
