/* SPDX-License-Identifier: Apache-2.0
 *
 * LAPIC timer, TSC-deadline: one interrupt once the TSC has passed the
 * deadline, the MSR reads 0 then, 0 disarms, a past one fires at once, the
 * count registers are out of use. Intel SDM vol. 3A section 10.5.4.1.
 */
#include "chips.h"

static volatile u32 count;
static volatile u64 when;

static void timer(struct frame *f)
{
	when = rdtsc();
	count++;
	lapic_eoi();
}

void guest_main(void)
{
	u64 per_ms, deadline, seen;

	need(1, 2, 24, "TSC-deadline");
	lapic_init();
	trap_hook_set(0x40, timer);
	deadline = rdtsc();
	delay_us(4000);
	per_ms = (rdtsc() - deadline) >> 2;

	lapic_write(LAPIC_LVT_TIMER, 0x40040);
	asm volatile("mfence" ::: "memory");
	for (u32 i = 1; i <= 5; i++) {
		deadline = rdtsc() + 2 * per_ms;
		wrmsr(MSR_TSC_DEADLINE, deadline);
		seen = rdmsr(MSR_TSC_DEADLINE);
		/* a busy host may be late */
		if (seen || rdtsc() < deadline)
			check("the MSR reads back", seen, deadline);
		wait_count(&count, i, 500);
		check("interrupts", count, i);
		check("not early", when >= deadline, 1);
		check("the MSR behind it", rdmsr(MSR_TSC_DEADLINE), 0);
	}
	count = 0;
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - per_ms);
	wait_count(&count, 1, 100);
	check("a deadline in the past", count, 1);

	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 40 * per_ms);
	wrmsr(MSR_TSC_DEADLINE, 0);
	irq_on();
	for (int i = 0; i < 3; i++)
		delay_us(20000);
	irq_off();
	check("disarmed", count, 1);
	lapic_write(LAPIC_INIT, 1000);
	check("initial count is ignored", lapic_read(LAPIC_CURRENT), 0);

	lapic_write(LAPIC_LVT_TIMER, 0x40);
	wrmsr(MSR_TSC_DEADLINE, rdtsc());
	irq_on();
	delay_us(3000);
	irq_off();
	check("the MSR does nothing in one-shot mode", count, 1);
	check("and reads 0", rdmsr(MSR_TSC_DEADLINE), 0);
}
