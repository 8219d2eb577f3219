/* SPDX-License-Identifier: Apache-2.0
 *
 * VGA registers: indexes and data, write protection of the CRTC, the
 * attribute controller's flip-flop, the palette's read and write sequence,
 * the mono and colour addresses. IBM VGA technical reference, "Registers".
 */
#include "chips.h"

enum { SEQ = 0x3c4, GFX = 0x3ce, CRTC = 0x3d4, ATTR = 0x3c0, STATUS = 0x3da };

static u8 get(u16 port, u8 index)
{
	outb(port, index);
	return inb(port + 1);
}

static void set(u16 port, u8 index, u8 v)
{
	outb(port, index);
	outb(port + 1, v);
}

static void indexed(void)
{
	set(GFX, 8, 0x5a);
	check("bit mask", get(GFX, 8), 0x5a);
	check("its index", inb(GFX), 8);
	set(GFX, 8, 0xff);
	outw(SEQ, 0x0302);
	check("map mask, a word at once", get(SEQ, 2), 3);
	set(SEQ, 2, 0x0f);
}

static void protection(void)
{
	u8 total;

	set(CRTC, 0x11, get(CRTC, 0x11) & 0x7f);
	set(CRTC, 0, 0x5f);
	check("open", get(CRTC, 0), 0x5f);
	set(CRTC, 0x11, get(CRTC, 0x11) | 0x80);
	total = get(CRTC, 0);
	set(CRTC, 0, 0x11);
	check("protected", get(CRTC, 0), total);
	set(CRTC, 7, 0x00);
	set(CRTC, 7, 0x10);
	check("but for one bit", get(CRTC, 7) & 0x10, 0x10);
	set(CRTC, 0x0e, 0x01);
	check("others are open", get(CRTC, 0x0e), 1);
	set(CRTC, 0x11, get(CRTC, 0x11) & 0x7f);
}

static void attributes(void)
{
	inb(STATUS);
	outb(ATTR, 5);
	outb(ATTR, 0x2a);
	outb(ATTR, 6);
	outb(ATTR, 0x15);
	inb(STATUS);
	outb(ATTR, 5);
	check("first", inb(ATTR + 1), 0x2a);
	inb(STATUS);
	outb(ATTR, 6);
	check("second", inb(ATTR + 1), 0x15);
	inb(STATUS);
	outb(ATTR, 0x20);
	inb(STATUS);
	check("its index", inb(ATTR) & 0x3f, 0x20);
}

static void palette(void)
{
	outb(0x3c8, 10);
	for (u8 i = 0; i < 6; i++)
		outb(0x3c9, i + 1);
	check("ready to write", inb(0x3c7) & 3, 0);
	check("next", inb(0x3c8), 12);
	outb(0x3c7, 10);
	check("ready to read", inb(0x3c7) & 3, 3);
	for (u8 i = 0; i < 6; i++)
		check("colour", inb(0x3c9), i + 1);
	outb(0x3c8, 10);
	for (u8 i = 0; i < 3; i++)
		outb(0x3c9, 0xff);
	outb(0x3c7, 10);
	check("six bits", inb(0x3c9), 0x3f);
}

static void addresses(void)
{
	u8 misc = inb(0x3cc);

	outb(0x3c2, misc | 1);
	set(0x3d4, 0x0f, 0x77);
	outb(0x3c2, misc & ~1);
	check("at the mono address", get(0x3b4, 0x0f), 0x77);
	check("not at the colour one", inb(0x3d5), 0xff);
	outb(0x3c2, misc | 1);
	check("at the colour address", get(0x3d4, 0x0f), 0x77);
	outb(0x3c2, misc);
}

void guest_main(void)
{
	indexed();
	protection();
	attributes();
	palette();
	addresses();
}
