/* SPDX-License-Identifier: Apache-2.0
 *
 * 8254: the gate of counter 2 holds the count in mode 0, a mode 1 starts on
 * its rising edge, null count until a count is loaded. Intel 8254 data sheet.
 */
#include "chips.h"

static u8 status(int counter)
{
	outb(PIT_CMD, 0xe0 | 2 << counter);
	return inb(PIT0 + counter);
}

static u16 latch(void)
{
	u16 v;

	outb(PIT_CMD, 0x80);
	v = inb(PIT2);
	return v | inb(PIT2) << 8;
}

static void program(int mode, u16 n)
{
	outb(PIT_CMD, 0xb0 | mode << 1);
	outb(PIT2, n);
	outb(PIT2, n >> 8);
}

static void gate(bool on)
{
	outb(0x61, (inb(0x61) & ~3) | on);
}

void guest_main(void)
{
	u16 a, b;

	gate(true);
	outb(PIT_CMD, 0xb0);
	check("null count behind a mode", status(2) & 0x40, 0x40);
	outb(PIT2, 0xff);
	outb(PIT2, 0xff);
	delay_us(100);
	check("null count behind a count", status(2) & 0x40, 0);
	gate(false);
	a = latch();
	delay_us(500);
	b = latch();
	check("the gate holds mode 0", b, a);
	gate(true);
	delay_us(500);
	check("and lets it go on", latch() < b, 1);

	gate(false);
	program(1, 2000);
	check("mode 1: OUT high before the trigger", status(2) & 0x80, 0x80);
	gate(true);
	check("mode 1: OUT low behind it", inb(0x61) & 0x20, 0);
	delay_us(20000);
	check("mode 1: OUT high at the end", inb(0x61) & 0x20, 0x20);
}
