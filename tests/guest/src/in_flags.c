/* SPDX-License-Identifier: Apache-2.0
 *
 * PUSHF and POPF: which bits stick in ring 0, the 16-bit forms, VM and RF,
 * LAHF and SAHF, the fixed bits; LMSW sets PE, TS and friends but never
 * clears PE. Intel SDM vol. 2.
 */
#include "lib.h"

static ulong popf(ulong v)
{
	ulong f;

	asm volatile("push %1; popf; pushf; pop %0; push $2; popf"
		     : "=r"(f) : "r"(v) : "cc", "memory");
	return f;
}

static u16 popfw(u16 v)
{
	u16 f;

	asm volatile("pushw %w1; popfw; pushfw; popw %w0; push $2; popf"
		     : "=r"(f) : "r"(v) : "cc", "memory");
	return f;
}

void guest_main(void)
{
	u8 ah;
	ulong f;

	check("nothing but bit 1", popf(0), 2);
	check("all flags of arithmetic", popf(FL_ARITH), FL_ARITH | 2);
	check("reserved bits", popf(0x8028), 2);
	check("DF, NT, IOPL", popf(FL_DF | FL_NT | FL_IOPL),
	      FL_DF | FL_NT | FL_IOPL | 2);
	check("AC and ID", popf(FL_AC | FL_ID), FL_AC | FL_ID | 2);
	check("RF and VM never", popf(FL_RF | FL_VM), 2);
	check("VIF and VIP never", popf(3 << 19), 2);
	check("16 bits", popfw(0x0cd5), 0x0cd7);
	asm volatile("push %1; popf; pushw $0; popfw; pushf; pop %0"
		     : "=r"(f) : "r"((ulong)FL_AC | FL_ID | FL_CF)
		     : "cc", "memory");
	check("POPFW leaves the upper half", f, FL_AC | FL_ID | 2);
	asm volatile("push $2; popf");

	asm volatile("push %1; popf; lahf; mov %%ah, %%al; push $2; popf"
		     : "=a"(ah) : "r"((ulong)FL_ARITH) : "cc", "memory");
	check("LAHF", ah, 0xd7);
	asm volatile("mov %1, %%ah; sahf; pushf; pop %0"
		     : "=r"(f) : "i"(0xff) : "rax", "cc", "memory");
	check("SAHF", f, 0xd7);

	asm volatile("lmsw %w0" ::"r"(9) : "memory");
	check("LMSW sets TS", read_cr0() & 15, 9);
	asm volatile("lmsw %w0" ::"r"(0) : "memory");
	check("LMSW cannot clear PE", read_cr0() & 15, 1);
	check("and leaves the rest", read_cr0() & 0x80000000, 0x80000000);
}
