/* SPDX-License-Identifier: Apache-2.0
 *
 * ENTER with nesting levels 0 to 31 and LEAVE: the display that is copied,
 * RBP and RSP; a fault in the middle changes neither. Intel SDM vol. 2.
 */
#include "lib.h"
#include "map.h"

static ulong stack[256];

#define ENTER(level)                                                     \
	do {                                                             \
		ulong sp, bp, save;                                      \
		asm volatile("mov %%rsp, %2; mov %%rbp, %%r8\n\t"        \
			     "mov %3, %%rsp; mov %4, %%rbp\n\t"          \
			     "enter $24, $" #level "\n\t"                \
			     "mov %%rsp, %0; mov %%rbp, %1\n\t"          \
			     "mov %2, %%rsp; mov %%r8, %%rbp"            \
			     : "=&r"(sp), "=&r"(bp), "=&r"(save)         \
			     : "r"(&stack[200]), "r"(&stack[230])        \
			     : "r8", "memory");                          \
		look(level, sp, bp);                                     \
	} while (0)

static void fill(void)
{
	for (u32 i = 0; i < array_size(stack); i++)
		stack[i] = 0x1000 + i;
}

static void look(int level, ulong sp, ulong bp)
{
	level %= 32;
	check("RBP", bp, (ulong)&stack[199]);
	check("RSP", sp, (ulong)&stack[199 - level] - 24);
	check("old RBP", stack[199], (ulong)&stack[230]);
	for (int i = 1; i < level; i++)
		check("display", stack[199 - i], 0x1000 + 230 - i);
	if (level)
		check("own frame", stack[199 - level], (ulong)&stack[199]);
	check("below", stack[198 - level], 0x1000 + 198 - level);
	fill();
}

void guest_main(void)
{
	u64 va = MAP_BASE + 0x1000;
	ulong sp, bp, top = va + 16, base = (ulong)&stack[230];

	fill();
	ENTER(0);
	ENTER(1);
	ENTER(2);
	ENTER(5);
	ENTER(31);
	ENTER(33);

	asm volatile("mov %%rsp, %%rcx; mov %%rbp, %%rdx\n\t"
		     "mov %2, %%rbp; leave\n\t"
		     "mov %%rsp, %0; mov %%rbp, %1\n\t"
		     "mov %%rcx, %%rsp; mov %%rdx, %%rbp"
		     : "=&r"(sp), "=&r"(bp) : "r"(&stack[100])
		     : "rcx", "rdx", "memory");
	check("LEAVE, RSP", sp, (ulong)&stack[101]);
	check("LEAVE, RBP", bp, 0x1000 + 100);

	/* the new frame does not fit: the page below is not there */
	trap_default_ist(PF, 1);
	map_page(va, 1, (ulong)page_alloc() | PTE_P | PTE_W);
	CATCH("xchg %%rsp, %0; xchg %%rbp, %1; enter $24, $5",
	      : "+r"(top), "+r"(base)::"memory");
	asm volatile("xchg %%rbp, %0" : "+r"(base));
	check_vector("ENTER across the end of the stack", PF, PFE_W);
	check("its RSP", caught.sp, va + 16);
	check("its RBP", caught.regs.bp, (ulong)&stack[230]);
}
