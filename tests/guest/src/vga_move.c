/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory behind a BAR: it is where the BAR says and nowhere else, from the
 * next instruction on, for data and for code. PCI Local Bus 3.0, 6.2.5.
 */
#include "vga.h"

#define HOT 20000 /* calls that make an engine think about it */

static u32 at(u32 base, u32 offset)
{
	return *(volatile u32 *)(ulong)(base + offset);
}

static void put_at(u32 base, u32 offset, u32 v)
{
	*(volatile u32 *)(ulong)(base + offset) = v;
}

/* mov eax, value; ret */
static void put_code(u32 base, u32 value)
{
	volatile u8 *p = (volatile u8 *)(ulong)base;

	p[0] = 0xb8;
	for (int i = 0; i < 4; i++)
		p[1 + i] = (u8)(value >> (8 * i));
	p[5] = 0xc3;
}

static u32 run_code(u32 base)
{
	u32 sum = 0;

	for (int i = 0; i < HOT; i++)
		sum += ((u32 (*)(void))(ulong)base)();
	return sum / HOT;
}

void guest_main(void)
{
	u32 a = vga_find(), b = VGA_OTHER_PLACE;
	u32 sum = 0;

	for (u32 i = 0; i < 0x4000; i += 4)
		put_at(a, i, i * 3);
	vga_move(b);
	for (u32 i = 0; i < 0x4000; i += 4)
		sum += at(b, i) != i * 3;
	check("what was written before the move", sum, 0);
	check("nothing where it was", at(a, 0x10), 0xffffffff);
	put_at(a, 0x10, 7);
	check("writes there are lost", at(b, 0x10), 0x30);
	vga_set(4, vga_get(4) & ~VGA_MEM_ON);
	check("decoding off", at(b, 0x10), 0xffffffff);
	vga_set(4, vga_get(4) | VGA_MEM_ON);
	check("decoding on", at(b, 0x10), 0x30);
	vga_move(0xffffffff);
	check("sized", vga_get(0x10) & ~15u, 0xff000000);
	vga_move(a);
	check("back", at(a, 0x10), 0x30);
	/* Hot loops, with a move in between. */
	for (u32 turn = 0; turn < 6; turn++) {
		u32 here = turn & 1 ? b : a, gone = turn & 1 ? a : b;
		u32 bad = 0;

		vga_move(here);
		for (u32 i = 0; i < HOT; i++) {
			put_at(here, 4 * (i & 1023), i);
			bad += at(here, 4 * (i & 1023)) != i;
			bad += at(gone, 4 * (i & 1023)) != 0xffffffff;
		}
		check("loop", bad, 0);
	}
	/* Instructions are found where the memory is. */
	vga_move(a);
	put_code(a, 1);
	put_code(a + 0x1000, 3);
	check("code", run_code(a), 1);
	vga_move(b);
	check("code, moved", run_code(b), 1);
	put_code(b, 2);
	check("code, changed", run_code(b), 2);
	vga_move(a);
	check("code, moved back", run_code(a), 2);
	vga_move(a + 0x1000000);
	put_code(a + 0x1000000, 5);
	vga_move(a);
	check("code, changed elsewhere", run_code(a), 5);
	check("code, second page", run_code(a + 0x1000), 3);
}
