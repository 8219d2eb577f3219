/* SPDX-License-Identifier: Apache-2.0
 *
 * #DE: DIV by zero and quotient overflow, IDIV of the most negative number by
 * -1; the frame points at the instruction and no
 * register changes. Intel SDM vol. 3A section 6.15, vol. 2 DIV and IDIV.
 */
#include "lib.h"

static void div32(const char *what, u32 high, u32 low, u32 by, bool traps)
{
	u32 a = low, d = high;

	CATCH("divl %2", : "+a"(a), "+d"(d) : "r"(by) : "memory");
	if (!traps) {
		check_no_trap(what);
		return;
	}
	check_trap(what, DE, 0);
	check("#DE leaves eax", a, low);
	check("#DE leaves edx", d, high);
}

static void idiv32(const char *what, u32 high, u32 low, u32 by, bool traps)
{
	u32 a = low, d = high;

	CATCH("idivl %2", : "+a"(a), "+d"(d) : "r"(by) : "memory");
	if (traps)
		check_trap(what, DE, 0);
	else
		check_no_trap(what);
}

void guest_main(void)
{
	u16 ax = 0x1234;

	div32("div by 0", 0, 1, 0, true);
	div32("div quotient 2^32", 1, 0, 1, true);
	div32("div largest quotient", 1, 0xffffffff, 2, false);
	div32("div 0xfffffffe:ffffffff / 0xffffffff", 0xfffffffe, 0xffffffff,
	      0xffffffff, false);
	idiv32("idiv by 0", 0, 1, 0, true);
	idiv32("idiv -2^31 / -1", 0xffffffff, 0x80000000, 0xffffffff, true);
	idiv32("idiv 2^31 / 1", 0, 0x80000000, 1, true);
	idiv32("idiv -2^31 / 1", 0xffffffff, 0x80000000, 1, false);

	CATCH("divb %b1", : "+a"(ax) : "q"(0x12) : "memory");
	check_trap("divb quotient 0x102", DE, 0);
	check("#DE leaves ax", ax, 0x1234);
	CATCH("divb %b1", : "+a"(ax) : "q"(0x13) : "memory");
	check_no_trap("divb 0x1234 / 0x13");
	check("divb result", ax, 0x05f5);
}
