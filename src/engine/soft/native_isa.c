/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instruction sets the guest's CPUID offers. What is not in the table
 * (SSE4A, XOP, FMA4, TBM, 3DNow!, MPX, CET, AMX ...) is refused. AVX-512 is
 * offered with BW, CD, DQ and VL or not at all, see cpuid.c.
 * Feature bits: Intel SDM vol. 2, CPUID; AMD64 APM vol. 3, appendix E.
 */
#include "engine/soft/native_op.h"

enum cpuid_register { EAX, EBX, ECX, EDX };

struct feature {
	uint32_t leaf, subleaf;
	uint8_t reg; /* enum cpuid_register */
	uint8_t bit;
};

/* Order of the bits in native.features. */
enum native_feature {
	F_FPU,
	F_CMOV,
	F_MMX,
	F_SSE,
	F_SSE2,
	F_SSE3,
	F_SSSE3,
	F_SSE41,
	F_SSE42,
	F_AES,
	F_PCLMUL,
	F_AVX,
	F_AVX2,
	F_FMA,
	F_F16C,
	F_MOVBE,
	F_BMI1,
	F_BMI2,
	F_ADX,
	F_SHA,
	F_GFNI,
	F_VAES,
	F_VPCLMUL,
	F_AVX_VNNI,
	F_512,
	F_512IFMA,
	F_512VBMI,
	F_512VBMI2,
	F_512VNNI,
	F_512BITALG,
	F_512POPCNT,
	F_512INTERSECT,
	F_512BF16,
	F_COUNT,
};

static const struct feature features[F_COUNT] = {
	[F_FPU] = { 1, 0, EDX, 0 },	 [F_CMOV] = { 1, 0, EDX, 15 },
	[F_MMX] = { 1, 0, EDX, 23 },	 [F_SSE] = { 1, 0, EDX, 25 },
	[F_SSE2] = { 1, 0, EDX, 26 },	 [F_SSE3] = { 1, 0, ECX, 0 },
	[F_SSSE3] = { 1, 0, ECX, 9 },	 [F_SSE41] = { 1, 0, ECX, 19 },
	[F_SSE42] = { 1, 0, ECX, 20 },	 [F_AES] = { 1, 0, ECX, 25 },
	[F_PCLMUL] = { 1, 0, ECX, 1 },	 [F_AVX] = { 1, 0, ECX, 28 },
	[F_AVX2] = { 7, 0, EBX, 5 },	 [F_FMA] = { 1, 0, ECX, 12 },
	[F_F16C] = { 1, 0, ECX, 29 },	 [F_MOVBE] = { 1, 0, ECX, 22 },
	[F_BMI1] = { 7, 0, EBX, 3 },	 [F_BMI2] = { 7, 0, EBX, 8 },
	[F_ADX] = { 7, 0, EBX, 19 },	 [F_SHA] = { 7, 0, EBX, 29 },
	[F_GFNI] = { 7, 0, ECX, 8 },	 [F_VAES] = { 7, 0, ECX, 9 },
	[F_VPCLMUL] = { 7, 0, ECX, 10 }, [F_AVX_VNNI] = { 7, 1, EAX, 4 },
	[F_512] = { 7, 0, EBX, 16 },	 [F_512IFMA] = { 7, 0, EBX, 21 },
	[F_512VBMI] = { 7, 0, ECX, 1 },	 [F_512VBMI2] = { 7, 0, ECX, 6 },
	[F_512VNNI] = { 7, 0, ECX, 11 }, [F_512BITALG] = { 7, 0, ECX, 12 },
	[F_512POPCNT] = { 7, 0, ECX, 14 },
	[F_512INTERSECT] = { 7, 0, EDX, 8 },
	[F_512BF16] = { 7, 1, EAX, 5 },
};

#define BIT(f) ((uint64_t)1 << (f))

