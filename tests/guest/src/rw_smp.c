/* SPDX-License-Identifier: Apache-2.0
 *
 * One processor runs a function in a hot loop, another one changes its
 * immediate: each new value is seen soon, and never an older one again. Then
 * a loop that never ends by itself is ended by turning its jump into NOPs.
 */
#include "chips.h"
#include "map.h"

enum { VALUES = 255 };
static u8 code[4096] __page;
static volatile u32 seen, order_errors, quit, spinning, ended;

static u32 call(const void *at)
{
	u32 a;

	asm volatile("call *%1" : "=a"(a) : "r"(at)
		     : "rcx", "memory", "cc");
	return a;
}

static void other(int cpu)
{
	u32 last = 0;

	while (!quit) {
		u32 v = call(code);

		if (v < last)
			order_errors++;
		last = v;
		seen = v;
	}
	spinning = 1;
	call(code + 64);
	ended = 1;
}

void guest_main(void)
{
	static const u8 mov[] = { 0xb8, 1, 0, 0, 0, 0xc3 };
	/* 1: inc ecx; jmp 1b; ret */
	static const u8 spin[] = { 0xff, 0xc1, 0xeb, 0xfc, 0xc3 };

	memcpy(code, mov, sizeof(mov));
	memcpy(code + 64, spin, sizeof(spin));
	smp_start(2, other);
	for (u32 v = 1; v <= VALUES; v++) {
		for (u32 i = 0; i < 500; i++)
			pause();
		if (v & 1) /* MOV, XCHG */
			*(volatile u8 *)(code + 1) = (u8)v;
		else
			__atomic_store_n(code + 1, (u8)v, __ATOMIC_SEQ_CST);
		while (seen != v)
			pause();
	}
	check("values that went back", order_errors, 0);
	quit = 1;
	while (!spinning)
		pause();
	for (u32 i = 0; i < 200000; i++)
		pause();
	__atomic_store_n((volatile u16 *)(code + 66), 0x9090,
			 __ATOMIC_SEQ_CST);
	while (!ended)
		pause();
}
