/* SPDX-License-Identifier: Apache-2.0
 *
 * NMI IPI to another processor: wakes it from HLT and comes with IF off.
 * Intel SDM vol. 3A section 10.6.1.
 */
#include "chips.h"

static volatile u32 count, halts, running;

static void nmi(struct frame *f)
{
	count++;
}

static void other(int cpu)
{
	irq_off();
	running = 1;
	for (;;) {
		asm volatile("hlt" ::: "memory");
		halts++;
	}
}

void guest_main(void)
{
	trap_hook_set(NMI, nmi);
	smp_start(2, other);
	while (!running)
		pause();
	delay_us(5000);
	for (u32 i = 1; i <= 10; i++) {
		lapic_ipi(1, 0x4400);
		if (!wait_count(&halts, i, 2000))
			check("woken by NMI", halts, i);
	}
	check("NMIs", count, 10);
	/* a masked interrupt does not wake it */
	lapic_ipi(1, 0x4040);
	delay_us(5000);
	check("not woken by a masked interrupt", halts, 10);
}