static const struct {
	ZydisISASet isa;
	uint64_t need;
} isa_sets[] = {
	{ ZYDIS_ISA_SET_X87, BIT(F_FPU) },
	{ ZYDIS_ISA_SET_FCMOV, BIT(F_FPU) | BIT(F_CMOV) },
	{ ZYDIS_ISA_SET_PPRO, BIT(F_FPU) | BIT(F_CMOV) }, /* FCOMI */
	{ ZYDIS_ISA_SET_PENTIUMMMX, BIT(F_MMX) },
	{ ZYDIS_ISA_SET_SSE, BIT(F_SSE) },
	{ ZYDIS_ISA_SET_SSE2, BIT(F_SSE2) },
	{ ZYDIS_ISA_SET_SSE2MMX, BIT(F_SSE2) },
	{ ZYDIS_ISA_SET_SSE3, BIT(F_SSE3) },
	{ ZYDIS_ISA_SET_SSE3X87, BIT(F_SSE3) },
	{ ZYDIS_ISA_SET_SSSE3, BIT(F_SSSE3) },
	{ ZYDIS_ISA_SET_SSSE3MMX, BIT(F_SSSE3) },
	{ ZYDIS_ISA_SET_SSE4, BIT(F_SSE41) },
	{ ZYDIS_ISA_SET_SSE42, BIT(F_SSE42) },
	{ ZYDIS_ISA_SET_AES, BIT(F_AES) },
	{ ZYDIS_ISA_SET_PCLMULQDQ, BIT(F_PCLMUL) },
	{ ZYDIS_ISA_SET_AVX, BIT(F_AVX) },
	{ ZYDIS_ISA_SET_AVXAES, BIT(F_AVX) | BIT(F_AES) },
	{ ZYDIS_ISA_SET_AVX2, BIT(F_AVX2) },
	{ ZYDIS_ISA_SET_AVX2GATHER, BIT(F_AVX2) },
	{ ZYDIS_ISA_SET_FMA, BIT(F_FMA) },
	{ ZYDIS_ISA_SET_F16C, BIT(F_F16C) },
	{ ZYDIS_ISA_SET_MOVBE, BIT(F_MOVBE) },
	{ ZYDIS_ISA_SET_BMI1, BIT(F_BMI1) },
	{ ZYDIS_ISA_SET_BMI2, BIT(F_BMI2) },
	{ ZYDIS_ISA_SET_ADOX_ADCX, BIT(F_ADX) },
	{ ZYDIS_ISA_SET_SHA, BIT(F_SHA) },
	{ ZYDIS_ISA_SET_GFNI, BIT(F_GFNI) },
	{ ZYDIS_ISA_SET_AVX_GFNI, BIT(F_AVX) | BIT(F_GFNI) },
	{ ZYDIS_ISA_SET_VAES, BIT(F_AVX) | BIT(F_VAES) },
	{ ZYDIS_ISA_SET_VPCLMULQDQ, BIT(F_AVX) | BIT(F_VPCLMUL) },
	{ ZYDIS_ISA_SET_AVX_VNNI, BIT(F_AVX) | BIT(F_AVX_VNNI) },
	{ ZYDIS_ISA_SET_AVX512F_128, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512F_128N, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512F_256, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512F_512, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512F_KOP, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512F_SCALAR, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512BW_128, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512BW_128N, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512BW_256, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512BW_512, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512BW_KOP, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512CD_128, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512CD_256, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512CD_512, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512DQ_128, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512DQ_128N, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512DQ_256, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512DQ_512, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512DQ_KOP, BIT(F_512) },
	{ ZYDIS_ISA_SET_AVX512DQ_SCALAR, BIT(F_512) },
#define LENGTHS(name, need)                            \
	{ ZYDIS_ISA_SET_AVX512_##name##_128, (need) }, \
	{ ZYDIS_ISA_SET_AVX512_##name##_256, (need) }, \
	{ ZYDIS_ISA_SET_AVX512_##name##_512, (need) }
	LENGTHS(IFMA, BIT(F_512) | BIT(F_512IFMA)),
	LENGTHS(VBMI, BIT(F_512) | BIT(F_512VBMI)),
	LENGTHS(VBMI2, BIT(F_512) | BIT(F_512VBMI2)),
	LENGTHS(VNNI, BIT(F_512) | BIT(F_512VNNI)),
	LENGTHS(BITALG, BIT(F_512) | BIT(F_512BITALG)),
	LENGTHS(VPOPCNTDQ, BIT(F_512) | BIT(F_512POPCNT)),
	LENGTHS(VP2INTERSECT, BIT(F_512) | BIT(F_512INTERSECT)),
	LENGTHS(BF16, BIT(F_512) | BIT(F_512BF16)),
	LENGTHS(GFNI, BIT(F_512) | BIT(F_GFNI)),
	LENGTHS(VAES, BIT(F_512) | BIT(F_VAES)),
	LENGTHS(VPCLMULQDQ, BIT(F_512) | BIT(F_VPCLMUL)),
#undef LENGTHS
};

static bool cpuid_has(const struct x86_cpu *cpu, const struct feature *f)
{
	struct cpuid_regs r = cpuid_query(cpu->cpuid, &cpu->state, cpu->id,
					  f->leaf, f->subleaf);
	const uint32_t v[] = { r.eax, r.ebx, r.ecx, r.edx };

	return v[f->reg] >> f->bit & 1;
}

static void find_features(struct native *n, const struct x86_cpu *cpu)
{
	unsigned int i;

	n->features = 0;
	for (i = 0; i < F_COUNT; i++)
		if (cpuid_has(cpu, &features[i]))
			n->features |= BIT(i);
	n->features_known = true;
}

bool native_isa_offered(struct native *n, struct x86_cpu *cpu,
			const ZydisDecodedInstruction *zi)
{
	unsigned int i;

	if (!n->features_known)
		find_features(n, cpu);
	for (i = 0; i < sizeof(isa_sets) / sizeof(isa_sets[0]); i++)
		if (isa_sets[i].isa == zi->meta.isa_set)
			return (n->features & isa_sets[i].need) ==
			       isa_sets[i].need;
	return false;
}
