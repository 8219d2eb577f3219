/* SPDX-License-Identifier: Apache-2.0
 *
 * IOAPIC registers and the rarer kinds of delivery: version, ID, read-only
 * bits of an entry, an edge that comes while masked, active-low polarity, NMI
 * and fixed delivery, a logical destination. Intel 82093AA data sheet,
 * section 3.2.
 */
#include "chips.h"

enum { COM1 = 0x3f8, PIN = 4, VECTOR = 0x45 };
static volatile u32 count, nmis;

static void hit(struct frame *f)
{
	count++;
	outb(COM1 + 1, 0);
	lapic_eoi();
}

static void nmi(struct frame *f)
{
	nmis++;
}

static void window(void)
{
	irq_on();
	delay_us(2000);
	irq_off();
}

static void edge(void)
{
	outb(COM1 + 1, 0);
	outb(COM1 + 1, 2);
	window();
	outb(COM1 + 1, 0);
}

static void registers(void)
{
	u32 version = ioapic_read(1), id = ioapic_read(0);

	check_range("version", version & 0xff, 0x11, 0x20);
	check("24 inputs", version >> 16 & 0xff, 23);
	ioapic_write(1, 0);
	check("version is read-only", ioapic_read(1), version);
	ioapic_write(0, 0x05000000);
	check("ID", ioapic_read(0) & 0x0f000000, 0x05000000);
	ioapic_write(0, id);
	ioapic_write(0x10 + 2 * PIN, 0xffff5000 | 0x10000);
	check("read-only bits", ioapic_read(0x10 + 2 * PIN) & 0x5000, 0);
	ioapic_write(0x11 + 2 * PIN, 0xff000000);
	check("destination", ioapic_read(0x11 + 2 * PIN) >> 24, 0xff);
	ioapic_route(PIN, 0x10000);
	check("beyond the last", ioapic_read(0x10 + 2 * 24) == 0x10000, 0);
}

void guest_main(void)
{
	lapic_init();
	trap_hook_set(VECTOR, hit);
	trap_hook_set(NMI, nmi);
	while (!(inb(COM1 + 5) & 0x40))
		;
	outb(COM1 + 4, 0xb);
	registers();

	ioapic_route(PIN, VECTOR);
	edge();
	check("an edge", count, 1);
	edge();
	check("another", count, 2);

	ioapic_route(PIN, 0x400);
	edge();
	check("as NMI", nmis, 1);
	check("not as a vector", count, 2);

	/* logical: the processor's bit in LDR, flat model */
	lapic_write(LAPIC_DFR, 0xffffffff);
	lapic_write(LAPIC_LDR, 0x02000000);
	ioapic_write(0x10 + 2 * PIN, 0x10000);
	ioapic_write(0x11 + 2 * PIN, 0x02000000);
	ioapic_write(0x10 + 2 * PIN, 0x800 | VECTOR);
	edge();
	check("logical destination", count, 3);
	ioapic_write(0x10 + 2 * PIN, 0x10000);
	ioapic_write(0x11 + 2 * PIN, 0x04000000);
	ioapic_write(0x10 + 2 * PIN, 0x800 | VECTOR);
	edge();
	check("another one's", count, 3);
	ioapic_route(PIN, 0x10000);
	outb(COM1 + 4, 3);
}
