/* SPDX-License-Identifier: Apache-2.0
 *
 * The EXT bit: a fault while an external interrupt is delivered has it set in
 * the error code, one of INT n has not. Intel SDM vol. 3A section 6.13.
 */
#include "chips.h"

void guest_main(void)
{
	lapic_init();
	idt_set(0x40, (ulong)trap_stubs[0x40], SEL_CODE, 0x0e, 0);
	lapic_write(LAPIC_ICR, 0x40000 | 0x40);
	CATCH("sti; mov $200, %%ecx; 1: pause; loop 1b; cli", ::: "rcx", "memory");
	check("gate not present", caught.vector, NP);
	check("its error code", caught.error, 0x40 * 8 + 2 + 1);
	check("the interrupt is in service", lapic_bit(LAPIC_ISR, 0x40), 1);
}
