/* SPDX-License-Identifier: Apache-2.0
 *
 * IOAPIC, level-triggered: remote IRR is set until EOI, a level that stays
 * comes again after EOI, one that is gone does not, TMR, masking. COM1 at pin
 * 4 is the source. Intel 82093AA data sheet, section 3.2.4.
 */
#include "chips.h"

enum { COM1 = 0x3f8, PIN = 4, REMOTE_IRR = 1 << 14 };
static volatile u32 count, irr_inside, tmr_inside, release_at;

static void hit(struct frame *f)
{
	count++;
	irr_inside = ioapic_read(0x10 + 2 * PIN) & REMOTE_IRR;
	tmr_inside = lapic_bit(LAPIC_TMR, 0x44);
	if (count == release_at)
		outb(COM1 + 1, 0);
	lapic_eoi();
}

static void window(void)
{
	irq_on();
	for (int i = 0; i < 200; i++)
		pause();
	irq_off();
}

/* The transmitter is empty: its interrupt is a steady level. */
static void raise_line(void)
{
	while (!(inb(COM1 + 5) & 0x40))
		;
	outb(COM1 + 1, 0);
	outb(COM1 + 1, 2);
}

void guest_main(void)
{
	u32 after;

	lapic_init();
	trap_hook_set(0x44, hit);
	outb(COM1 + 4, 0xb);
	ioapic_route(PIN, 0x8044);
	check("no remote IRR yet", ioapic_read(0x10 + 2 * PIN), 0x8044);
	release_at = 3;
	raise_line();
	window();
	after = ioapic_read(0x10 + 2 * PIN);
	check("it comes until the line falls", count, 3);
	check("remote IRR inside", irr_inside, REMOTE_IRR);
	check("TMR inside", tmr_inside, 1);
	check("remote IRR behind", after & REMOTE_IRR, 0);

	/* masked while the line is high, then unmasked */
	count = 0;
	release_at = 1;
	ioapic_write(0x10 + 2 * PIN, 0x18044);
	raise_line();
	window();
	after = count;
	ioapic_write(0x10 + 2 * PIN, 0x8044);
	window();
	check("masked", after, 0);
	check("unmasked with the line high", count, 1);

	/* a line that falls while masked leaves nothing */
	ioapic_write(0x10 + 2 * PIN, 0x18044);
	raise_line();
	outb(COM1 + 1, 0);
	ioapic_write(0x10 + 2 * PIN, 0x8044);
	window();
	check("fallen while masked", count, 1);
	ioapic_write(0x10 + 2 * PIN, 0x10000);
}
