/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512 beyond what the comparison with the host covers: what keeps an
 * instruction back, 16- and 32-bit code, malformed prefixes, elements left
 * out at a page that is absent, and the state that XSAVE sees.
 */
#include "fake/test.h"

#include <string.h>

#include "machine_under_test.h"
#include "x86/fpu.h"

#define PADDD	 0x66, 0x0f, 0xfe, 0xc1 /* xmm0, xmm1 */
#define VPADDD	 0xc5, 0xf1, 0xfe, 0xc2 /* xmm0, xmm1, xmm2 */
#define VPADDD_Z 0x62, 0xf1, 0x75, 0x48, 0xfe, 0xc2 /* zmm0, zmm1, zmm2 */
#define KANDW	 0xc5, 0xf4, 0x41, 0xc2 /* k0, k1, k2 */
#define XSAVE	 0x0f, 0xae, 0x23
#define XSAVEOPT 0x0f, 0xae, 0x33
#define XRSTOR	 0x0f, 0xae, 0x2b
#define XSAVEC	 0x0f, 0xc7, 0x23
#define ALL	 0xe7u

#define LAST 0x200000u /* where the mapped memory ends */

static void begin(struct x86_cpu *cpu, enum test_mode mode)
{
	if (!cpu->cpuid->avx512)
		skip();
	test_cpu_mode(cpu, mode);
	cpu->state.xcr0 |= X86_XCR0_AVX512;
	x86_cpu_state_changed(cpu);
}

/* Every byte of ZMMn, n < 16. */
static void set_zmm(struct x86_cpu *cpu, unsigned int n, uint8_t each)
{
	memset(cpu->state.xsave + FPU_XMM + 16 * n, each, 16);
	memset(cpu->state.xsave + X86_XSAVE_YMM + 16 * n, each, 16);
	memset(cpu->state.xsave + X86_XSAVE_ZMM_HI256 + 32 * n, each, 32);
	cpu->upper = true;
}

static void set_opmask(struct x86_cpu *cpu, unsigned int n, uint64_t v)
{
	fpu_set64(&cpu->state, X86_XSAVE_OPMASK + 8 * n, v);
	cpu->upper = true;
}

static uint64_t get_opmask(struct x86_cpu *cpu, unsigned int n)
{
	return fpu_get64(&cpu->state, X86_XSAVE_OPMASK + 8 * n);
}

static uint8_t highest(struct x86_cpu *cpu, unsigned int n)
{
	return cpu->state.xsave[X86_XSAVE_ZMM_HI256 + 32 * n + 31];
}

static void test_modes(void **state)
{
	static const enum test_mode modes[] = { TEST_LONG, TEST_PROT32,
						TEST_PROT16 };
	struct x86_cpu *cpu = *state;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		begin(cpu, modes[i]);
		set_zmm(cpu, 1, 1);
		set_zmm(cpu, 2, 2);
		assert_int_equal(TEST_RUN(cpu, VPADDD_Z), -1);
		assert_int_equal(highest(cpu, 0), 3);
		set_opmask(cpu, 1, 0xff0c);
		set_opmask(cpu, 2, 0x120a);
		assert_int_equal(TEST_RUN(cpu, KANDW), -1);
		assert_int_equal(get_opmask(cpu, 0), 0x1208);
		/* vmovdqu32 zmm0, [rbx + 64]; 16-bit code: [bx + 64] */
		test_data(cpu)[127] = 0x77;
		assert_int_equal(modes[i] == TEST_PROT16 ?
			TEST_RUN(cpu, 0x62, 0xf1, 0x7e, 0x48, 0x6f, 0x47, 1) :
			TEST_RUN(cpu, 0x62, 0xf1, 0x7e, 0x48, 0x6f, 0x43, 1),
				 -1);
		assert_int_equal(highest(cpu, 0), 0x77);
	}
	/* vcvtsi2sd xmm0, xmm1, ecx: W means nothing here */
	begin(cpu, TEST_PROT32);
	cpu->state.gpr[X86_RCX] = 0xffffffff00000003;
	assert_int_equal(TEST_RUN(cpu, 0x62, 0xf1, 0xf7, 0x08, 0x2a, 0xc1), -1);
	assert_true(fpu_get64(&cpu->state, FPU_XMM) == 0x4008000000000000);
}

