/* SPDX-License-Identifier: Apache-2.0
 *
 * 16550 receiver in loopback: trigger levels, the timeout below them,
 * overrun, a break, priorities of the interrupts, FIFO reset, modem deltas.
 * National PC16550D data sheet, sections 8.3 to 8.9.
 */
#include "chips.h"

enum { COM1 = 0x3f8, IER = COM1 + 1, IIR = COM1 + 2, LCR = COM1 + 3,
       MCR = COM1 + 4, LSR = COM1 + 5, MSR = COM1 + 6 };

/* What was seen, printed when the line is open again. */
static struct { const char *what; u8 seen, want; } note[64];
static u32 notes;

static void expect(const char *what, u8 seen, u8 want)
{
	if (notes < array_size(note)) {
		note[notes].what = what;
		note[notes].seen = seen;
		note[notes++].want = want;
	}
}

static void send(u32 n)
{
	while (n--) {
		while (!(inb(LSR) & 0x20))
			;
		outb(COM1, n);
	}
	delay_us(3000);
}

static void triggers(void)
{
	static const u8 level[] = { 1, 4, 8, 14 };

	for (u32 i = 0; i < 4; i++) {
		outb(IIR, 7 | i << 6);
		outb(IER, 0);
		if (level[i] > 1) {
			send(level[i] - 1);
			outb(IER, 1);
			expect("below the trigger",
			       (inb(IIR) & 15) == 4, 0);
		}
		send(1);
		outb(IER, 1);
		expect("at the trigger", inb(IIR) & 15, 4);
		inb(COM1);
		expect("below again", (inb(IIR) & 15) == 4, 0);
		outb(IER, 0);
	}
}

static void timeout(void)
{
	u8 id = 0;

	outb(IIR, 7 | 0x80);
	outb(IER, 1);
	send(2);
	for (int i = 0; i < 1000 && id != 12; i++) {
		delay_us(100);
		id = inb(IIR) & 15;
	}
	expect("timeout", id, 12);
	inb(COM1);
	expect("ended by a read", (inb(IIR) & 15) == 12, 0);
	outb(IER, 0);
}

static void errors(void)
{
	outb(IIR, 7);
	send(17);
	expect("overrun", inb(LSR) & 3, 3);
	expect("told once", inb(LSR) & 2, 0);
	outb(IIR, 3);
	expect("receiver reset", inb(LSR) & 1, 0);
	outb(LCR, 0x43);
	delay_us(3000);
	outb(LCR, 3);
	expect("break", inb(LSR) & 0x11, 0x11);
	expect("its byte", inb(COM1), 0);
	outb(IIR, 7);
}

/* Line status before data before transmitter before modem. */
static void priorities(void)
{
	outb(IIR, 7);
	outb(IER, 0);
	inb(MSR);
	outb(MCR, 0x11);	/* DTR: a delta of DSR */
	send(17);
	outb(IER, 15);
	expect("line status first", inb(IIR) & 15, 6);
	inb(LSR);
	expect("then data", inb(IIR) & 15, 4);
	outb(IER, 14);
	expect("then the transmitter", inb(IIR) & 15, 2);
	expect("then the modem", inb(IIR) & 15, 0);
	expect("its delta", inb(MSR) & 0x2f, 0x22);
	expect("then none", inb(IIR) & 15, 1);
	outb(IER, 0);
	outb(IIR, 7);
}

void guest_main(void)
{
	while (!(inb(LSR) & 0x40))
		;
	delay_us(2000);
	outb(MCR, 0x10);
	triggers();
	timeout();
	errors();
	priorities();
	outb(IIR, 7);
	outb(MCR, 3);
	for (u32 i = 0; i < notes; i++)
		check(note[i].what, note[i].seen, note[i].want);
}
