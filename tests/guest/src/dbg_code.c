/* SPDX-License-Identifier: Apache-2.0
 *
 * Instruction breakpoints: #DB before the instruction with B0..B3, RF not yet
 * in the frame, where it lets it go on when set, enabled by L or G, length field 0. Intel SDM
 * vol. 3B sections 17.2.4 and 17.3.1.1.
 */
#include "lib.h"

static volatile u32 count;
static volatile ulong last_ip, last_dr6, last_flags;

static void hit(struct frame *f)
{
	count++;
	last_ip = f->ip;
	last_dr6 = read_dr6();
	last_flags = f->flags;
	write_dr6(0xffff0ff0);
	f->flags |= FL_RF;
	if (count > 10)
		fail("RF does not work");
}

extern u8 here[], target[];

static void run(void)
{
	asm volatile(".globl here\nhere: nop\n\tnop" ::: "memory");
}

/* MOV SS holds them back on Intel's processors alone. */
static void after_mov_ss(void)
{
	bool amd = cpuid(0, 0).b == 0x68747541; /* Auth */
	ulong ss;

	count = 0;
	asm volatile("mov %%ss, %0; mov $1f, %%rcx; mov %%rcx, %%dr0\n\t"
		     "mov $0x401, %%ecx; mov %%rcx, %%dr7\n\t"
		     "mov %0, %%ss\n1:\tnop" : "=&r"(ss)::"rcx", "memory");
	write_dr7(0x400);
	check("behind MOV SS, hits", count, amd);
}

void guest_main(void)
{
	trap_hook_set(DB, hit);
	write_dr6(0xffff0ff0);
	check("DR7 at the start", read_dr7(), 0x400);
	run();
	check("not enabled", count, 0);
	write_dr0((ulong)here);
	write_dr7(0x401);
	run();
	check("L0, hits", count, 1);
	check("its RIP", last_ip, (ulong)here);
	check("DR6", last_dr6, 0xffff0ff1);
	check("RF in the frame", last_flags & FL_RF, 0);
	for (int i = 0; i < 5; i++)
		run();
	check("each time", count, 6);
	write_dr7(0x402);
	run();
	check("G0, hits", count, 7);
	write_dr7(0x400);
	run();
	check("off again", count, 7);
	write_dr0(0);
	write_dr3((ulong)here);
	write_dr7(0x440);
	count = 0;
	run();
	check("DR3, hits", count, 1);
	check("DR6 with B3", last_dr6 & 15, 8);
	write_dr3((ulong)here + 1);
	run();
	check("the second instruction", last_ip, (ulong)here + 1);
	write_dr7(0x400);

	/* a breakpoint on a repeated string instruction: once */
	u8 buf[8];
	ulong c = 8, d = (ulong)buf;

	count = 0;
	write_dr1((ulong)target);
	write_dr7(0x404);
	asm volatile("target: rep stosb" : "+c"(c), "+D"(d) : "a"(0)
		     : "memory");
	write_dr7(0x400);
	if (!tcg_differs("forgets RF in the middle of REP"))
		check("REP, hits", count, 1);
	check("REP, count", c, 0);
	if (!tcg_differs("knows no shadow of MOV SS here"))
		after_mov_ss();
}
