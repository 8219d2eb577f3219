/* SPDX-License-Identifier: Apache-2.0
 *
 * Pushes of what lies on the stack, and loads behind them, at places across
 * a page's end, and on a page with code. Intel SDM, PUSH.
 */
#include "lib.h"

static u8 area[3 * 4096] __page;
u32 seen_d, seen_c, seen_sp;

static __attribute__((noinline)) void run(u32 sp)
{
	asm volatile("pusha\n\t"
		     "mov %%esp, %%ebp\n\t"
		     "mov %0, %%esp\n\t"
		     "mov $0x77000000, %%ebx\n\t"
		     "jmp 1f\n"
		     "1:\tpushl 0x10(%%esp)\n\t"
		     "pushl 0x24(%%esp)\n\t"
		     "lea 0x1000(%%ebx), %%eax\n\t"
		     "push %%eax\n\t"
		     "push %%ebx\n\t"
		     "mov 0x24(%%esp), %%edx\n\t"
		     "mov 0x28(%%esp), %%ecx\n\t"
		     "mov %%ebp, %%eax\n\t"
		     "call 2f\n"
		     "2:\tmov %%esp, seen_sp\n\t"
		     "mov %%edx, seen_d\n\t"
		     "mov %%ecx, seen_c\n\t"
		     "mov %%ebp, %%esp\n\t"
		     "popa"
		     : : "r"(sp) : "memory");
}

static void once(u32 at, const char *what)
{
	u32 sp = (u32)(area + at), *w = (u32 *)sp;

	for (u32 i = 0; i < 20; i++)
		w[i] = 0x1000 + i;
	for (u32 i = 1; i < 6; i++)
		w[-(int)i] = 0xdead;
	run(sp);
	check(what, seen_sp, sp - 20);
	check(what, w[-1], 0x1000 + 4);
	check(what, w[-2], 0x1000 + 8);
	check(what, w[-3], 0x77001000);
	check(what, w[-4], 0x77000000);
	check(what, seen_d, 0x1000 + 5);
	check(what, seen_c, 0x1000 + 6);
}

void guest_main(void)
{
	for (u32 i = 0; i < 200; i++)
		once(2048, "inside a page");
	for (u32 at = 4096 - 96; at < 4096 + 64; at += 4)
		once(at, "across a page's end");
	/* a page with code */
	area[0] = 0xc3;
	for (u32 i = 0; i < 100; i++)
		asm volatile("call *%0" : : "r"(area) : "memory");
	for (u32 i = 0; i < 200; i++)
		once(1024, "on a page with code");
	for (u32 i = 0; i < 200; i++) {
		asm volatile("call *%0" : : "r"(area) : "memory");
		once(1024 + i * 4, "on a page with code that runs");
	}
}
