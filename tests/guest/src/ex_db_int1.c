/* SPDX-License-Identifier: Apache-2.0
 *
 * INT1 (opcode F1): #DB as a trap without error code, whatever the DPL of its
 * gate. Intel SDM vol. 2 INT n, vol. 3A section 6.15 (interrupt 1).
 */
#include "lib.h"

static __user ulong user_int1(ulong arg)
{
	asm volatile(".byte 0xf1\n.globl after_int1\nafter_int1: nop");
	return arg;
}
extern u8 after_int1[];

void guest_main(void)
{
	CATCH(".byte 0xf1", ::: "memory");
	check_vector("INT1 in ring 0", DB, 0);
	check("INT1 is a trap", caught.ip, catch_ip + 1);

	/* the gate's DPL is 0: only INT n, INT3 and INTO look at it */
	user_call(user_int1, 0);
	check_vector("INT1 in ring 3", DB, 0);
	check("INT1 in ring 3 is a trap", caught.ip, (ulong)after_int1);
	check("its CS", caught.cs, SEL_USER_CODE);
}
