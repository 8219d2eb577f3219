/* SPDX-License-Identifier: Apache-2.0
 *
 * ACPI fixed hardware, found through the FADT: PM1 status, enable and
 * control by bytes and words, the switch between legacy and ACPI, sleep types
 * without their enable, the timer's event and its SCI, GPE enables. ACPI 6.5
 * sections 4.8.3 and 4.8.4.
 */
#include "chips.h"

enum { TIMER = 1, SCI_EN = 1, SLP_EN = 0x2000, VECTOR = 0x49 };

static u16 status, enable, control;
static volatile u32 count, seen;

static void hit(struct frame *f)
{
	count++;
	seen = inw(status);
	outw(status, TIMER);
	if (count > 1)
		outw(enable, 0);
	lapic_eoi();
}

static u32 u32_at(const u8 *p)
{
	return *(u32 *)p;
}

static void mode(const u8 *fadt)
{
	u32 command = u32_at(fadt + 48);

	if (!command) {
		check("always ACPI", inw(control) & SCI_EN, SCI_EN);
		return;
	}
	outb(command, fadt[53]);
	check("legacy", inw(control) & SCI_EN, 0);
	outb(command, fadt[52]);
	check("ACPI", inw(control) & SCI_EN, SCI_EN);
}

static void registers(void)
{
	outw(enable, 0);
	check("enable", inw(enable), 0);
	outb(enable + 1, 1);
	check("a byte of it", inw(enable), 0x100);
	check("that byte", inb(enable + 1), 1);
	outw(enable, 0);
	outw(status, 0xffff);
	check("nothing happened", inw(status) & 0x0720, 0);
	/* a sleep type alone does nothing; SLP_EN reads as 0 */
	outw(control, (inw(control) & ~0x1c00) | 0x0400);
	check("sleep type", inw(control) & 0x3c00, 0x0400);
	outw(control, inw(control) & ~0x1c00);
	check("SLP_EN", inw(control) & SLP_EN, 0);
}

/* The event at each half turn of the timer. */
static void timer(const u8 *fadt)
{
	u32 sci = *(u16 *)(fadt + 46), port = u32_at(fadt + 76);

	if (u32_at(fadt + 112) & 0x100)
		return;		/* 32 bits: ten minutes */
	ioapic_route(sci, 0x8000 | VECTOR);
	trap_hook_set(VECTOR, hit);
	outw(status, TIMER);
	while ((inl(port) & 0x7fffff) < 0x600000)
		delay_us(1000);
	outw(enable, TIMER);
	wait_count(&count, 1, 10000);
	outw(enable, 0);
	check("one SCI", count, 1);
	check("its status", seen & TIMER, TIMER);
	check("cleared", inw(status) & TIMER, 0);
	check_range("timer behind", inl(port) & 0x7fffff, 0, 0x600000);
	ioapic_route(sci, 0x10000);
}

static void events(const u8 *fadt)
{
	u32 port = u32_at(fadt + 80), half = fadt[92] / 2;

	if (!port)
		return;
	for (u32 i = 0; i < half; i++) {
		u8 was = inb(port + half + i);

		outb(port + half + i, 0);
		check("GPE enable", inb(port + half + i), 0);
		outb(port + i, 0xff);
		check("GPE status", inb(port + i), 0);
		outb(port + half + i, was);
	}
}

void guest_main(void)
{
	const u8 *fadt = acpi_table("FACP");

	if (!fadt)
		fail("no FADT");
	lapic_init();
	status = u32_at(fadt + 56);
	enable = status + fadt[88] / 2;
	control = u32_at(fadt + 64);
	mode(fadt);
	registers();
	events(fadt);
	timer(fadt);
}
