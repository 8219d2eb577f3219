/* SPDX-License-Identifier: Apache-2.0
 *
 * LAPIC registers: reset values of a disabled one, the software switch masks
 * the LVT, illegal vectors set ESR and raise the error interrupt, the base
 * can move. Intel SDM vol. 3A sections 10.4.7 and 10.5.3.
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

	if (tcg_differs("has no illegal vectors, nor a way back from off"))
		return;
	lapic_write(LAPIC_SVR, 0xff);
	check("software off masks the LVT", lapic_read(LAPIC_LVT_TIMER),
	      0x30045);
	lapic_write(LAPIC_LVT_TIMER, 0x45);
	check("it stays masked", lapic_read(LAPIC_LVT_TIMER), 0x10045);
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_LVT_TIMER, 0x10000);

	trap_hook_set(0x45, error);
	lapic_write(LAPIC_ESR, 0);
	lapic_write(LAPIC_LVT_ERROR, 0x45);
	lapic_write(LAPIC_ICR, 0x40000 | 0x05);
	asm volatile("sti; nop; nop; cli" ::: "memory");
	lapic_write(LAPIC_ESR, 0);
	check("ESR", lapic_read(LAPIC_ESR) & 0x20, 0x20);
	check("error interrupt", errors, 1);
	lapic_write(LAPIC_ESR, 0);
	check("ESR again", lapic_read(LAPIC_ESR), 0);
	wrmsr(MSR_APIC_BASE, base & ~0x800ULL);
	check("CPUID when off", cpuid(1, 0).d >> 9 & 1, 0);
	wrmsr(MSR_APIC_BASE, base);
	check("CPUID when on", cpuid(1, 0).d >> 9 & 1, 1);
	check("software switch after off and on",
	      lapic_read(LAPIC_SVR) & 0x100, 0);
}
