/* SPDX-License-Identifier: Apache-2.0
 *
 * LAPIC timer, periodic: interrupts at the right rate, the count starts over,
 * a switch to one-shot ends the row. Intel SDM vol. 3A section 10.5.4.
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
	u32 ten_ms, n = 0;
	u64 end, spent;

	lapic_init();
	trap_hook_set(0x40, timer);
	lapic_write(LAPIC_DIVIDE, 0xb);
	pit_start();
	end = pit_ticks() + 11932;
	lapic_write(LAPIC_INIT, 0xffffffff);
	while (pit_ticks() < end)
		pause();
	ten_ms = 0xffffffff - lapic_read(LAPIC_CURRENT);

	lapic_write(LAPIC_LVT_TIMER, 0x20040);
	lapic_write(LAPIC_INIT, ten_ms / 5);
	/* 2 ms each; a busy host makes some late, and then others early */
	wait_count(&count, 25, 10000);
	spent = pit_ticks();
	check_range("interrupts", count, 25, 26);
	check_range("their time in PIT ticks", spent, 25 * 1193,
		    25 * 2386 * 200);
	for (int i = 0; i < 1000; i++) {
		u32 now = lapic_read(LAPIC_CURRENT);

		if (now > ten_ms / 5)
			check_range("current count", now, 0, ten_ms / 5);
	}
	lapic_write(LAPIC_LVT_TIMER, 0x40);
	lapic_write(LAPIC_INIT, ten_ms / 5);
	n = count;
	wait_count(&count, n + 1, 5000);
	irq_on();
	delay_us(20000);
	irq_off();
	/* one may have been pending when the mode changed */
	check_range("one more in one-shot mode", count - n, 1, 2);
}
