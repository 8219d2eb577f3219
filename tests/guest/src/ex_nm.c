/* SPDX-License-Identifier: Apache-2.0
 *
 * #NM: CR0.TS and CR0.EM against x87, WAIT and SSE; CLTS ends it. Intel SDM
 * vol. 3A sections 2.5 (table 2-2) and 6.15 (interrupt 7).
 */
#include "lib.h"

enum { CR0_MP = 2, CR0_EM = 4, CR0_TS = 8 };

static void try(const char *what, ulong bits, u32 fpu, u32 wait, u32 sse)
{
	write_cr0((read_cr0() & ~(ulong)14) | bits);
	put(what);
	put("\n");
	CATCH("fld1", ::: "memory");
	check_trap("fld1", fpu, 0);
	CATCH("fwait", ::: "memory");
	check_trap("fwait", wait, 0);
	CATCH("xorps %%xmm0, %%xmm0", ::: "memory");
	check_trap("xorps", sse, 0);
	write_cr0((read_cr0() & ~(ulong)14) | CR0_MP);
	asm volatile("fninit");
}

void guest_main(void)
{
	try("EM 0, TS 0, MP 0", 0, NONE, NONE, NONE);
	try("EM 0, TS 0, MP 1", CR0_MP, NONE, NONE, NONE);
	try("EM 0, TS 1, MP 0", CR0_TS, NM, NONE, NM);
	try("EM 0, TS 1, MP 1", CR0_TS | CR0_MP, NM, NM, NM);
	try("EM 1, TS 0, MP 0", CR0_EM, NM, NONE, UD);

	write_cr0(read_cr0() | CR0_TS);
	asm volatile("clts");
	check("CLTS", read_cr0() & CR0_TS, 0);
	CATCH("fld1", ::: "memory");
	check_no_trap("fld1 after CLTS");
}
