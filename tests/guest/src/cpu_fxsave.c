/* SPDX-License-Identifier: Apache-2.0
 *
 * FXSAVE and FXRSTOR: where the x87 and SSE registers lie, the abridged tag
 * word by top of stack, MXCSR and its mask, reserved MXCSR bits. Intel SDM
 * vol. 1 section 10.5.
 */
#include "lib.h"

static u8 area[512] __attribute__((aligned(16)));

static u32 u32_at(u32 off)
{
	return *(volatile u32 *)(area + off);
}

void guest_main(void)
{
	static const u16 cw = 0x27f;
	u64 v;

	asm volatile("fninit; fldcw %0; fldpi; fldz; fld1" ::"m"(cw));
	asm volatile("movq %0, %%xmm0; movq %1, %%xmm15" ::"r"(0x1111UL),
		     "r"(0xffffUL));
	memset(area, 0, sizeof(area));
	asm volatile("fxsave %0" : "=m"(area)::"memory");
	check("control word", u32_at(0) & 0xffff, 0x27f);
	check("TOP in the status word", u32_at(0) >> 16 & 0x3800, 5 << 11);
	check("abridged tags", area[4], 0xe0);
	check("MXCSR", u32_at(24), 0x1f80);
	check_range("MXCSR mask", u32_at(28), 0xffbf, 0x2ffff);
	check("ST0 is 1: exponent", u32_at(32 + 8) & 0xffff, 0x3fff);
	check("ST1 is 0: exponent", u32_at(48 + 8) & 0xffff, 0);
	check("ST2 is pi: mantissa", u32_at(64 + 4), 0xc90fdaa2);
	check("XMM0", u32_at(160), 0x1111);
	check("XMM15", u32_at(160 + 15 * 16), 0xffff);

	asm volatile("fninit; xorps %%xmm0, %%xmm0" ::: "memory");
	asm volatile("fxrstor %0" ::"m"(area) : "memory");
	asm volatile("movq %%xmm0, %0" : "=r"(v));
	check("XMM0 back", v, 0x1111);
	u16 sw;

	asm volatile("fnstsw %0" : "=a"(sw));
	check("TOP back", sw & 0x3800, 5 << 11);
	asm volatile("fstp %%st; fstp %%st; fistpll %0" : "=m"(v));
	check("pi back", v, 3);
	asm volatile("fninit");

	*(u32 *)(area + 24) = 0x1f80 | 1u << 16;
	CATCH("fxrstor %0", ::"m"(area) : "memory");
	if (!tcg_differs("loads any MXCSR"))
		check_trap("FXRSTOR, reserved MXCSR bit", GP, 0);
	*(u32 *)(area + 24) = 0x1f80;
	write_cr0(read_cr0() | 8);
	CATCH("fxsave %0", : "=m"(area)::"memory");
	check_trap("FXSAVE with CR0.TS", NM, 0);
	CATCH("fxrstor %0", ::"m"(area) : "memory");
	check_trap("FXRSTOR with CR0.TS", NM, 0);
	asm volatile("clts");
}
