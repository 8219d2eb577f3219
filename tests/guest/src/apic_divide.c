/* SPDX-License-Identifier: Apache-2.0
 *
 * LAPIC timer divide configuration: all eight settings scale the rate. Intel
 * SDM vol. 3A section 10.5.4, figure 10-10.
 */
#include "chips.h"

/* Both counters at about one time: the PIT's ticks, the timer's count. */
static u64 sample(u32 *count)
{
	u64 before, after;

	do {
		before = pit_ticks();
		*count = lapic_read(LAPIC_CURRENT);
		after = pit_ticks();
	} while (after - before > 60);
	return before;
}

/* Counts in 2048 PIT ticks. */
static u32 counts(u32 divide)
{
	u32 first, last;
	u64 start, end;

	lapic_write(LAPIC_DIVIDE, divide);
	pit_start();
	lapic_write(LAPIC_INIT, 0xffffffff);
	start = sample(&first);
	do {
		end = sample(&last);
	} while (end - start < 3000);
	return (u64)(first - last) * 2048 / (end - start);
}

void guest_main(void)
{
	static const u8 codes[] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };

	lapic_init();
	lapic_write(LAPIC_LVT_TIMER, 0x10040);
	for (u32 i = 1; i < 8; i++) {
		u32 percent = 0;

		/* a busy host may stretch one of the two: try again */
		for (int round = 0; round < 8; round++) {
			u32 one = counts(codes[0]), n = counts(codes[i]);

			percent = (n << i) / (one / 100 + 1);
			if (percent >= 80 && percent <= 125)
				break;
		}
		put_hex(codes[i]);
		put("\n");
		check_range("counts times divisor, in percent", percent, 80,
			    125);
		check("divide register", lapic_read(LAPIC_DIVIDE), codes[i]);
	}
}
