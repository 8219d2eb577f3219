/* SPDX-License-Identifier: Apache-2.0
 *
 * Command 0xfe of the keyboard controller pulses the reset line. Intel 8042
 * command set; IBM PC AT technical reference.
 */
#include "lib.h"

void guest_main(void)
{
	for (int i = 0; i < 100000 && inb(0x64) & 2; i++)
		asm volatile("pause");
	check("input buffer empty", inb(0x64) & 2, 0);
	announce_end();
	outb(0x64, 0xfe);
	for (int i = 0; i < 1000000; i++)
		asm volatile("pause");
	fail("still running");
}
