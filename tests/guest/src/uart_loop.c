/* SPDX-License-Identifier: Apache-2.0
 *
 * 16550: loopback of data and modem lines, the FIFO of 16 bytes and its
 * overrun, scratch, divisor latch, line status. National PC16550D data
 * sheet, section 8.
 */
#include "chips.h"

enum { COM1 = 0x3f8 };

static bool wait_lsr(u8 bit)
{
	pit_start();
	while (pit_ticks() < 5 * 11932) {
		if (inb(COM1 + 5) & bit)
			return true;
	}
	return false;
}

/* What was seen; it can be printed only when the loop is open again. */
static u8 lines[5], echo, iir, scratch, latch_low, latch_high, lcr;
static u8 fifo[20], fifo_n, lsr_full, lsr_end;
static bool came;

static void loop(void)
{
	static const u8 mcr[] = { 0, 1, 2, 4, 8 };

	outb(COM1 + 2, 0xc7);
	for (int i = 0; i < 5; i++) {
		outb(COM1 + 4, 0x10 | mcr[i]);
		lines[i] = inb(COM1 + 6) & 0xf0;
	}
	outb(COM1 + 4, 0x10);
	while (inb(COM1 + 5) & 1)
		inb(COM1);
	outb(COM1, 0xa5);
	came = wait_lsr(1);
	echo = inb(COM1);
	iir = inb(COM1 + 2);

	outb(COM1 + 2, 0xc7);
	for (int i = 0; i < 16; i++) {
		wait_lsr(0x20);
		outb(COM1, 0x30 + i);
	}
	wait_lsr(0x40);
	delay_us(5000);
	lsr_full = inb(COM1 + 5);
	while (fifo_n < 20 && inb(COM1 + 5) & 1)
		fifo[fifo_n++] = inb(COM1);
	lsr_end = inb(COM1 + 5);

	outb(COM1 + 7, 0x5a);
	scratch = inb(COM1 + 7);
	lcr = inb(COM1 + 3);
	outb(COM1 + 3, lcr | 0x80);
	latch_low = inb(COM1);
	latch_high = inb(COM1 + 1);
	outb(COM1 + 3, lcr);
	outb(COM1 + 4, 3);
}

void guest_main(void)
{
	/* the transmitter must be idle, or its last byte loops, too */
	wait_lsr(0x40);
	delay_us(2000);
	loop();
	check("modem status of nothing", lines[0], 0);
	check("DTR is DSR", lines[1], 0x20);
	check("RTS is CTS", lines[2], 0x10);
	check("OUT1 is RI", lines[3], 0x40);
	check("OUT2 is DCD", lines[4], 0x80);
	check("a byte comes round", came, 1);
	check("the byte", echo, 0xa5);
	check("IIR with FIFO", iir & 0xc1, 0xc1);
	check("bytes in the FIFO", fifo_n, 16);
	for (int i = 0; i < 16; i++)
		check("byte of the FIFO", fifo[i], 0x30 + i);
	check("no overrun", lsr_full & 2, 0);
	check("data ready", lsr_full & 1, 1);
	check("FIFO empty", lsr_end & 1, 0);
	check("scratch", scratch, 0x5a);
	check("divisor latch, low", latch_low, 1);
	check("divisor latch, high", latch_high, 0);
	check("line control", lcr, 3);
}
