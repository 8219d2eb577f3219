/* SPDX-License-Identifier: Apache-2.0
 *
 * XSAVE and XRSTOR: the header's XSTATE_BV, requested features only, initial
 * state for a clear bit, XSAVEOPT, alignment, XSETBV's checks, OSXSAVE.
 * Intel SDM vol. 1 sections 13.2, 13.7 and 13.8.
 */
#include "lib.h"

static u8 area[4096] __attribute__((aligned(64)));

static u64 xgetbv(u32 i)
{
	u32 a, d;

	asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(i));
	return a | (u64)d << 32;
}

static void xsetbv(u32 i, u64 v)
{
	CATCH("xsetbv", ::"c"(i), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static void xsave(u32 mask)
{
	asm volatile("xsave (%0)" ::"r"(area), "a"(mask), "d"(0) : "memory");
}

static void xrstor(u32 mask)
{
	CATCH("xrstor (%0)", ::"r"(area), "a"(mask), "d"(0) : "memory");
}

static void load(u64 v)
{
	asm volatile("movq %0, %%xmm7; fninit; fld1" ::"r"(v));
}

static u64 xmm7(void)
{
	u64 v;

	asm volatile("movq %%xmm7, %0" : "=r"(v));
	return v;
}

static void check_xcr0(u64 all)
{
	xsetbv(0, 0);
	check_trap("XCR0 without x87", GP, 0);
	if (all & 4) {
		xsetbv(0, 5);
		check_trap("XCR0 with AVX, without SSE", GP, 0);
	}
	xsetbv(0, 3 | 1ULL << 62);
	check_trap("XCR0 with a reserved bit", GP, 0);
	xsetbv(1, 3);
	check_trap("XCR1", GP, 0);
	xsetbv(0, all);
	check_no_trap("XCR0 with all that CPUID names");
	check("XCR0", xgetbv(0), all);
	check("size of all", cpuid(13, 0).b, cpuid(13, 0).c);
	xsetbv(0, 3);
	check("size of x87 and SSE", cpuid(13, 0).b, 576);
}

void guest_main(void)
{
	volatile u64 *bv = (u64 *)(area + 512);

	need(1, 2, 26, "XSAVE");
	CATCH("xgetbv", ::"c"(0) : "rax", "rdx");
	check_trap("XGETBV without OSXSAVE", UD, 0);
	check("CPUID.OSXSAVE off", cpuid(1, 0).c >> 27 & 1, 0);
	write_cr4(read_cr4() | 1UL << 18);
	check("CPUID.OSXSAVE on", cpuid(1, 0).c >> 27 & 1, 1);
	check("XCR0 at the start", xgetbv(0), 1);
	check_xcr0(cpuid(13, 0).a);

	load(0x1234);
	memset(area, 0, sizeof(area));
	xsave(3);
	check("XSTATE_BV", *bv & 3, 3);
	check("XMM7 saved", *(u64 *)(area + 160 + 7 * 16), 0x1234);
	check("abridged tag", area[4], 0x80);
	memset(area, 0, sizeof(area));
	load(0x5678);
	xsave(1);
	check("XSTATE_BV of x87 alone", *bv, 1);
	check("XMM7 not saved", *(u64 *)(area + 160 + 7 * 16), 0);

	load(0x9abc);
	xsave(3);
	load(1);
	xrstor(3);
	check("XMM7 restored", xmm7(), 0x9abc);
	load(1);
	xrstor(1);
	check("XMM7 not asked for", xmm7(), 1);
	*bv = 1;
	xrstor(3);
	check("XMM7 initialized", xmm7(), 0);

	xsave(3);
	*(u64 *)(area + 520) = 1;
	xrstor(3);
	check_trap("XRSTOR, XCOMP_BV set", GP, 0);
	*(u64 *)(area + 520) = 0;
	*bv = 4;
	xrstor(3);
	check_trap("XRSTOR, bit beyond XCR0", GP, 0);
	*bv = 3;
	*(u32 *)(area + 24) = 0x10000;
	xrstor(3);
	if (!tcg_differs("loads any MXCSR"))
		check_trap("XRSTOR, MXCSR reserved", GP, 0);
	CATCH("xsave 16(%0)", ::"r"(area), "a"(3), "d"(0) : "memory");
	check_trap("XSAVE misaligned", GP, 0);
	write_cr0(read_cr0() | 8);
	CATCH("xsave (%0)", ::"r"(area), "a"(3), "d"(0) : "memory");
	if (!tcg_differs("ignores CR0.TS in XSAVE"))
		check_trap("XSAVE with CR0.TS", NM, 0);
	asm volatile("clts");
}
