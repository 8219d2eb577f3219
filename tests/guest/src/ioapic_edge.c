/* SPDX-License-Identifier: Apache-2.0
 *
 * IOAPIC: registers, edge-triggered interrupts of the 8254 at pin 2, masked
 * pins, delivery to the vector programmed. Intel 82093AA data sheet,
 * section 3.
 */
#include "chips.h"

static volatile u32 count, other;

static void hit(struct frame *f)
{
	if (f->vector == 0x44)
		count++;
	else
		other++;
	lapic_eoi();
}

/* OUT rises once; the 8259, all masked, tells when. */
static void one_shot(void)
{
	outb(PIT_CMD, 0x30);
	pic_init(0xff, 0xff);
	outb(PIT0, 200);
	outb(PIT0, 0);
	for (int i = 0; i < 1000000; i++) {
		outb(PIC1, 0x0a);
		if (inb(PIC1) & 1)
			return;
	}
	fail("no edge of the 8254");
}

/*
 * A while with interrupts on that leaves the 8254 alone: until one comes, or
 * shorter to see that none does.
 */
static void window(bool comes)
{
	u32 before = count + other;

	irq_on();
	for (int i = 0; i < (comes ? 1000000 : 3000) && before == count + other; i++)
		inb(0x61);
	irq_off();
}

void guest_main(void)
{
	lapic_init();
	trap_hook_set(0x44, hit);
	trap_hook_set(0x55, hit);
	check_range("version", ioapic_read(1) & 0xff, 0x11, 0x20);
	check("pins", ioapic_read(1) >> 16 & 0xff, 23);
	ioapic_write(0, 0);
	check("id", ioapic_read(0), 0);
	ioapic_write(0x11 + 2 * 20, 0xab000000);
	check("destination", ioapic_read(0x11 + 2 * 20), 0xab000000);
	ioapic_write(0x11 + 2 * 20, 0);

	ioapic_route(2, 0x44);
	check("redirection entry", ioapic_read(0x10 + 4), 0x44);
	one_shot();
	window(true);
	check("edge", count, 1);
	window(false);
	check("a high level is no second edge", count, 1);
	one_shot();
	window(true);
	check("second edge", count, 2);

	ioapic_route(2, 0x10044);
	one_shot();
	window(false);
	check("masked", count, 2);
	ioapic_route(2, 0x55);
	one_shot();
	window(true);
	check("another vector", other, 1);
	check("not the old one", count, 2);
	ioapic_write(0x10 + 4, 0x10000);
}
