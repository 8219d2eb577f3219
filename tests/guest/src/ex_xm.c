/* SPDX-License-Identifier: Apache-2.0
 *
 * #XM: unmasked SSE exceptions fault at their instruction and leave the
 * destination alone; #UD without CR4.OSXMMEXCPT; reserved MXCSR bits #GP.
 * Intel SDM vol. 1 sections 11.5 and 11.6.4, vol. 3A 6.15 (interrupt 19).
 */
#include "lib.h"

static u32 mxcsr(void)
{
	u32 v;

	asm volatile("stmxcsr %0" : "=m"(v)::"memory");
	return v;
}

static void set_mxcsr(u32 v)
{
	asm volatile("ldmxcsr %0" ::"m"(v) : "memory");
}

static u32 low_xmm0(void)
{
	u32 v;

	asm volatile("movd %%xmm0, %0" : "=r"(v)::"memory");
	return v;
}

static void load(u32 x, u32 y)
{
	asm volatile("movd %0, %%xmm0; movd %1, %%xmm1" ::"r"(x), "r"(y)
		     : "memory");
}

void guest_main(void)
{
	u32 one = 0x3f800000, bad = 0x10000;

	check("MXCSR at the start", mxcsr(), 0x1f80);
	load(one, 0);
	CATCH("divss %%xmm1, %%xmm0", ::: "memory");
	check_no_trap("1 / 0 masked");
	check("its result", low_xmm0(), 0x7f800000);
	check("its flag", mxcsr(), 0x1f84);

	if (tcg_differs("does not raise #XM nor check MXCSR"))
		return;
	CATCH("ldmxcsr %0", ::"m"(bad) : "memory");
	check_trap("ldmxcsr with a reserved bit", GP, 0);
	set_mxcsr(0x1f80 & ~(1u << 9));
	load(one, 0);
	CATCH("divss %%xmm1, %%xmm0", ::: "memory");
	check_trap("1 / 0 unmasked", XM, 0);
	check("the destination", low_xmm0(), one);
	check("the flag", mxcsr() & 0x3f, 4);

	write_cr4(read_cr4() & ~(1UL << 10));
	set_mxcsr(0x1f80 & ~(1u << 9));
	CATCH("divss %%xmm1, %%xmm0", ::: "memory");
	check_trap("without OSXMMEXCPT", UD, 0);
	write_cr4(read_cr4() | 1UL << 10);

	set_mxcsr(0x1f80 & ~(1u << 7));
	load(0x7fa00000, one);
	CATCH("addss %%xmm1, %%xmm0", ::: "memory");
	check_trap("signalling NaN, invalid unmasked", XM, 0);
	check("the flag", mxcsr() & 0x3f, 1);
	set_mxcsr(0x1f80);
}
