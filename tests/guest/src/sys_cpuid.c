/* SPDX-License-Identifier: Apache-2.0
 *
 * CPUID: sane and the same every time, consistent between leaves and with
 * what the processor does: an instruction of each feature that is offered
 * runs (real processors run hidden ones, too). Intel SDM vol. 2 CPUID.
 */
#include "lib.h"

static u8 area[64] __attribute__((aligned(64)));

static void same(u32 leaf, u32 sub)
{
	struct cpuid x = cpuid(leaf, sub), y = cpuid(leaf, sub);

	check("EAX again", y.a, x.a);
	check("EBX again", y.b, x.b);
	check("ECX again", y.c, x.c);
	check("EDX again", y.d, x.d);
}

#define FEATURE(name, leaf, reg, bit, insn)                              \
	do {                                                             \
		if (!cpu_has(leaf, reg, bit))                            \
			break;                                           \
		CATCH(insn, ::"D"(area) : "rax", "rcx", "rdx", "memory", \
		      "cc");                                             \
		check_no_trap(name);                                     \
	} while (0)

void guest_main(void)
{
	u32 max = cpuid(0, 0).a, ext = cpuid(0x80000000, 0).a;
	bool avx = cpu_has(1, 2, 28), xsave = cpu_has(1, 2, 26);

	check_range("highest leaf", max, 7, 0x40);
	check_range("highest extended leaf", ext, 0x80000008, 0x80000040);
	for (u32 i = 0; i <= max; i++) {
		if (i != 1)
			same(i, 0);
	}
	for (u32 i = 0x80000000; i <= ext; i++)
		same(i, 0);
	check("APIC", cpu_has(1, 3, 9), 1);
	check("long mode", cpu_has(0x80000001, 3, 29), 1);
	check("CLFLUSH line", cpuid(1, 0).b >> 8 & 0xff, 8);
	check("APIC id", cpuid(1, 0).b >> 24, 0);
	check("AVX only with XSAVE", avx && !xsave, 0);
	if (max >= 0xb && cpuid(0xb, 0).b)
		check("x2APIC id", cpuid(0xb, 0).d, 0);

	FEATURE("SSE3", 1, 2, 0, "haddps %%xmm0, %%xmm0");
	FEATURE("PCLMULQDQ", 1, 2, 1, "pclmulqdq $0, %%xmm0, %%xmm0");
	FEATURE("SSSE3", 1, 2, 9, "pabsb %%xmm0, %%xmm0");
	FEATURE("SSE4.1", 1, 2, 19, "pmovzxbw %%xmm0, %%xmm0");
	FEATURE("SSE4.2", 1, 2, 20, "pcmpgtq %%xmm0, %%xmm0");
	FEATURE("MOVBE", 1, 2, 22, "movbe (%%rdi), %%eax");
	FEATURE("AES", 1, 2, 25, "aesenc %%xmm0, %%xmm0");
	FEATURE("RDRAND", 1, 2, 30, "rdrand %%eax");
	FEATURE("CMPXCHG16B", 1, 2, 13, "push %%rbx; cmpxchg16b (%%rdi);"
					"pop %%rbx");
	FEATURE("ADX", 7, 1, 19, "adcx %%eax, %%eax");
	FEATURE("RDSEED", 7, 1, 18, "rdseed %%eax");
	FEATURE("CLFLUSHOPT", 7, 1, 23, "clflushopt (%%rdi)");
	FEATURE("CLWB", 7, 1, 24, "clwb (%%rdi)");
	FEATURE("SHA", 7, 1, 29, "sha1msg1 %%xmm0, %%xmm0");
	FEATURE("SMAP", 7, 1, 20, "clac");
	FEATURE("RDTSCP", 0x80000001, 3, 27, "rdtscp");
	if (xsave) {
		write_cr4(read_cr4() | 1UL << 18);
		asm volatile("xsetbv" ::"c"(0), "d"(0),
			     "a"(avx ? 7 | (cpuid(13, 0).a & 0xe0) : 3));
	}
	FEATURE("BMI1", 7, 1, 3, "andn %%eax, %%eax, %%eax");
	FEATURE("BMI2", 7, 1, 8, "shlx %%eax, %%eax, %%eax");
	FEATURE("AVX", 1, 2, 28, "vpxor %%xmm0, %%xmm0, %%xmm0");
	FEATURE("AVX2", 7, 1, 5, "vpaddb %%ymm0, %%ymm0, %%ymm0");
	FEATURE("FMA", 1, 2, 12, "vfmadd132ps %%xmm0, %%xmm0, %%xmm0");
	FEATURE("F16C", 1, 2, 29, "vcvtph2ps %%xmm0, %%xmm0");
	FEATURE("AVX512F", 7, 1, 16, "vpxord %%zmm0, %%zmm0, %%zmm0");
	FEATURE("AVX512BW", 7, 1, 30, "vpaddb %%zmm0, %%zmm0, %%zmm0");
	FEATURE("AVX512_VBMI", 7, 2, 1, "vpermb %%zmm0, %%zmm0, %%zmm0");
	FEATURE("AVX512_VNNI", 7, 2, 11, "vpdpbusd %%zmm0, %%zmm0, %%zmm0");
	FEATURE("VPOPCNTDQ", 7, 2, 14, "vpopcntd %%zmm0, %%zmm0");
}
