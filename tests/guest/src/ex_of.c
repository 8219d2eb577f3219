/* SPDX-License-Identifier: Apache-2.0
 *
 * #OF: INTO traps when OF is set and does nothing otherwise; in ring 3 it
 * needs a gate of DPL 3. Intel SDM vol. 3A section 6.15 (interrupt 4).
 */
#include "lib.h"

static __user ulong user_into(ulong arg)
{
	asm volatile("movb $0x7f, %%al; addb $1, %%al\n"
		     ".globl at_into\nat_into: into" ::: "eax", "cc");
	return arg;
}
extern u8 at_into[];

void guest_main(void)
{
	CATCH("xorl %%eax, %%eax; into", ::: "eax", "cc", "memory");
	check_no_trap("INTO with OF clear");
	CATCH("movb $0x7f, %%al; addb $1, %%al; into", ::: "eax", "cc",
	      "memory");
	check_vector("INTO with OF set", OF, 0);
	check("INTO is a trap", caught.ip, catch_ip + 5);
	check("OF in the frame", caught.flags & FL_OF, FL_OF);

	user_call(user_into, 0);
	check_vector("INTO in ring 3", OF, 0);
	idt_set(OF, (ulong)trap_stubs[OF], SEL_CODE, 0x8e, 0);
	user_call(user_into, 0);
	check_vector("INTO in ring 3, gate DPL 0", GP, OF * 8 + 2);
	check("#GP points at INTO", caught.ip, (ulong)at_into);
}
