/* SPDX-License-Identifier: Apache-2.0
 *
 * Cross-modifying code: one processor writes a function, the other one runs
 * it after a flag and a serializing instruction; many rounds. Intel SDM
 * vol. 3A section 8.1.3.
 */
#include "chips.h"

static u8 code[4096] __page;
static volatile u32 round, answer, done;

static void other(int cpu)
{
	for (u32 i = 1; i <= 200; i++) {
		u32 a;

		while (round != i)
			pause();
		cpuid(0, 0);
		asm volatile("call *%1" : "=a"(a) : "r"(code)
			     : "rcx", "rdx", "memory");
		answer = a;
		done = i;
	}
}

void guest_main(void)
{
	code[0] = 0xb8;
	code[5] = 0xc3;
	smp_start(2, other);
	for (u32 i = 1; i <= 200; i++) {
		*(volatile u32 *)(code + 1) = i * 0x01010101;
		barrier();
		round = i;
		while (done != i)
			pause();
		check("what the other one ran", answer, i * 0x01010101);
	}
}
