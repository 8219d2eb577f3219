/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot code below long mode: 32-bit code between stretches of 64-bit code,
 * which finds R8 to R15 as it left them and results zero-extended, the same
 * bytes run in both modes, a thread pointer in GS. Intel SDM vol. 1, 3.4.1.1.
 */
#include "lib.h"

#define ROUNDS 400

asm(".code32\n"
    "sum32:	push %ebx; push %ebp; mov %esp, %ebp\n"
    "	mov $1000, %ecx; xor %eax, %eax\n"
    "1:	mov %gs:4, %ebx; add %ebx, %eax; mov %gs:-4, %edx\n"
    "	call 2f; dec %ecx; jnz 1b\n"
    "	leave; pop %ebx; lret\n"
    "2:	push %edx; addl $1, (%esp); pop %edx; sub $1, %edx\n"
    "	add %dh, %al; ret\n"
    /* INC EAX, or a REX prefix: depends on the mode */
    "both:	mov $1000, %ecx; xor %eax, %eax\n"
    "1:	.byte 0x40; .byte 0x83, 0xc0, 0x01\n" /* (inc eax;) add eax, 1 */
    "	.byte 0x83, 0xe9, 0x01; jnz 1b\n"
    "	lret\n"
    ".code64\n");
extern u8 sum32[], both[];

static u32 words[1024] __page;
static struct {
	u32 offset;
	u16 selector;
} __packed far;

static ulong upper[8];

/* Far call with known values in R8 to R15, which are stored behind it. */
static ulong far_call(void *fn, u16 selector)
{
	ulong ax = ~0UL;

	far.offset = (u32)(ulong)fn;
	far.selector = selector;
	asm volatile("movabs $0x8888888888888888, %%r8\n\t"
		     "movabs $0x9999999999999999, %%r9\n\t"
		     "movabs $0xaaaaaaaaaaaaaaaa, %%r10\n\t"
		     "movabs $0xbbbbbbbbbbbbbbbb, %%r11\n\t"
		     "movabs $0xcccccccccccccccc, %%r12\n\t"
		     "movabs $0xdddddddddddddddd, %%r13\n\t"
		     "movabs $0xeeeeeeeeeeeeeeee, %%r14\n\t"
		     "movabs $0xffffffffffffffff, %%r15\n\t"
		     "lcall *%2\n\t"
		     "mov %%r8, %1; mov %%r9, 8+%1\n\t"
		     "mov %%r10, 16+%1; mov %%r11, 24+%1\n\t"
		     "mov %%r12, 32+%1; mov %%r13, 40+%1\n\t"
		     "mov %%r14, 48+%1; mov %%r15, 56+%1"
		     : "+a"(ax), "=m"(upper)
		     : "m"(far)
		     : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
		       "r14", "r15", "memory", "cc");
	return ax;
}

void guest_main(void)
{
	ulong want = 0, seen = 0, bad = 0;

	gdt[SEL_FREE / 8] = seg_desc((u32)(ulong)words + 64, 0xfffff, 0x92,
				     0xc);
	asm volatile("mov %0, %%gs" : : "r"((u32)SEL_FREE));
	words[17] = 0x12345679;
	words[15] = 0x5500;
	for (int i = 0; i < 1000; i++) {
		want = (u32)(want + 0x12345679);
		want = (want & ~0xffUL) | (u8)(want + 0x55);
	}
	for (int i = 0; i < ROUNDS; i++) {
		seen = far_call(sum32, SEL_CODE32);
		bad += seen != want;
		for (ulong r = 0; r < 8; r++)
			bad += upper[r] != (8 + r) * 0x1111111111111111;
	}
	check("32-bit code", seen, want);
	check("rounds with differences", bad, 0);
	for (int i = 0; i < 4; i++) {
		check("in 32-bit code", far_call(both, SEL_CODE32), 2000);
		check("in 64-bit code", far_call(both, SEL_CODE), 1000);
	}
}