static void test_control_bits(void **state)
{
	struct x86_cpu *cpu = *state;
	struct x86_state *s = &cpu->state;

	begin(cpu, TEST_LONG);
	s->cr0 |= X86_CR0_TS;
	assert_int_equal(TEST_RUN(cpu, VPADDD_Z), X86_NM);
	assert_int_equal(TEST_RUN(cpu, KANDW), X86_NM);
	s->xcr0 &= ~(uint64_t)X86_XCR0_AVX512;
	assert_int_equal(TEST_RUN(cpu, VPADDD_Z), X86_UD);
	s->cr0 &= ~(uint64_t)X86_CR0_TS;
	assert_int_equal(TEST_RUN(cpu, VPADDD_Z), X86_UD);
	assert_int_equal(TEST_RUN(cpu, KANDW), X86_UD);
	assert_int_equal(TEST_RUN(cpu, VPADDD), -1);
	s->xcr0 |= X86_XCR0_AVX512;
	assert_int_equal(TEST_RUN(cpu, VPADDD_Z), -1);
	/* Neither CR0.EM nor CR4.OSFXSR matters. */
	s->cr0 |= X86_CR0_EM;
	s->cr4 &= ~(uint64_t)X86_CR4_OSFXSR;
	assert_int_equal(TEST_RUN(cpu, VPADDD_Z), -1);
	s->cr4 &= ~(uint64_t)X86_CR4_OSXSAVE;
	assert_int_equal(TEST_RUN(cpu, VPADDD_Z), X86_UD);
	assert_int_equal(TEST_RUN(cpu, KANDW), X86_UD);
}

static void test_malformed(void **state)
{
	static const struct {
		uint8_t bytes[7], size;
	} cases[] = {
		{ { 0x62, 0xf9, 0x75, 0x48, 0xfe, 0xc2 }, 6 }, /* P0[3] */
		{ { 0x62, 0xf1, 0x71, 0x48, 0xfe, 0xc2 }, 6 }, /* P1[2] */
		{ { 0x62, 0xf0, 0x75, 0x48, 0xfe, 0xc2 }, 6 }, /* map 0 */
		{ { 0x62, 0xf1, 0x75, 0xc8, 0xfe, 0xc2 }, 6 }, /* z, k0 */
		{ { 0x62, 0xf1, 0x75, 0x68, 0xfe, 0xc2 }, 6 }, /* L'L 3 */
		{ { 0x62, 0xf1, 0x75, 0x58, 0xfe, 0xc2 }, 6 }, /* b */
		/* vpabsd zmm0, zmm2 with V' or vvvv in use */
		{ { 0x62, 0xf2, 0x7d, 0x40, 0x1e, 0xc2 }, 6 },
		{ { 0x62, 0xf2, 0x75, 0x48, 0x1e, 0xc2 }, 6 },
		/* vmovdqu32 [rbx]{k1}{z}, zmm0 */
		{ { 0x62, 0xf1, 0x7e, 0xc9, 0x7f, 0x03 }, 6 },
		/* vpcmpeqd k8, zmm0, zmm1; vpgatherdd zmm0{k0} */
		{ { 0x62, 0x71, 0x7d, 0x48, 0x76, 0xc1 }, 6 },
		{ { 0x62, 0xf2, 0x7d, 0x48, 0x90, 0x04, 0x0b }, 7 },
		{ { 0x66, 0x62, 0xf1, 0x75, 0x48, 0xfe, 0xc2 }, 7 },
		{ { 0xf0, 0x62, 0xf1, 0x75, 0x48, 0xfe, 0xc2 }, 7 },
		{ { 0x40, 0x62, 0xf1, 0x75, 0x48, 0xfe, 0xc2 }, 7 },
		/* vaddph zmm0, zmm1, zmm2, which is not offered */
		{ { 0x62, 0xf5, 0x74, 0x48, 0x58, 0xc2 }, 6 },
	};
	struct x86_cpu *cpu = *state;
	unsigned int i;

	begin(cpu, TEST_LONG);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(test_run(cpu, cases[i].bytes, cases[i].size),
				 X86_UD);
}

/* What legacy, VEX and EVEX instructions do to the rest of a register. */
static void test_upper_bits(void **state)
{
	struct x86_cpu *cpu = *state;

	begin(cpu, TEST_LONG);
	set_zmm(cpu, 0, 5);
	set_zmm(cpu, 1, 1);
	assert_int_equal(TEST_RUN(cpu, PADDD), -1);
	assert_int_equal(highest(cpu, 0), 5);
	assert_int_equal(TEST_RUN(cpu, VPADDD), -1);
	assert_int_equal(highest(cpu, 0), 0);
	assert_int_equal(highest(cpu, 1), 1);
	/* vpaddd ymm1{k1}, ymm2, ymm3, with no element enabled */
	set_opmask(cpu, 1, 0);
	assert_int_equal(TEST_RUN(cpu, 0x62, 0xf1, 0x6d, 0x29, 0xfe, 0xcb), -1);
	assert_int_equal(cpu->state.xsave[X86_XSAVE_YMM + 16 + 15], 1);
	assert_int_equal(highest(cpu, 1), 0);
	/* vpmaskmovd xmm4, xmm5, [rbx] moves data by itself */
	set_zmm(cpu, 4, 9);
	assert_int_equal(TEST_RUN(cpu, 0xc4, 0xe2, 0x51, 0x8c, 0x23), -1);
	assert_int_equal(highest(cpu, 4), 0);
	set_zmm(cpu, 4, 9);
	assert_int_equal(TEST_RUN(cpu, 0xc5, 0xf8, 0x77), -1); /* vzeroupper */
	assert_int_equal(highest(cpu, 4), 0);
	assert_int_equal(cpu->state.xsave[FPU_XMM + 64], 9);
}

