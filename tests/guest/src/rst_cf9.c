/* SPDX-License-Identifier: Apache-2.0
 *
 * Port 0xcf9: bit 1 alone does nothing, bit 2 with it resets the machine.
 * Intel ICH9 data sheet, section 13.7.5 (RST_CNT).
 */
#include "lib.h"

void guest_main(void)
{
	outb(0xcf9, 2);
	check("reads back", inb(0xcf9) & 6, 2);
	announce_end();
	outb(0xcf9, 6);
	for (int i = 0; i < 1000000; i++)
		asm volatile("pause");
	fail("still running");
}
