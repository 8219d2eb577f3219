/* SPDX-License-Identifier: Apache-2.0
 *
 * 8259 pair, the rarer modes: poll command, priorities set and rotated,
 * special mask mode, the cascade, level inputs by ELCR. No interrupt is taken:
 * the poll command acknowledges. Intel 8259A data sheet, "Interrupt masks",
 * "Poll command"; ICH9 data sheet 13.4.10 for ELCR.
 */
#include "chips.h"

enum { COM1 = 0x3f8, ELCR = 0x4d0 };

static u8 poll(u16 pic)
{
	outb(pic, 0x0c);
	return inb(pic);
}

static u8 in_service(u16 pic)
{
	outb(pic, 0x0b);
	return inb(pic);
}

static u8 requested(u16 pic)
{
	outb(pic, 0x0a);
	return inb(pic);
}

/* IRQ 0 and IRQ 4 are requested. */
static void request_both(void)
{
	outb(COM1 + 1, 0);
	outb(COM1 + 1, 2);
	outb(PIT_CMD, 0x30);
	outb(PIT0, 200);
	outb(PIT0, 0);
	for (int i = 0; i < 3000000 && !(requested(PIC1) & 1); i++)
		;
}

static void polled(void)
{
	check("nothing to poll", poll(PIC1) & 0x80, 0);
	request_both();
	check("both requested", requested(PIC1) & 0x11, 0x11);
	check("poll", poll(PIC1), 0x80);
	check("in service", in_service(PIC1), 1);
	check("requested no more", requested(PIC1) & 1, 0);
	check("the lower one waits", poll(PIC1) & 0x80, 0);
	outb(PIC1, 0x20);
	check("in service behind EOI", in_service(PIC1), 0);
	check("now the lower one", poll(PIC1), 0x84);
	outb(PIC1, 0x64);
	check("specific EOI", in_service(PIC1), 0);
}

static void priorities(void)
{
	outb(PIC1, 0xc3);	/* 3 is the lowest: 4 comes first */
	request_both();
	check("priority set", poll(PIC1), 0x84);
	outb(PIC1, 0xa0);	/* EOI with rotation: 4 is the lowest */
	check("then 0", poll(PIC1), 0x80);
	outb(PIC1, 0x20);
	request_both();
	check("rotated", poll(PIC1), 0x80);
	outb(PIC1, 0xe7);	/* specific EOI and rotation: of 7, as at first */
	check("that EOI was for another", in_service(PIC1), 1);
	outb(PIC1, 0x20);
	check("poll the rest", poll(PIC1), 0x84);
	outb(PIC1, 0x20);
}

/* A masked input in service lets lower ones through. */
static void special_mask(void)
{
	request_both();
	check("0 in service", poll(PIC1), 0x80);
	outb(PIC1, 0x68);
	outb(PIC1 + 1, inb(PIC1 + 1) | 1);
	check("4 in spite of it", poll(PIC1), 0x84);
	check("both in service", in_service(PIC1), 0x11);
	outb(PIC1, 0x64);
	outb(PIC1 + 1, inb(PIC1 + 1) & ~1);
	outb(PIC1, 0x48);
	outb(PIC1, 0x60);
	check("none", in_service(PIC1), 0);
}

static u8 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void cascade(void)
{
	outb(PIC2 + 1, 0xfe);
	cmos(0xc);
	outb(0x70, 0xa);
	outb(0x71, 0x26);
	outb(0x70, 0xb);
	outb(0x71, 0x42);
	for (int i = 0; i < 3000000 && !(requested(PIC2) & 1); i++)
		;
	outb(0x70, 0xb);
	outb(0x71, 2);
	check("input 2 of the first", requested(PIC1) & 4, 4);
	check("poll the first", poll(PIC1), 0x82);
	check("poll the second", poll(PIC2), 0x80);
	check("in service there", in_service(PIC2), 1);
	check("and here", in_service(PIC1), 4);
	cmos(0xc);
	outb(PIC2, 0x20);
	outb(PIC1, 0x20);
	check("over", in_service(PIC1) | in_service(PIC2), 0);
	outb(PIC2 + 1, 0xff);
}

static void levels(void)
{
	outb(ELCR, 0xff);
	outb(ELCR + 1, 0xff);
	check("inputs that can be level", inw(ELCR) & 0xdef8, 0xdef8);
	check("inputs that cannot", inw(ELCR) & 0x2107, 0);
	outb(ELCR + 1, 0);
	outb(ELCR, 0x10);
	outb(COM1 + 1, 0);
	outb(COM1 + 1, 2);
	check("level", poll(PIC1), 0x84);
	outb(PIC1, 0x20);
	check("it stays", poll(PIC1), 0x84);
	outb(PIC1, 0x20);
	outb(COM1 + 1, 0);
	check("it fell", requested(PIC1) & 0x10, 0);
	check("nothing left", poll(PIC1) & 0x80, 0);
	outb(ELCR, 0);
}

void guest_main(void)
{
	lapic_init();
	pic_init(0xea, 0xff);	/* 0, 2 and 4 */
	while (!(inb(COM1 + 5) & 0x40))
		;
	outb(COM1 + 4, 0xb);
	outb(COM1 + 1, 0);
	polled();
	priorities();
	special_mask();
	cascade();
	levels();
	outb(COM1 + 4, 3);
}
