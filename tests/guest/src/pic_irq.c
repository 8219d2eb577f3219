/* SPDX-License-Identifier: Apache-2.0
 *
 * 8259 pair: interrupts through LINT0 as ExtINT, vectors from ICW2, masks,
 * ISR and IRR reads, EOI kinds, priorities, automatic EOI. Intel 8259A data
 * sheet.
 */
#include "chips.h"

static volatile u32 count, isr, no_eoi;

static void timer(struct frame *f)
{
	count++;
	outb(PIC1, 0x0b);
	isr = inb(PIC1);
	if (!no_eoi)
		outb(PIC1, 0x20);
}

static u8 read_irr(void)
{
	outb(PIC1, 0x0a);
	return inb(PIC1);
}

/* Latched whether masked or not. */
static bool wait_irr(void)
{
	for (int i = 0; i < 3000000; i++) {
		if (read_irr() & 1)
			return true;
	}
	return false;
}

static void one_shot(void)
{
	outb(PIT_CMD, 0x30);
	outb(PIT0, 200);
	outb(PIT0, 0);
	check("IRR when OUT rises", wait_irr(), 1);
}

/*
 * A while with interrupts on that leaves the 8254 alone: until one comes, or
 * shorter to see that none does.
 */
static void window(bool comes)
{
	u32 before = count;

	irq_on();
	for (int i = 0; i < (comes ? 1000000 : 3000) && before == count; i++)
		inb(0x61);
	irq_off();
}

void guest_main(void)
{
	lapic_init();
	lapic_write(LAPIC_LVT_LINT0, 0x700);
	trap_hook_set(PIC_BASE, timer);
	trap_hook_set(0x60, timer);
	pic_init(0xfe, 0xff);
	check("mask reads back", inb(PIC1 + 1), 0xfe);
	one_shot();
	window(true);
	check("interrupt", count, 1);
	check("ISR inside", isr & 1, 1);
	check("IRR behind", read_irr() & 1, 0);

	pic_init(0xff, 0xff);
	one_shot();
	window(false);
	check("masked", count, 1);
	outb(PIC1 + 1, 0xfe);
	window(true);
	check("unmasked", count, 2);

	/* without EOI the same one waits */
	no_eoi = 1;
	one_shot();
	window(true);
	check("without EOI", count, 3);
	one_shot();
	window(false);
	check("in service: none", count, 3);
	no_eoi = 0;
	outb(PIC1, 0x60);	/* specific EOI of IRQ 0 */
	window(true);
	check("behind a specific EOI", count, 4);

	/* automatic EOI */
	no_eoi = 1;
	outb(PIC1, 0x11);
	outb(PIC1 + 1, 0x60);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 3);
	outb(PIC1 + 1, 0xfe);
	one_shot();
	window(true);
	one_shot();
	window(true);
	check("automatic EOI, another vector base", count, 6);
	check("ISR with automatic EOI", isr & 1, 0);

	/* LINT0 masked: nothing */
	lapic_write(LAPIC_LVT_LINT0, 0x10700);
	one_shot();
	window(false);
	check("LINT0 masked", count, 6);
	lapic_write(LAPIC_LVT_LINT0, 0x700);
	window(true);
	check("LINT0 unmasked", count, 7);
}
