/* SPDX-License-Identifier: Apache-2.0
 *
 * A BAR with memory moves while another processor uses it: what the mover
 * tells behind its write, the other one finds. PCI Local Bus 3.0, 6.2.5; the
 * order of writes to configuration space: PCI Express Base 2.1, 2.2.9.
 */
#include "chips.h"
#include "vga.h"

#define MOVES 400

/* Where the memory is; 0: just moving. */
static volatile u32 now;
static volatile u32 quit, stale, lost, rounds;

static void other(int cpu)
{
	u32 places[2] = { vga_find(), VGA_OTHER_PLACE };

	for (u32 n = 1; !quit; n++) {
		u32 here = now, gone, seen, back;

		if (!here)
			continue;
		gone = here == places[0] ? places[1] : places[0];
		seen = *(volatile u32 *)(ulong)(gone + 8);
		*(volatile u32 *)(ulong)(here + 16) = n;
		back = *(volatile u32 *)(ulong)(here + 16);
		/* Not between two moves: then both are right. */
		if (now != here)
			continue;
		stale += seen != 0xffffffff;
		lost += back != n;
		rounds++;
	}
}

void guest_main(void)
{
	u32 places[2] = { vga_find(), VGA_OTHER_PLACE };

	*(volatile u32 *)(ulong)(places[0] + 8) = 0x12345678;
	now = places[0];
	smp_start(2, other);
	for (u32 i = 1; i <= MOVES; i++) {
		u32 before = rounds;

		while (rounds - before < 50)
			pause();
		now = 0;
		vga_move(places[i & 1]);
		now = places[i & 1];
	}
	quit = 1;
	check("reads where it is no more", stale, 0);
	check("writes that were lost", lost, 0);
	check("it kept what it had", *(volatile u32 *)(ulong)(
		      places[MOVES & 1] + 8), 0x12345678);
}
