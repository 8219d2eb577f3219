/* SPDX-License-Identifier: Apache-2.0
 *
 * LOOP, LOOPE, LOOPNE, JCXZ, JECXZ, JRCXZ by address size; XLAT with each
 * address size and a segment prefix. Intel SDM vol. 2.
 */
#include "lib.h"

static u8 table[256];

void guest_main(void)
{
	ulong n, c;
	u8 al;

	asm volatile("xor %0, %0; 1: inc %0; loop 1b"
		     : "=&r"(n), "=&c"(c) : "1"(5L));
	check("LOOP", n, 5);
	check("RCX behind", c, 0);
	asm volatile("xor %0, %0; 1: inc %0; addr32 loop 1b"
		     : "=&r"(n), "=&c"(c) : "1"(0x500000003));
	check("LOOP with ECX", n, 3);
	check("RCX behind", c, 0);
	asm volatile("xor %0, %0; 1: inc %0; cmp $3, %0; loopne 1b"
		     : "=&r"(n), "=&c"(c) : "1"(10L) : "cc");
	check("LOOPNE ends by ZF", n, 3);
	check("RCX behind", c, 7);
	asm volatile("xor %0, %0; 1: inc %0; cmp %0, %0; loope 1b"
		     : "=&r"(n), "=&c"(c) : "1"(4L) : "cc");
	check("LOOPE ends by RCX", n, 4);
	asm volatile("mov $1, %0; 1: inc %0; cmp $0, %0; loope 1b"
		     : "=&r"(n), "=&c"(c) : "1"(4L) : "cc");
	check("LOOPE ends by ZF", n, 2);
	asm volatile("mov $1, %0; jrcxz 1f; mov $0, %0; 1:"
		     : "=&r"(n) : "c"(0x100000000));
	check("JRCXZ sees all", n, 0);
	asm volatile("mov $1, %0; jecxz 1f; mov $0, %0; 1:"
		     : "=&r"(n) : "c"(0x100000000));
	check("JECXZ sees 32 bits", n, 1);
	asm volatile("stc; mov $1, %%ecx; loop 1f; 1: setc %b0"
		     : "=q"(n)::"ecx", "cc");
	check("LOOP leaves the flags", n & 1, 1);

	for (int i = 0; i < 256; i++)
		table[i] = 255 - i;
	asm volatile("xlat" : "=a"(al) : "b"(table), "0"(0x10));
	check("XLAT", al, 0xef);
	asm volatile("addr32 xlat"
		     : "=a"(al) : "b"((ulong)table | 1UL << 40), "0"(0xff));
	check("XLAT with EBX", al, 0);
	wrmsr(MSR_FS_BASE, 0x10);
	asm volatile("fs xlat" : "=a"(al) : "b"(table), "0"(0x10));
	check("XLAT with FS", al, 0xdf);
	wrmsr(MSR_FS_BASE, 0);
}
