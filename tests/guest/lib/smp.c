/* SPDX-License-Identifier: Apache-2.0
 *
 * Start of further processors (Intel SDM vol. 3A, section 8.4.4.1).
 */
#include "chips.h"

enum { ICR_INIT = 0x4500, ICR_SIPI = 0x4600, ICR_OTHERS = 0xc0000 };

volatile int smp_up;
static void (*smp_fn)(int cpu);

void ap_main(int cpu);
void trap_cpu_init(int cpu);

void ap_main(int cpu)
{
	if (cpu < MAX_CPUS)
		trap_cpu_init(cpu);
	lapic_init();
	__atomic_add_fetch(&smp_up, 1, __ATOMIC_SEQ_CST);
	if (cpu < MAX_CPUS)
		smp_fn(cpu);
}

void smp_start(int cpus, void (*fn)(int cpu))
{
	u64 end;

	smp_fn = fn;
	lapic_init();
	lapic_ipi(0, ICR_OTHERS | ICR_INIT);
	delay_us(10000);
	lapic_ipi(0, ICR_OTHERS | ICR_SIPI | 0x8000 >> 12);
	pit_start();
	end = pit_ticks() + 5ULL * PIT_HZ;
	while (smp_up < cpus - 1 && pit_ticks() < end)
		pause();
	if (smp_up != cpus - 1)
		check("processors started", smp_up, cpus - 1);
	if (smp_up < cpus - 1)
		fail("not all processors came up");
}
