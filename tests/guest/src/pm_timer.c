/* SPDX-License-Identifier: Apache-2.0
 *
 * The ACPI PM timer, found through the FADT: it never goes back, and runs at
 * three times the 8254's rate. ACPI 6.5 sections 4.8.3.3 and 5.2.9.
 */
#include "chips.h"

/* Both timers at about one time: the PIT's ticks, the PM timer. */
static u64 sample(u32 port, u32 *now)
{
	u64 before, after;

	do {
		before = pit_ticks();
		*now = inl(port);
		after = pit_ticks();
	} while (after - before > 60);
	return before;
}

void guest_main(void)
{
	const u8 *fadt = acpi_table("FACP");
	u32 port, mask, last, now, percent;
	u64 start, ticks;

	if (!fadt)
		fail("no FADT");
	port = *(u32 *)(fadt + 76);
	mask = *(u32 *)(fadt + 112) & 0x100 ? 0xffffffff : 0xffffff;
	check_range("port", port, 1, 0xfffc);
	last = inl(port) & mask;
	for (int i = 0; i < 2000; i++) {
		now = inl(port) & mask;
		if (((now - last) & mask) > mask / 2)
			fail("the PM timer went back");
		last = now;
	}
	pit_start();
	start = sample(port, &last);
	do {
		ticks = sample(port, &now);
	} while (ticks - start < 11932);
	now = (now - last) & mask;
	percent = now * 100 / (3 * (u32)(ticks - start));
	check_range("rate, in percent", percent, 90, 115);
}
