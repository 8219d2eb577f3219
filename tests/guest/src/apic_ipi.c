/* SPDX-License-Identifier: Apache-2.0
 *
 * Fixed IPIs between processors: physical, logical flat, the shorthands;
 * each processor gets exactly those meant for it. Intel SDM vol. 3A section
 * 10.6.
 */
#include "chips.h"

static volatile u32 got[4];
static volatile u32 ids[4], ready, stop;

static u32 me(void)
{
	return lapic_read(LAPIC_ID) >> 24;
}

static void ipi(struct frame *f)
{
	__atomic_add_fetch(&got[me() & 3], 1, __ATOMIC_SEQ_CST);
	lapic_eoi();
}

static void other(int cpu)
{
	lapic_write(LAPIC_DFR, 0xffffffff);
	lapic_write(LAPIC_LDR, 1u << (24 + me()));
	ids[cpu] = me();
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	irq_on();
	while (!stop)
		asm volatile("pause");
	irq_off();
}

static void want(const char *what, u32 a, u32 b, u32 c)
{
	u32 wants[3] = { a, b, c };

	irq_on();
	for (int cpu = 0; cpu < 3; cpu++) {
		wait_count(&got[cpu], wants[cpu], 2000);
		irq_on();
	}
	delay_us(2000);
	irq_off();
	for (int cpu = 0; cpu < 3; cpu++)
		check(what, got[cpu], wants[cpu]);
}

void guest_main(void)
{
	trap_hook_set(0x40, ipi);
	smp_start(3, other);
	lapic_write(LAPIC_DFR, 0xffffffff);
	lapic_write(LAPIC_LDR, 1u << 24);
	while (ready < 2)
		pause();
	lapic_ipi(1, 0x4040);
	want("physical, to 1", 0, 1, 0);
	lapic_ipi(2, 0x4040);
	want("physical, to 2", 0, 1, 1);
	lapic_ipi(0, 0x4040);
	want("physical, to 0", 1, 1, 1);
	lapic_ipi(0xff, 0x4040);
	want("physical, broadcast", 2, 2, 2);
	lapic_ipi(6, 0x4840);
	want("logical, to 1 and 2", 2, 3, 3);
	lapic_ipi(1, 0x4840);
	want("logical, to 0", 3, 3, 3);
	lapic_ipi(0, 0xc4040);
	want("all but self", 3, 4, 4);
	lapic_ipi(0, 0x84040);
	want("all", 4, 5, 5);
	lapic_ipi(0, 0x44040);
	want("self", 5, 5, 5);
	lapic_ipi(5, 0x4040);
	want("to nobody", 5, 5, 5);
	for (u32 i = 1; i <= 100; i++) {
		lapic_ipi(1, 0x4040);
		wait_count(&got[1], 5 + i, 2000);
	}
	want("100 of them", 5, 105, 5);
	stop = 1;
}
