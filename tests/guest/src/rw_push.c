/* SPDX-License-Identifier: Apache-2.0
 *
 * Pushes of what lies on the stack, and loads behind them, at places across
 * a page's end, and on a page with code; in ring 0, where checks are calls of
 * routines until code is hot. Intel SDM, PUSH.
 */
#include "lib.h"

#define TOP 0x1000000000000000ull

static u8 area[3 * 4096] __page;
u64 seen_d, seen_c, seen_sp;

static __attribute__((noinline)) void run(u64 sp)
{
	asm volatile("mov %%rsp, %%r12\n\t"
		     "mov %0, %%rsp\n\t"
		     "mov $0x77000000, %%ebx\n\t"
		     "jmp 1f\n"
		     "1:\tpushq 0x20(%%rsp)\n\t"
		     "pushq 0x48(%%rsp)\n\t"
		     "lea 0x1000(%%rbx), %%rax\n\t"
		     "push %%rax\n\t"
		     "push %%rbx\n\t"
		     "mov 0x48(%%rsp), %%rdx\n\t"
		     "mov 0x50(%%rsp), %%rcx\n\t"
		     "call 2f\n"
		     "2:\tmov %%rsp, seen_sp\n\t"
		     "mov %%rdx, seen_d\n\t"
		     "mov %%rcx, seen_c\n\t"
		     "mov %%r12, %%rsp"
		     : : "r"(sp) : "rax", "rbx", "rcx", "rdx", "r12",
		       "memory", "cc");
}

static void once(u64 at, const char *what)
{
	u64 sp = (u64)(area + at), *w = (u64 *)sp;

	for (u64 i = 0; i < 20; i++)
		w[i] = TOP + i;
	for (u64 i = 1; i < 6; i++)
		w[-(long)i] = 0xdead;
	run(sp);
	check(what, seen_sp, sp - 40);
	check(what, w[-1], TOP + 4);
	check(what, w[-2], TOP + 8);
	check(what, w[-3], 0x77001000);
	check(what, w[-4], 0x77000000);
	check(what, seen_d, TOP + 5);
	check(what, seen_c, TOP + 6);
}

void guest_main(void)
{
	/* Until the routines for all blocks are no longer called. */
	for (u64 i = 0; i < 20000; i++)
		run((u64)(area + 2048));
	once(2048, "inside a page");
	for (u64 at = 4096 - 192; at < 4096 + 128; at += 8)
		once(at, "across a page's end");
	/* a page with code */
	area[0] = 0xc3;
	for (u64 i = 0; i < 100; i++)
		asm volatile("call *%0" : : "r"(area) : "memory");
	for (u64 i = 0; i < 200; i++)
		once(1024, "on a page with code");
	for (u64 i = 0; i < 200; i++) {
		asm volatile("call *%0" : : "r"(area) : "memory");
		once(1024 + i * 8, "on a page with code that runs");
	}
}
