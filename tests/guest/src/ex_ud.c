/* SPDX-License-Identifier: Apache-2.0
 *
 * #UD: UD0, UD1, UD2, opcodes that 64-bit mode takes away, LOCK where it is
 * not allowed, MOV to CS. Intel SDM vol. 3A section 6.15 (interrupt 6),
 * vol. 2 LOCK and appendix A.
 */
#include "lib.h"

#define UNDEFINED(bytes)                           \
	do {                                       \
		CATCH(".byte " bytes, ::"b"(buf)   \
		      : "eax", "ecx", "edx", "memory"); \
		check_trap(bytes, UD, 0);          \
	} while (0)

static u8 buf[64];

void guest_main(void)
{
	UNDEFINED("0x0f, 0x0b");	/* ud2 */
	UNDEFINED("0x0f, 0xb9, 0xc0");	/* ud1 %eax, %eax */
	UNDEFINED("0x0f, 0xff, 0xc0");	/* ud0 */
	UNDEFINED("0x06");		/* push es */
	UNDEFINED("0x07");		/* pop es */
	UNDEFINED("0x0e");		/* push cs */
	UNDEFINED("0x27");		/* daa */
	UNDEFINED("0x37");		/* aaa */
	UNDEFINED("0x60");		/* pusha */
	UNDEFINED("0x9a, 0, 0, 0, 0, 8, 0"); /* call far */
	UNDEFINED("0xce");		/* into */
	UNDEFINED("0xd4, 10");		/* aam */
	UNDEFINED("0xd6");		/* salc */
	UNDEFINED("0xea, 0, 0, 0, 0, 8, 0"); /* jmp far */
	UNDEFINED("0x82, 0xc0, 1");	/* the second encoding of group 1 */
	UNDEFINED("0xf0, 0x90");	/* lock nop */
	UNDEFINED("0xf0, 0x01, 0xc0");	/* lock add %eax, %eax */
	UNDEFINED("0xf0, 0x03, 0x03");	/* lock add (%rbx), %eax */
	UNDEFINED("0xf0, 0x39, 0x03");	/* lock cmp %eax, (%rbx) */
	UNDEFINED("0x8e, 0xc8");	/* mov %eax, %cs */
	UNDEFINED("0x8c, 0xf0");	/* mov %segr6, %eax */
	UNDEFINED("0xfe, 0xd0");	/* group 4, /2 */
	UNDEFINED("0xff, 0xf8");	/* group 5, /7 */
	UNDEFINED("0x0f, 0x20, 0xc8");	/* mov %cr1, %rax */
	UNDEFINED("0x0f, 0x20, 0xf8");	/* mov %cr7, %rax */
	UNDEFINED("0x0f, 0xc7, 0xc8");	/* cmpxchg8b with a register */
	UNDEFINED("0x8d, 0xc0");	/* lea with a register */
	if (!tcg_differs("accepts these")) {
		UNDEFINED("0xf0, 0x89, 0x03");	/* lock mov %eax, (%rbx) */
		UNDEFINED("0xf0, 0x0f, 0xa3, 0x03"); /* lock bt */
		UNDEFINED("0xc6, 0xcb, 0");	/* group 11, /1 */
	}

	CATCH(".byte 0xf0, 0x01, 0x03", ::"a"(1), "b"(buf) : "memory");
	check_no_trap("lock add %eax, (%rbx)");
	check("its result", buf[0], 1);
}
