/* SPDX-License-Identifier: Apache-2.0
 *
 * Interrupt priorities: IRR and ISR, higher classes nest, lower ones wait for
 * EOI, TPR and CR8 hold classes back, PPR. Intel SDM vol. 3A sections
 * 10.8.3, 10.8.4 and 10.8.6.
 */
#include "chips.h"

static volatile u32 order[8], n;

static void self(u8 vector)
{
	lapic_write(LAPIC_ICR, 0x40000 | vector);
}

static void low(struct frame *f)
{
	order[n++ & 7] = 0x41;
	check("ISR of 0x41", lapic_bit(LAPIC_ISR, 0x41), 1);
	check("PPR in 0x41", lapic_read(LAPIC_PPR) & 0xf0, 0x40);
	self(0x48);
	self(0x62);
	irq_on();
	for (int i = 0; i < 50; i++)
		pause();
	irq_off();
	order[n++ & 7] = 0x100;
	lapic_eoi();
}

static void note(struct frame *f)
{
	order[n++ & 7] = f->vector;
	lapic_eoi();
}

void guest_main(void)
{
	lapic_init();
	trap_hook_set(0x41, low);
	trap_hook_set(0x48, note);
	trap_hook_set(0x62, note);
	trap_hook_set(0x51, note);
	self(0x41);
	check("IRR", lapic_bit(LAPIC_IRR, 0x41), 1);
	irq_window();
	check("first", order[0], 0x41);
	check("a higher class nests", order[1], 0x62);
	check("the end of the first", order[2], 0x100);
	check("the same class waits", order[3], 0x48);
	check("all", n, 4);
	check("ISR is empty", lapic_bit(LAPIC_ISR, 0x41), 0);

	n = 0;
	write_cr8(5);
	check("CR8 is TPR", lapic_read(LAPIC_TPR), 0x50);
	self(0x51);
	self(0x41);
	irq_window();
	check("held back by TPR", n, 0);
	self(0x62);
	irq_window();
	check("above TPR", order[0], 0x62);
	trap_hook_set(0x41, note);
	lapic_write(LAPIC_TPR, 0x40);
	check("TPR is CR8", read_cr8(), 4);
	irq_window();
	check("class 5 comes", order[1], 0x51);
	check("class 4 waits", n, 2);
	write_cr8(0);
	irq_window();
	check("class 4 comes", order[2], 0x41);

	/* two of a vector that is pending are one */
	n = 0;
	self(0x48);
	self(0x48);
	irq_window();
	check("one of two equal ones", n, 1);
	/* the highest first */
	n = 0;
	self(0x48);
	self(0x51);
	self(0x62);
	irq_window();
	check("highest first", order[0], 0x62);
	check("then the middle", order[1], 0x51);
	check("then the lowest", order[2], 0x48);
}
