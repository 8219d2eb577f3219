/* SPDX-License-Identifier: Apache-2.0
 *
 * The MADT names as many processors as run, the IOAPIC that answers at its
 * address, and the override of the timer's interrupt. ACPI 6.5 section
 * 5.2.12.
 */
#include "chips.h"

static volatile u32 seen;

static void other(int cpu)
{
	__atomic_or_fetch(&seen, 1u << (lapic_read(LAPIC_ID) >> 24),
			  __ATOMIC_SEQ_CST);
}

void guest_main(void)
{
	const u8 *madt = acpi_table("APIC");
	u32 cpus = 0, ids = 0, ioapics = 0, timer_pin = 0;

	if (!madt)
		fail("no MADT");
	check("LAPIC address", *(u32 *)(madt + 36), LAPIC_ADDR);
	for (u32 off = 44; off < *(u32 *)(madt + 4); off += madt[off + 1]) {
		const u8 *e = madt + off;

		if (!e[1])
			fail("an entry of no length");
		if (e[0] == 0 && *(u32 *)(e + 4) & 1) {
			cpus++;
			ids |= 1u << e[3];
		} else if (e[0] == 1) {
			ioapics++;
			check("IOAPIC address", *(u32 *)(e + 4), IOAPIC_ADDR);
			check("IOAPIC base", *(u32 *)(e + 8), 0);
		} else if (e[0] == 2 && e[3] == 0) {
			timer_pin = *(u32 *)(e + 4);
		}
	}
	check("processors", cpus, 4);
	check("their ids", ids, 15);
	check("IOAPICs", ioapics, 1);
	check("pin of the timer", timer_pin, 2);
	smp_start(4, other);
	wait_count(&seen, 14, 2000);
	for (int i = 0; i < 200 && seen != 14; i++)
		delay_us(10000);
	check("ids that run", seen | 1, ids);
}