#define STORE_K1 0x62, 0xf1, 0x7e, 0x49, 0x7f, 0x03 /* vmovdqu32 [rbx] */
#define LOAD_K1	 0x62, 0xf1, 0x7e, 0xc9, 0x6f, 0x03
#define COMPRESS 0x62, 0xf2, 0x7d, 0x49, 0x8b, 0x03 /* vpcompressd [rbx] */
#define EXPAND	 0x62, 0xf2, 0x7d, 0xc9, 0x89, 0x03
#define ALIGNED	 0x62, 0xf1, 0x7d, 0x49, 0x6f, 0x03 /* vmovdqa32, [rbx] */

/* 32 bytes of the operand lie in memory that is there. */
static void test_left_out(void **state)
{
	struct x86_cpu *cpu = *state;
	uint8_t *end;

	begin(cpu, TEST_LONG);
	end = memory_for_write(&cpu->vm->memory, gpa(LAST - 64), 64);
	memset(end, 0, 64);
	cpu->state.gpr[X86_RBX] = LAST - 32;
	set_zmm(cpu, 0, 0x11);
	set_opmask(cpu, 1, 0x80ff);
	assert_int_equal(TEST_RUN(cpu, STORE_K1), X86_PF);
	assert_int_equal(end[32], 0);
	assert_int_equal(TEST_RUN(cpu, LOAD_K1), X86_PF);
	set_opmask(cpu, 1, 0xffff00fe);
	assert_int_equal(TEST_RUN(cpu, STORE_K1), -1);
	assert_int_equal(end[35], 0);
	assert_int_equal(end[36], 0x11);
	assert_int_equal(TEST_RUN(cpu, LOAD_K1), -1);
	assert_int_equal(highest(cpu, 0), 0);
	/* Eight elements of sixteen fit, wherever they come from. */
	set_opmask(cpu, 1, 0x5555);
	set_zmm(cpu, 0, 0x22);
	assert_int_equal(TEST_RUN(cpu, COMPRESS), -1);
	assert_int_equal(end[63], 0x22);
	set_zmm(cpu, 0, 0);
	assert_int_equal(TEST_RUN(cpu, EXPAND), -1);
	assert_int_equal(highest(cpu, 0), 0);
	assert_int_equal(cpu->state.xsave[X86_XSAVE_ZMM_HI256 + 24], 0x22);
	set_opmask(cpu, 1, 0x5557);
	assert_int_equal(TEST_RUN(cpu, COMPRESS), X86_PF);
	assert_int_equal(TEST_RUN(cpu, EXPAND), X86_PF);
	cpu->state.gpr[X86_RBX] = LAST + 8;
	assert_int_equal(TEST_RUN(cpu, ALIGNED), X86_GP);
	set_opmask(cpu, 1, 0);
	assert_int_equal(TEST_RUN(cpu, ALIGNED), -1);
}

#define GATHER	0x62, 0xf2, 0x7d, 0x49, 0x90, 0x04, 0x0b /* zmm0, zmm1 */
#define SCATTER 0x62, 0xf2, 0x7d, 0x49, 0xa0, 0x04, 0x0b

/* A fault leaves what was done before it done, and the opmask says so. */
static void test_gather(void **state)
{
	struct x86_cpu *cpu = *state;
	uint32_t far = LAST;

	begin(cpu, TEST_LONG);
	set_zmm(cpu, 1, 0);
	memset(test_data(cpu), 0x44, 64);
	memcpy(cpu->state.xsave + FPU_XMM + 16 + 12, &far, 4);
	set_zmm(cpu, 0, 0x33);
	set_opmask(cpu, 1, 0xff);
	assert_int_equal(TEST_RUN(cpu, GATHER), X86_PF);
	assert_int_equal(get_opmask(cpu, 1), 0xf8);
	assert_int_equal(cpu->state.xsave[FPU_XMM + 11], 0x44);
	assert_int_equal(cpu->state.xsave[FPU_XMM + 12], 0x33);
	set_opmask(cpu, 1, 0xf0);
	assert_int_equal(TEST_RUN(cpu, GATHER), -1);
	assert_int_equal(get_opmask(cpu, 1), 0);
	assert_int_equal(highest(cpu, 0), 0x33);
	set_opmask(cpu, 1, 0x0e);
	assert_int_equal(TEST_RUN(cpu, SCATTER), X86_PF);
	assert_int_equal(get_opmask(cpu, 1), 0x08);
}

