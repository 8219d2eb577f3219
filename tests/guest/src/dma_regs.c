/* SPDX-License-Identifier: Apache-2.0
 *
 * 8237 pair: addresses and counts through the byte flip-flop, page
 * registers, masks, master clear, and no request without a device. Intel
 * 8237A data sheet; ICH9 data sheet, section 13.2.
 */
#include "chips.h"

struct half {
	u16 base;	/* of its registers */
	u16 step;	/* between them */
};

static const struct half half[] = { { 0x00, 1 }, { 0xc0, 2 } };

static u16 port(const struct half *h, u32 reg)
{
	return h->base + h->step * reg;
}

static void put16(const struct half *h, u32 reg, u16 v)
{
	outb(port(h, 12), 0);
	outb(port(h, reg), v);
	outb(port(h, reg), v >> 8);
}

static u16 get16(const struct half *h, u32 reg)
{
	u16 v;

	outb(port(h, 12), 0);
	v = inb(port(h, reg));
	return v | inb(port(h, reg)) << 8;
}

static void channels(const struct half *h)
{
	outb(port(h, 13), 0);
	for (u32 i = 0; i < 4; i++) {
		put16(h, 2 * i, 0x1234 + i);
		put16(h, 2 * i + 1, 0x5678 + i);
	}
	for (u32 i = 0; i < 4; i++) {
		check("address", get16(h, 2 * i), 0x1234 + i);
		check("count", get16(h, 2 * i + 1), 0x5678 + i);
	}
	/* the flip-flop: the high byte comes second, whoever reads */
	outb(port(h, 12), 0);
	check("low", inb(port(h, 0)), 0x34);
	check("high", inb(port(h, 0)), 0x12);
	check("low again", inb(port(h, 0)), 0x34);
	inb(port(h, 0));
}

static void masks(const struct half *h)
{
	outb(port(h, 13), 0);
	check("all masked by the clear", inb(port(h, 15)) & 15, 15);
	outb(port(h, 14), 0);
	check("none masked", inb(port(h, 15)) & 15, 0);
	outb(port(h, 10), 4 | 2);
	check("one masked", inb(port(h, 15)) & 15, 4);
	outb(port(h, 10), 2);
	check("and not", inb(port(h, 15)) & 15, 0);
	outb(port(h, 15), 5);
	check("as written", inb(port(h, 15)) & 15, 5);
	check("nothing has ended", inb(port(h, 8)) & 15, 0);
	outb(port(h, 13), 0);
}

void guest_main(void)
{
	static const u8 pages[] = { 0x87, 0x83, 0x81, 0x82, 0x8b, 0x89, 0x8a };

	for (u32 i = 0; i < 2; i++) {
		channels(&half[i]);
		if (!tcg_differs("QEMU does not let masks be read"))
			masks(&half[i]);
	}
	for (u32 i = 0; i < array_size(pages); i++)
		outb(pages[i], 0xa0 + i);
	for (u32 i = 0; i < array_size(pages); i++)
		check("page", inb(pages[i]), 0xa0 + i);
}
