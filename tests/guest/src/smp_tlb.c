/* SPDX-License-Identifier: Apache-2.0
 *
 * TLB shootdown: a page is moved while another processor
 * uses it; behind the IPI's INVLPG it sees the new state. Intel SDM vol. 3A
 * section 4.10.5.
 */
#include "chips.h"
#include "map.h"

static u64 va = MAP_BASE + 0x7000;
static volatile u32 acks, round, seen, seen_round, quit;

static void shoot(struct frame *f)
{
	invlpg((void *)va);
	lapic_eoi();
	__atomic_add_fetch(&acks, 1, __ATOMIC_SEQ_CST);
}

static void other(int cpu)
{
	irq_on();
	while (!quit) {
		u32 r = round, v = *(volatile u32 *)va;

		seen = v;
		barrier();
		seen_round = r;
	}
	irq_off();
}

void guest_main(void)
{
	u8 *pages[2] = { page_alloc(), page_alloc() };

	*(u32 *)pages[0] = 100;
	*(u32 *)pages[1] = 101;
	map_page(va, 1, (ulong)pages[0] | PTE_P | PTE_W);
	trap_hook_set(0x40, shoot);
	smp_start(2, other);
	for (u32 i = 1; i <= 100; i++) {
		*pte_of(va, 1) = (ulong)pages[i & 1] | PTE_P;
		lapic_ipi(1, 0x4040);
		while (acks < i)
			pause();
		round = i;
		while (seen_round < i)
			pause();
		check("what the other one reads", seen, 100 + (i & 1));
	}
	quit = 1;
}
