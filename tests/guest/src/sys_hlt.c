/* SPDX-License-Identifier: Apache-2.0
 *
 * HLT: sleeps until an interrupt, RIP behind it; a masked one does not wake
 * it. Intel SDM vol. 2 HLT.
 */
#include "chips.h"

static volatile u32 count;

static void timer(struct frame *f)
{
	count++;
	lapic_eoi();
}

void guest_main(void)
{
	u64 before;

	lapic_init();
	trap_hook_set(0x40, timer);
	lapic_write(LAPIC_DIVIDE, 0xb);
	for (u32 i = 1; i <= 5; i++) {
		lapic_write(LAPIC_LVT_TIMER, 0x40);
		lapic_write(LAPIC_INIT, 1000000);
		before = rdtsc();
		asm volatile("sti; hlt; cli");
		check("one interrupt a sleep", count, i);
		check("time went on", rdtsc() > before, 1);
	}
	/* below the task priority nothing comes, above it does */
	count = 0;
	lapic_write(LAPIC_TPR, 0x40);
	lapic_write(LAPIC_ICR, 0x40000 | 0x40);
	trap_hook_set(0x50, timer);
	lapic_write(LAPIC_LVT_TIMER, 0x50);
	lapic_write(LAPIC_INIT, 1000000);
	asm volatile("sti; hlt; cli");
	check("only the one above TPR", lapic_bit(LAPIC_IRR, 0x40), 1);
	check("one interrupt", count, 1);
	lapic_write(LAPIC_TPR, 0);
	irq_window();
	check("then the other one", count, 2);
}
