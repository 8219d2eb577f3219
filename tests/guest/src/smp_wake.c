/* SPDX-License-Identifier: Apache-2.0
 *
 * Two processors that halt in turn and wake each other by IPI, many times:
 * no wake-up is lost between the check and HLT (STI's shadow). Intel SDM
 * vol. 2 STI, HLT.
 */
#include "chips.h"

enum { ROUNDS = 500 };
static volatile u32 turn;

static void wake(struct frame *f)
{
	lapic_eoi();
}

static void wait_turn(u32 want)
{
	for (;;) {
		irq_off();
		if (turn == want)
			break;
		asm volatile("sti; hlt" ::: "memory");
	}
	irq_on();
}

static void other(int cpu)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		wait_turn(2 * i + 1);
		turn = 2 * i + 2;
		lapic_ipi(0, 0x4040);
	}
	irq_off();
}

void guest_main(void)
{
	trap_hook_set(0x40, wake);
	smp_start(2, other);
	for (u32 i = 0; i < ROUNDS; i++) {
		turn = 2 * i + 1;
		lapic_ipi(1, 0x4040);
		wait_turn(2 * i + 2);
	}
	irq_off();
	check("rounds", turn, 2 * ROUNDS);
}
