/* SPDX-License-Identifier: Apache-2.0
 *
 * Lowest priority delivery: exactly one of the processors in the logical
 * destination gets each interrupt. Intel SDM vol. 3A
 * section 10.6.2.4.
 */
#include "chips.h"

static volatile u32 got[4], total, ready, stop;

static void ipi(struct frame *f)
{
	__atomic_add_fetch(&got[lapic_read(LAPIC_ID) >> 24 & 3], 1,
			   __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&total, 1, __ATOMIC_SEQ_CST);
	lapic_eoi();
}

static void logical(void)
{
	lapic_write(LAPIC_DFR, 0xffffffff);
	lapic_write(LAPIC_LDR, 1u << (24 + (lapic_read(LAPIC_ID) >> 24)));
}

static void other(int cpu)
{
	logical();
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	irq_on();
	while (!stop)
		pause();
	irq_off();
}

void guest_main(void)
{
	trap_hook_set(0x40, ipi);
	smp_start(3, other);
	logical();
	while (ready < 2)
		pause();
	for (u32 i = 1; i <= 50; i++) {
		lapic_ipi(7, 0x4940);
		wait_count(&total, i, 2000);
	}
	irq_on();
	delay_us(5000);
	irq_off();
	check("one each", total, 50);
	check("sum", got[0] + got[1] + got[2], 50);
	got[0] = 0;
	for (u32 i = 51; i <= 60; i++) {
		lapic_ipi(6, 0x4940);
		wait_count(&total, i, 2000);
	}
	check("only those of the destination", got[0], 0);
	check("one each", total, 60);
	stop = 1;
}