static void request(struct x86_cpu *cpu, uint32_t mask)
{
	cpu->state.gpr[X86_RAX] = mask;
	cpu->state.gpr[X86_RDX] = 0;
}

static uint64_t word(struct x86_cpu *cpu, unsigned int offset)
{
	uint64_t v;

	memcpy(&v, test_data(cpu) + offset, 8);
	return v;
}

static void test_xsave(void **state)
{
	struct x86_cpu *cpu = *state;
	struct x86_state before;
	unsigned int i;

	begin(cpu, TEST_LONG);
	for (i = 0; i < X86_XSAVE_PKRU - X86_XSAVE_OPMASK; i++)
		cpu->state.xsave[X86_XSAVE_OPMASK + i] = (uint8_t)(i % 251);
	cpu->upper = true;
	before = cpu->state;
	request(cpu, ALL);
	assert_int_equal(TEST_RUN(cpu, XSAVE), -1);
	assert_int_equal(word(cpu, 512), ALL);
	assert_memory_equal(test_data(cpu) + X86_XSAVE_OPMASK,
			    before.xsave + X86_XSAVE_OPMASK,
			    X86_XSAVE_PKRU - X86_XSAVE_OPMASK);
	memset(cpu->state.xsave + X86_XSAVE_OPMASK, 0,
	       X86_XSAVE_PKRU - X86_XSAVE_OPMASK);
	assert_int_equal(TEST_RUN(cpu, XRSTOR), -1);
	assert_memory_equal(cpu->state.xsave + X86_XSAVE_OPMASK,
			    before.xsave + X86_XSAVE_OPMASK,
			    X86_XSAVE_PKRU - X86_XSAVE_OPMASK);
	/* Compacted: opmasks, then ZMM16-31, right behind the header. */
	request(cpu, 0xa0);
	assert_int_equal(TEST_RUN(cpu, XSAVEC), -1);
	assert_memory_equal(test_data(cpu) + 576 + 64,
			    before.xsave + X86_XSAVE_HI16_ZMM, 1024);
}

/* A component that is all zero is not in use. */
static void test_in_use(void **state)
{
	struct x86_cpu *cpu = *state;

	begin(cpu, TEST_LONG);
	cpu->upper = true;
	memset(test_data(cpu), 0x5a, 512);
	memset(test_data(cpu) + X86_XSAVE_OPMASK, 0x5a, 64);
	request(cpu, ALL);
	assert_int_equal(TEST_RUN(cpu, XSAVEOPT), -1);
	assert_int_equal(word(cpu, 512), 7);
	assert_int_equal(test_data(cpu)[X86_XSAVE_OPMASK], 0x5a);
	assert_false(cpu->upper);
	set_opmask(cpu, 3, 1);
	assert_int_equal(TEST_RUN(cpu, XSAVE), -1);
	assert_int_equal(word(cpu, 512), 0x27);
	assert_int_equal(test_data(cpu)[X86_XSAVE_OPMASK + 24], 1);
	cpu->state.gpr[X86_RCX] = 1;
	assert_int_equal(TEST_RUN(cpu, 0x0f, 0x01, 0xd0), -1); /* xgetbv */
	assert_int_equal(cpu->state.gpr[X86_RAX], 0x27);
	/* XRSTOR of the initial state */
	memset(test_data(cpu) + 512, 0, 8);
	request(cpu, ALL);
	assert_int_equal(TEST_RUN(cpu, XRSTOR), -1);
	assert_int_equal(get_opmask(cpu, 3), 0);
	assert_false(cpu->upper);
}

static void test_xcr0(void **state)
{
	struct x86_cpu *cpu = *state;
	static const struct {
		uint32_t value;
		int vector;
	} cases[] = {
		{ 0xe7, -1 }, { 0x07, -1 },
		{ 0xe3, X86_GP }, /* without AVX */
		{ 0x27, X86_GP }, { 0x67, X86_GP }, { 0xc7, X86_GP },
	};
	unsigned int i;

	begin(cpu, TEST_LONG);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request(cpu, cases[i].value);
		cpu->state.gpr[X86_RCX] = 0;
		assert_int_equal(TEST_RUN(cpu, 0x0f, 0x01, 0xd1),
				 cases[i].vector);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_control_bits),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_upper_bits),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_gather),
		cmocka_unit_test(test_xsave),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_xcr0),
	};

	return cmocka_run_group_tests(tests, test_cpu_open, test_cpu_close);
}
