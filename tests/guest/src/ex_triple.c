/* SPDX-License-Identifier: Apache-2.0
 *
 * A fault while #DF is delivered shuts the processor down, and the machine
 * resets or stops. Intel SDM vol. 3A section 6.15 (interrupt 8).
 */
#include "lib.h"

void guest_main(void)
{
	struct desc_ptr none = { 0, 0 };

	announce_end();
	asm volatile("lidt %0; ud2" ::"m"(none));
	fail("still running");
}
