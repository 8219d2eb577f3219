/* SPDX-License-Identifier: Apache-2.0
 *
 * NMI by IPI to oneself: comes with IF off, a second one waits until IRET of
 * the first, IRET of another trap inside ends the blocking. Intel SDM vol. 3A
 * section 6.7.1.
 */
#include "chips.h"

static volatile u32 count, depth, deepest;
static volatile bool nest, trap_inside;

static void send_nmi(void)
{
	/* physical, to the first processor */
	lapic_write(LAPIC_ICR2, 0);
	lapic_write(LAPIC_ICR, 0x400);
}

static void nmi(struct frame *f)
{
	count++;
	if (++depth > deepest)
		deepest = depth;
	if (nest) {
		nest = false;
		send_nmi();
		for (int i = 0; i < 100; i++)
			pause();
		if (trap_inside)
			asm volatile("int $0x40" ::: "memory");
		for (int i = 0; i < 100; i++)
			pause();
	}
	depth--;
}

static void nothing(struct frame *f)
{
}

static void settle(void)
{
	for (int i = 0; i < 1000; i++)
		pause();
}

void guest_main(void)
{
	lapic_init();
	trap_hook_set(NMI, nmi);
	trap_hook_set(0x40, nothing);
	irq_off();
	send_nmi();
	settle();
	check("NMI with IF off", count, 1);

	count = deepest = 0;
	nest = true;
	send_nmi();
	settle();
	check("a second one in the handler", count, 2);
	check("it waited for IRET", deepest, 1);

	count = deepest = 0;
	nest = trap_inside = true;
	send_nmi();
	settle();
	check("with a trap in the handler", count, 2);
	check("its IRET ends the blocking", deepest, 2);
}
