/* SPDX-License-Identifier: Apache-2.0
 *
 * A BAR with memory is moved by a locked write to configuration space while
 * another processor executes locked instructions there, too: neither waits
 * for the other for ever. PCI Express Base 2.1, 7.2.2 (configuration space in
 * memory).
 */
#include "chips.h"
#include "vga.h"

#define ECAM  0xb0000000u
#define BAR0  0x10
#define LINE  0x3c /* a register that moves nothing */
#define MOVES 400

static volatile u32 quit, rounds;

static volatile u32 *config(u32 reg)
{
	return (volatile u32 *)(ulong)(ECAM + (vga_slot << 15) + reg);
}

static void other(int cpu)
{
	while (!quit) {
		asm volatile("lock; addl $0, (%0)" ::"r"(config(LINE))
			     : "memory", "cc");
		rounds++;
	}
}

void guest_main(void)
{
	u32 places[2] = { vga_find(), VGA_OTHER_PLACE };

	if (*config(0) != vga_get(0))
		skip("no configuration space in memory");
	*(volatile u32 *)(ulong)(places[0] + 8) = 0x12345678;
	smp_start(2, other);
	for (u32 i = 1; i <= MOVES; i++) {
		u32 before = rounds, to = places[i & 1];

		while (rounds - before < 5)
			pause();
		asm volatile("xchgl %0, (%1)" : "+r"(to) : "r"(config(BAR0))
			     : "memory");
		check("where it was", to & ~15u, places[!(i & 1)]);
		check("what is there",
		      *(volatile u32 *)(ulong)(places[i & 1] + 8), 0x12345678);
	}
	quit = 1;
}
