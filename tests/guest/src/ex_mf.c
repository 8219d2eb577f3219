/* SPDX-License-Identifier: Apache-2.0
 *
 * #MF: an unmasked x87 exception is held until the next waiting instruction,
 * which faults; non-waiting ones do not; FNCLEX ends it. Intel SDM vol. 1
 * sections 8.6 and 8.7, vol. 3A section 6.15 (interrupt 16).
 */
#include "lib.h"

static u16 status(void)
{
	u16 v;

	asm volatile("fnstsw %0" : "=a"(v)::"memory");
	return v;
}

static void control(u16 v)
{
	asm volatile("fninit; fldcw %0" ::"m"(v) : "memory");
}

void guest_main(void)
{
	u16 cw = 0x37b;

	control(0x37b);		/* #Z unmasked */
	CATCH("fld1; fldz; fdivrp", ::: "memory");
	check_no_trap("the dividing instruction itself");
	check("status: ES and ZE", status() & 0x84, 0x84);
	CATCH("fwait", ::: "memory");
	check_trap("fwait", MF, 0);
	if (!tcg_differs("looks at pending exceptions in FWAIT only")) {
		CATCH("fld1", ::: "memory");
		check_trap("fld1", MF, 0);
	}
	check("status is still there", status() & 0x84, 0x84);
	CATCH("fnclex", ::: "memory");
	check_no_trap("fnclex");
	check("status after fnclex", status() & 0x84, 0);
	CATCH("fwait", ::: "memory");
	check_no_trap("fwait after fnclex");

	control(0x37f);
	CATCH("fld1; fldz; fdivrp; fwait", ::: "memory");
	check_no_trap("masked division by zero");
	check("status: ZE without ES", status() & 0x84, 4);

	if (tcg_differs("does not see unmasking and stack underflow"))
		return;
	/* unmasking makes the old exception pending */
	CATCH("fldcw %0", ::"m"(cw) : "memory");
	check_no_trap("fldcw that unmasks");
	check("status: ES", status() & 0x80, 0x80);
	CATCH("fwait", ::: "memory");
	check_trap("fwait after unmasking", MF, 0);

	control(0x37e);		/* #I unmasked: stack underflow */
	CATCH("fstp %%st(0); fwait", ::: "memory");
	check_vector("stack underflow", MF, 0);
	check("status: ES, SF, IE; C1 clear", status() & 0x2c1, 0xc1);
	control(0x37f);
}
