/* SPDX-License-Identifier: Apache-2.0
 *
 * Port 0x92: A20 is on and reads back, odd and even megabytes differ; bit 0
 * resets. Intel ICH9 data sheet, section 13.7.3 (PORT92).
 */
#include "lib.h"

void guest_main(void)
{
	volatile u32 *even = (void *)0x401000, *odd = (void *)0x501000;

	*even = 1;
	*odd = 2;
	check("A20 is on", *even, 1);
	outb(0x92, 2);
	check("port 0x92 reads back", inb(0x92) & 3, 2);
	check("A20 is still on", *even, 1);
	announce_end();
	outb(0x92, 3);
	for (int i = 0; i < 1000000; i++)
		asm volatile("pause");
	fail("still running");
}
