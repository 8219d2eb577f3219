/* SPDX-License-Identifier: Apache-2.0
 *
 * 16550 interrupts: transmitter empty and received data (in loopback), their
 * identification and what clears each, through the 8259 at IRQ 4. National
 * PC16550D data sheet, section 8.6.
 */
#include "chips.h"

enum { COM1 = 0x3f8 };
static volatile u32 count;
static volatile u8 iir[4], data;

static void hit(struct frame *f)
{
	u8 id = inb(COM1 + 2);

	iir[count & 3] = id;
	count++;
	if ((id & 15) == 4 || (id & 15) == 12)
		data = inb(COM1);
	if (count > 3)
		outb(COM1 + 1, 0);
	outb(PIC1, 0x20);
}

static u32 window(void)
{
	u32 before = count;

	irq_on();
	delay_us(3000);
	irq_off();
	return count - before;
}

void guest_main(void)
{
	u32 tx, rx, rest, again;
	u8 none, pending, read_again;

	lapic_init();
	lapic_write(LAPIC_LVT_LINT0, 0x700);
	trap_hook_set(PIC_BASE + 4, hit);
	pic_init(0xef, 0xff);
	while (!(inb(COM1 + 5) & 0x40))
		;
	delay_us(1000);
	outb(COM1 + 2, 1);
	none = inb(COM1 + 2);
	outb(COM1 + 4, 0xb);
	outb(COM1 + 1, 2);
	tx = window();
	again = window();

	outb(COM1 + 1, 0);
	outb(COM1 + 4, 0x18);
	outb(COM1 + 1, 1);
	outb(COM1, 0x7e);
	rx = window();
	rest = window();
	outb(COM1 + 1, 0);
	outb(COM1 + 4, 0xb);

	/* polled: reading IIR clears the transmitter's */
	pic_init(0xff, 0xff);
	outb(COM1 + 1, 2);
	pending = inb(COM1 + 2);
	read_again = inb(COM1 + 2);
	outb(COM1 + 1, 0);
	outb(COM1 + 4, 3);

	check("IIR of nothing", none & 15, 1);
	check("transmitter interrupts", tx, 1);
	check("its IIR", iir[0] & 15, 2);
	check("none more", again, 0);
	check_range("receiver interrupts", rx, 1, 2);
	check("its data", data, 0x7e);
	check("none more", rest, 0);
	check("IIR polled", pending & 15, 2);
	check("IIR polled again", read_again & 15, 1);
}
