/* SPDX-License-Identifier: Apache-2.0
 *
 * 8254: read-back status, latched counts, modes 0, 2 and 3, the output of
 * counter 2 at port 0x61. Intel 8254 data sheet.
 */
#include "chips.h"

static u8 status(int counter)
{
	outb(PIT_CMD, 0xe0 | 2 << counter);
	return inb(PIT0 + counter);
}

static u16 latch(int counter)
{
	u16 v;

	outb(PIT_CMD, counter << 6);
	v = inb(PIT0 + counter);
	return v | inb(PIT0 + counter) << 8;
}

static void program(int counter, int mode, u16 n)
{
	outb(PIT_CMD, counter << 6 | 0x30 | mode << 1);
	outb(PIT0 + counter, n);
	outb(PIT0 + counter, n >> 8);
}

/* Waits until the output of a counter is as wanted. */
static bool wait_out(int counter, bool high)
{
	for (u64 i = 0; i < 2000000; i++) {
		if (!!(status(counter) & 0x80) == high)
			return true;
	}
	return false;
}

void guest_main(void)
{
	u16 a, b;

	program(0, 2, 0);
	check("status of mode 2", status(0) & 0x3f, 0x34);
	outb(PIT_CMD, 0x34);
	outb(PIT0, 0x34);
	outb(PIT0, 0x12);
	a = latch(0);
	check_range("count of mode 2", a, 1, 0x1234);
	delay_us(100);

	/* counter 2, its gate on, speaker off */
	outb(0x61, (inb(0x61) & ~3) | 1);
	program(2, 0, 0xffff);
	check("mode 0: OUT low", status(2) & 0x80, 0);
	check("OUT at port 0x61", inb(0x61) & 0x20, 0);
	a = latch(2);
	b = latch(2);
	check("it counts down", b <= a, 1);
	program(2, 0, 100);
	check("mode 0: OUT rises", wait_out(2, true), 1);
	check("OUT at port 0x61", inb(0x61) & 0x20, 0x20);

	program(2, 3, 2000);
	check("mode 3: OUT falls", wait_out(2, false), 1);
	check("mode 3: OUT rises", wait_out(2, true), 1);
	check("mode 3: OUT falls again", wait_out(2, false), 1);
	check("status of mode 3", status(2) & 0x3f, 0x36);

	/* low byte only */
	outb(PIT_CMD, 0x90);
	outb(PIT2, 0x80);
	check("status, low byte only", status(2) & 0x3f, 0x10);
	check("mode 0, low byte: OUT rises", wait_out(2, true), 1);

	/* counter and status latched at once: status comes first */
	program(2, 2, 5000);
	outb(PIT_CMD, 0xc8);
	check("status of both", inb(PIT2) & 0x3f, 0x34);
	a = inb(PIT2);
	a |= inb(PIT2) << 8;
	check_range("count of both", a, 1, 5000);
}
