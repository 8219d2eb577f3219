/* SPDX-License-Identifier: Apache-2.0
 *
 * LAPIC registers: version and id, LVT, LDR and DFR read back, the software
 * switch masks the LVT, the global one clears CPUID's bit. Intel SDM vol. 3A
 * sections 10.4.3, 10.4.7 and 10.6.2.2.
 */
#include "chips.h"

void guest_main(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	check_range("version", lapic_read(LAPIC_VERSION) & 0xff, 0x10, 0x15);
	check_range("highest LVT entry",
		    lapic_read(LAPIC_VERSION) >> 16 & 0xff, 3, 6);
	check("id", lapic_read(LAPIC_ID), 0);
	lapic_init();
	lapic_write(LAPIC_LVT_TIMER, 0x20045);
	check("LVT reads back", lapic_read(LAPIC_LVT_TIMER), 0x20045);

	lapic_write(LAPIC_LDR, 0xabcdef01);
	check("LDR", lapic_read(LAPIC_LDR), 0xab000000);
	lapic_write(LAPIC_DFR, 0x0fffffff);
	check("DFR, cluster", lapic_read(LAPIC_DFR), 0x0fffffff);
	lapic_write(LAPIC_DFR, 0xffffffff);

	if (tcg_differs("does not mask the LVT, nor come back from off"))
		return;
	lapic_write(LAPIC_SVR, 0xff);
	check("software off masks the LVT", lapic_read(LAPIC_LVT_TIMER),
	      0x30045);
	lapic_write(LAPIC_LVT_TIMER, 0x45);
	check("it stays masked", lapic_read(LAPIC_LVT_TIMER), 0x10045);
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_LVT_TIMER, 0x10000);
	wrmsr(MSR_APIC_BASE, base & ~0x800ULL);
	check("CPUID when off", cpuid(1, 0).d >> 9 & 1, 0);
	wrmsr(MSR_APIC_BASE, base);
	check("CPUID when on", cpuid(1, 0).d >> 9 & 1, 1);
}
