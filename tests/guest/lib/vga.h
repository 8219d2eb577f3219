/* SPDX-License-Identifier: Apache-2.0
 *
 * The display adapter's memory as a BAR: where it is, and elsewhere.
 * PCI Local Bus 3.0, 6.2.5.
 */
#ifndef GUEST_VGA_H
#define GUEST_VGA_H

#include "lib.h"

#define VGA_OTHER_PLACE 0xda000000u
#define VGA_MEM_ON	0x0002u /* of the command register */

static u32 vga_slot;

static inline u32 vga_get(u32 reg)
{
	outl(0xcf8, 0x80000000u | vga_slot << 11 | reg);
	return inl(0xcfc);
}

static inline void vga_set(u32 reg, u32 v)
{
	outl(0xcf8, 0x80000000u | vga_slot << 11 | reg);
	outl(0xcfc, v);
}

/* Turns its memory on; where it is. */
static inline u32 vga_find(void)
{
	for (vga_slot = 0; vga_slot < 32; vga_slot++)
		if (vga_get(8) >> 16 == 0x0300)
			break;
	if (vga_slot == 32)
		skip("no display adapter");
	vga_set(4, vga_get(4) | VGA_MEM_ON);
	return vga_get(0x10) & ~15u;
}

static inline void vga_move(u32 base)
{
	vga_set(0x10, base);
}

#endif
