/* SPDX-License-Identifier: Apache-2.0
 *
 * #BP: INT3 and INT 3 are traps; from ring 3 they need a gate of DPL 3 and
 * give #GP with the vector's error code otherwise. Intel SDM vol. 3A sections
 * 6.12.1.2 and 6.15 (interrupt 3).
 */
#include "lib.h"

static __user ulong user_int3(ulong arg)
{
	asm volatile(".globl at_int3\nat_int3: int3");
	return arg;
}
extern u8 at_int3[];

void guest_main(void)
{
	CATCH("int3", ::: "memory");
	check_vector("INT3", BP, 0);
	check("INT3 is a trap", caught.ip, catch_ip + 1);
	CATCH(".byte 0xcd, 3", ::: "memory");
	check_vector("INT 3", BP, 0);
	check("INT 3 is a trap", caught.ip, catch_ip + 2);

	user_call(user_int3, 0);
	check_vector("INT3 in ring 3", BP, 0);
	check("INT3 in ring 3 is a trap", caught.ip, (ulong)at_int3 + 1);
	if (tcg_differs("doubles the vector in error codes of long mode"))
		return;
	idt_set(BP, (ulong)trap_stubs[BP], SEL_CODE, 0x8e, 0);
	user_call(user_int3, 0);
	check_vector("INT3 in ring 3, gate DPL 0", GP, BP * 8 + 2);
	check("#GP points at INT3", caught.ip, (ulong)at_int3);
}
