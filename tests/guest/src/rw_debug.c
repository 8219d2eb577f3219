/* SPDX-License-Identifier: Apache-2.0
 *
 * Traps out of hot code: single step through a loop that has run many times,
 * data and code breakpoints set while it is hot, and SMAP with AC switched
 * by STAC, CLAC and POPF each round.
 */
#include "map.h"

static volatile u32 traps, last_dr6;
static volatile u64 counter;
static u8 target[4096] __page;

static void trap(struct frame *f)
{
	traps++;
	last_dr6 = read_dr6();
	write_dr6(0xffff0ff0);
	f->flags |= 0x10000; /* RF */
}

extern u8 hot_top[], hot_end[];

static __attribute__((noinline)) void hot(u32 rounds, ulong flags)
{
	asm volatile("push %1; popf\n"
		     ".globl hot_top, hot_end\n"
		     "hot_top: incq %2; dec %0; jnz hot_top\n"
		     "hot_end: pushf; andl $~0x100, (%%rsp); popf"
		     : "+r"(rounds) : "r"(flags), "m"(counter)
		     : "memory", "cc");
}

static void stepped(void)
{
	for (int i = 0; i < 5; i++) {
		hot(100, read_flags());
		traps = 0;
		hot(100, read_flags() | FL_TF);
		/* the loop, then PUSHF, ANDL and POPF */
		check("steps", traps, 300 + 3);
		check("DR6", last_dr6, 0xffff4ff0);
	}
}

static void watched(void)
{
	hot(100, read_flags());
	write_dr0((ulong)&counter);
	write_dr7(0x400 | 1 | 0xd0000); /* writes of 4 bytes */
	traps = 0;
	hot(100, read_flags());
	check("writes seen", traps, 100);
	check("DR6", last_dr6, 0xffff0ff1);
	write_dr7(0x400);
	hot(100, read_flags());
	check("no more", traps, 100);
	write_dr0((ulong)hot_top);
	write_dr7(0x400 | 1);
	traps = 0;
	hot(100, read_flags());
	check("rounds seen", traps, 100);
	write_dr7(0x400);
	hot(100, read_flags());
	check("no more", traps, 100);
}

static void page_fault(struct frame *f)
{
	traps++;
	f->flags |= FL_AC; /* let it pass */
}

/* A user page read with AC set, and every fourth time without. */
static void smap(void)
{
	u64 va = MAP_BASE;
	u32 i;

	if (!(cpuid(7, 0).b >> 20 & 1))
		return;
	map_page(va, 1, (ulong)target | PTE_P | PTE_W | PTE_U);
	trap_hook_set(PF, page_fault);
	write_cr4(read_cr4() | 1UL << 21);
	traps = 0;
	for (i = 0; i < 400; i++) {
		if (i % 4)
			asm volatile("stac; incl (%0); clac" ::"r"(va)
				     : "memory", "cc");
		else
			asm volatile("incl (%0); clac" ::"r"(va)
				     : "memory", "cc");
	}
	check("accesses refused", traps, 100);
	for (i = 0; i < 400; i++)
		asm volatile("pushf; orl $0x40000, (%%rsp); popf\n"
			     "incl (%0)\n"
			     "pushf; andl $~0x40000, (%%rsp); popf"
			     ::"r"(va) : "memory", "cc");
	check("with AC by POPF", traps, 100);
	check("all done", *(u32 *)target, 800);
	write_cr4(read_cr4() & ~(1UL << 21));
	trap_hook_set(PF, NULL);
}

void guest_main(void)
{
	trap_hook_set(DB, trap);
	write_dr6(0xffff0ff0);
	stepped();
	watched();
	smap();
}
