/* SPDX-License-Identifier: Apache-2.0
 *
 * LAPIC timer, one-shot: counts down to one interrupt and stops at 0; a new
 * count starts it again, 0 stops it, masked it stays silent, never early.
 * Intel SDM vol. 3A section 10.5.4.
 */
#include "chips.h"

static volatile u32 count;

static void timer(struct frame *f)
{
	count++;
	lapic_eoi();
}

/* Timer counts in n ticks of the PIT. */
static u32 counts_in(u32 ticks)
{
	u64 end;

	lapic_write(LAPIC_LVT_TIMER, 0x10040);
	pit_start();
	end = pit_ticks() + ticks;
	lapic_write(LAPIC_INIT, 0xffffffff);
	while (pit_ticks() < end)
		pause();
	return 0xffffffff - lapic_read(LAPIC_CURRENT);
}

void guest_main(void)
{
	u32 ten_ms, first, second, spent;

	lapic_init();
	trap_hook_set(0x40, timer);
	lapic_write(LAPIC_DIVIDE, 0xb);
	check("current count when stopped", lapic_read(LAPIC_CURRENT), 0);
	ten_ms = counts_in(11932);
	check_range("counts in 10 ms", ten_ms, 1000, 200000000);

	lapic_write(LAPIC_LVT_TIMER, 0x40);
	lapic_write(LAPIC_INIT, ten_ms);
	check("initial count reads back", lapic_read(LAPIC_INIT), ten_ms);
	pit_start();
	irq_on();
	while (!count && pit_ticks() < 10 * 11932)
		pause();
	irq_off();
	spent = pit_ticks();
	check("one interrupt", count, 1);
	check_range("not early, in PIT ticks", spent, 11932 * 3 / 4,
		    11932 * 10);
	check("count behind it", lapic_read(LAPIC_CURRENT), 0);
	irq_on();
	delay_us(30000);
	irq_off();
	check("no second one", count, 1);

	lapic_write(LAPIC_INIT, 0x7fffffff);
	first = lapic_read(LAPIC_CURRENT);
	delay_us(1000);
	second = lapic_read(LAPIC_CURRENT);
	check("it counts down", second < first, 1);
	lapic_write(LAPIC_INIT, 0);
	check("0 stops it", lapic_read(LAPIC_CURRENT), 0);

	lapic_write(LAPIC_LVT_TIMER, 0x10040);
	lapic_write(LAPIC_INIT, ten_ms / 10);
	irq_on();
	delay_us(5000);
	irq_off();
	check("masked", count, 1);
	check("not pending either", lapic_bit(LAPIC_IRR, 0x40), 0);
}
