/* SPDX-License-Identifier: Apache-2.0
 *
 * LAPIC: an illegal vector sets ESR and raises the error interrupt; globally
 * off and on again it is as after a reset. Intel SDM vol. 3A sections 10.4.3
 * and 10.5.3.
 */
#include "chips.h"

static volatile u32 errors;

static void error(struct frame *f)
{
	errors++;
	lapic_eoi();
}

void guest_main(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	lapic_init();
	trap_hook_set(0x45, error);
	lapic_write(LAPIC_ESR, 0);
	lapic_write(LAPIC_LVT_ERROR, 0x45);
	lapic_write(LAPIC_ICR, 0x40000 | 0x05);
	irq_window();
	lapic_write(LAPIC_ESR, 0);
	check("ESR", lapic_read(LAPIC_ESR) & 0x20, 0x20);
	check("error interrupt", errors, 1);
	lapic_write(LAPIC_ESR, 0);
	check("ESR again", lapic_read(LAPIC_ESR), 0);

	wrmsr(MSR_APIC_BASE, base & ~0x800ULL);
	wrmsr(MSR_APIC_BASE, base);
	check("SVR after off and on", lapic_read(LAPIC_SVR), 0xff);
	check("LVT after off and on", lapic_read(LAPIC_LVT_ERROR), 0x10000);
}
