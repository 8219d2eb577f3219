/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FXSAVE, the XSAVE family, MXCSR and the x87 environment: formats, what is
 * left alone, what is refused.
 */
#include "fake/test.h"

#include <string.h>

#include "machine_under_test.h"
#include "x86/fpu.h"

#define FXSAVE	   0x0f, 0xae, 0x03
#define FXRSTOR	   0x0f, 0xae, 0x0b
#define LDMXCSR	   0x0f, 0xae, 0x13
#define XSAVE	   0x0f, 0xae, 0x23
#define XRSTOR	   0x0f, 0xae, 0x2b
#define XSAVEC	   0x0f, 0xc7, 0x23
#define VZEROUPPER 0xc5, 0xf8, 0x77
#define VZEROALL   0xc5, 0xfc, 0x77
#define FNSTENV	   0xd9, 0x33
#define FLDENV	   0xd9, 0x23
#define FNSAVE	   0xdd, 0x33
#define FRSTOR	   0xdd, 0x23

/* Distinct bytes in every register of the first three components. */
static void fill(struct x86_cpu *cpu)
{
	uint8_t *x = cpu->state.xsave;
	unsigned int i, k;

	fpu_set16(&cpu->state, FPU_FCW, 0x027f);
	fpu_set16(&cpu->state, FPU_FSW, 0x2800); /* TOP 5 */
	x[FPU_FTW] = 0xe0;
	for (i = 0; i < 8; i++)
		for (k = 0; k < 10; k++)
			x[FPU_ST + 16 * i + k] = (uint8_t)(0x80 + 16 * i + k);
	for (i = 0; i < 256; i++) {
		x[FPU_XMM + i] = (uint8_t)i;
		x[X86_XSAVE_YMM + i] = (uint8_t)~i;
	}
	fpu_set32(&cpu->state, FPU_MXCSR, 0x5f80);
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

static void test_fxsave(void **state)
{
	struct x86_cpu *cpu = *state;
	struct x86_state before;

	test_cpu_mode(cpu, TEST_LONG);
	fill(cpu);
	memset(test_data(cpu) + 416, 0x5a, 96);
	assert_int_equal(TEST_RUN(cpu, FXSAVE), -1);
	assert_memory_equal(test_data(cpu) + FPU_XMM,
			    cpu->state.xsave + FPU_XMM, 256);
	assert_int_equal(test_data(cpu)[416], 0x5a);
	assert_int_equal((uint32_t)word(cpu, FPU_MXCSR_MASK), 0xffff);
	before = cpu->state;
	memset(cpu->state.xsave, 0, FPU_XMM + 256);
	assert_int_equal(TEST_RUN(cpu, FXRSTOR), -1);
	assert_memory_equal(cpu->state.xsave, before.xsave, FPU_MXCSR);
	assert_memory_equal(cpu->state.xsave + FPU_ST, before.xsave + FPU_ST,
			    128 + 256);
	cpu->state.gpr[X86_RBX] += 8;
	assert_int_equal(TEST_RUN(cpu, FXSAVE), X86_GP);
	assert_int_equal(TEST_RUN(cpu, FXRSTOR), X86_GP);
	cpu->state.cr0 |= X86_CR0_TS;
	assert_int_equal(TEST_RUN(cpu, FXSAVE), X86_NM);
}

static void test_fxsave_protected(void **state)
{
	struct x86_cpu *cpu = *state;

	test_cpu_mode(cpu, TEST_PROT32);
	fill(cpu);
	assert_int_equal(TEST_RUN(cpu, FXSAVE), -1);
	assert_int_equal(test_data(cpu)[FPU_XMM + 127], 127);
	assert_int_equal(test_data(cpu)[FPU_XMM + 128], 0);
}

static void test_mxcsr_reserved(void **state)
{
	struct x86_cpu *cpu = *state;
	uint32_t bad = 0x10000;

	test_cpu_mode(cpu, TEST_LONG);
	memcpy(test_data(cpu), &bad, 4);
	assert_int_equal(TEST_RUN(cpu, LDMXCSR), X86_GP);
	memcpy(test_data(cpu) + FPU_MXCSR, &bad, 4);
	assert_int_equal(TEST_RUN(cpu, FXRSTOR), X86_GP);
	request(cpu, 7);
	assert_int_equal(TEST_RUN(cpu, XRSTOR), X86_GP);
	/* With x87 alone MXCSR is not looked at. */
	request(cpu, 1);
	assert_int_equal(TEST_RUN(cpu, XRSTOR), -1);
}

static void test_xsave_standard(void **state)
{
	struct x86_cpu *cpu = *state;
	uint64_t bv = 0x8001;

	test_cpu_mode(cpu, TEST_LONG);
	fill(cpu);
	memcpy(test_data(cpu) + 512, &bv, 8);
	request(cpu, 4);
	assert_int_equal(TEST_RUN(cpu, XSAVE), -1);
	/* Bits that were not asked for stay; so do their components. */
	assert_int_equal(word(cpu, 512), 0x8005);
	assert_int_equal(word(cpu, FPU_XMM), 0);
	assert_int_equal((uint32_t)word(cpu, FPU_MXCSR), 0x5f80);
	assert_memory_equal(test_data(cpu) + 576,
			    cpu->state.xsave + X86_XSAVE_YMM, 256);
	bv = 4;
	memcpy(test_data(cpu) + 512, &bv, 8);
	request(cpu, 7);
	assert_int_equal(TEST_RUN(cpu, XRSTOR), -1);
	/* x87 and SSE went to their initial state. */
	assert_int_equal(fpu_get16(&cpu->state, FPU_FCW), 0x37f);
	assert_int_equal(fpu_get64(&cpu->state, FPU_XMM), 0);
	assert_int_equal(cpu->state.xsave[X86_XSAVE_YMM], 0xff);
	assert_int_equal(fpu_get32(&cpu->state, FPU_MXCSR), 0x5f80);
}

static void test_xsave_compact(void **state)
{
	struct x86_cpu *cpu = *state;
	struct x86_state before;

	test_cpu_mode(cpu, TEST_LONG);
	fill(cpu);
	request(cpu, 6);
	assert_int_equal(TEST_RUN(cpu, XSAVEC), -1);
	assert_int_equal(word(cpu, 512), 6);
	assert_true(word(cpu, 520) == (1ull << 63 | 6));
	assert_memory_equal(test_data(cpu) + 576,
			    cpu->state.xsave + X86_XSAVE_YMM, 256);
	before = cpu->state;
	memset(cpu->state.xsave + FPU_XMM, 0, 256);
	memset(cpu->state.xsave + X86_XSAVE_YMM, 0, 256);
	request(cpu, 7);
	assert_int_equal(TEST_RUN(cpu, XRSTOR), -1);
	assert_memory_equal(cpu->state.xsave + FPU_XMM, before.xsave + FPU_XMM,
			    256);
	assert_memory_equal(cpu->state.xsave + X86_XSAVE_YMM,
			    before.xsave + X86_XSAVE_YMM, 256);
	assert_int_equal(fpu_get16(&cpu->state, FPU_FCW), 0x37f);
}

static void test_xrstor_headers(void **state)
{
	static const struct {
		uint64_t bv, comp, reserved;
		int vector;
	} cases[] = {
		{ 7, 0, 0, -1 },
		{ 8, 0, 0, X86_GP }, /* not in XCR0 */
		{ 1, 1, 0, X86_GP }, /* standard with XCOMP_BV */
		{ 1, 0, 1, X86_GP },
		{ 3, 1ull << 63 | 3, 0, -1 },
		{ 3, 1ull << 63 | 1, 0, X86_GP }, /* saved, no room */
		{ 0, 1ull << 63 | 8, 0, X86_GP },
		{ 3, 1ull << 63 | 3, 1, X86_GP },
	};
	struct x86_cpu *cpu = *state;
	unsigned int i;

	test_cpu_mode(cpu, TEST_LONG);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(test_data(cpu) + 512, &cases[i].bv, 8);
		memcpy(test_data(cpu) + 520, &cases[i].comp, 8);
		memcpy(test_data(cpu) + 528, &cases[i].reserved, 8);
		request(cpu, 7);
		assert_int_equal(TEST_RUN(cpu, XRSTOR), cases[i].vector);
	}
	cpu->state.gpr[X86_RBX] += 16;
	assert_int_equal(TEST_RUN(cpu, XRSTOR), X86_GP);
	cpu->state.cr4 &= ~(uint64_t)X86_CR4_OSXSAVE;
	assert_int_equal(TEST_RUN(cpu, XRSTOR), X86_UD);
}

static void test_vzero(void **state)
{
	struct x86_cpu *cpu = *state;

	test_cpu_mode(cpu, TEST_LONG);
	fill(cpu);
	assert_int_equal(TEST_RUN(cpu, VZEROUPPER), -1);
	assert_int_equal(cpu->state.xsave[FPU_XMM + 200], 200);
	assert_int_equal(cpu->state.xsave[X86_XSAVE_YMM + 200], 0);
	assert_int_equal(TEST_RUN(cpu, VZEROALL), -1);
	assert_int_equal(cpu->state.xsave[FPU_XMM + 200], 0);
	cpu->state.xcr0 = 3;
	assert_int_equal(TEST_RUN(cpu, VZEROUPPER), X86_UD);
}

static void test_env32(void **state)
{
	struct x86_cpu *cpu = *state;
	struct x86_state before;

	test_cpu_mode(cpu, TEST_PROT32);
	fill(cpu);
	fpu_set64(&cpu->state, FPU_FIP, 0x12345678);
	fpu_set16(&cpu->state, FPU_FOP, 0x5d9);
	before = cpu->state;
	assert_int_equal(TEST_RUN(cpu, FNSTENV), -1);
	assert_int_equal((uint32_t)word(cpu, 0), 0xffff027f);
	assert_int_equal((uint32_t)word(cpu, 4), 0xffff2800);
	assert_int_equal((uint32_t)word(cpu, 12), 0x12345678);
	assert_int_equal((uint32_t)word(cpu, 16), 0x05d90000);
	assert_int_equal(test_data(cpu)[28], 0);
	fpu_init(&cpu->state);
	assert_int_equal(TEST_RUN(cpu, FLDENV), -1);
	assert_memory_equal(cpu->state.xsave, before.xsave, FPU_MXCSR);
	/* The registers followed TOP there and back. */
	assert_memory_equal(cpu->state.xsave + FPU_ST, before.xsave + FPU_ST,
			    128);
}

static void test_env16(void **state)
{
	struct x86_cpu *cpu = *state;

	test_cpu_mode(cpu, TEST_REAL);
	fill(cpu);
	fpu_set64(&cpu->state, FPU_FIP, 0x54321);
	fpu_set16(&cpu->state, FPU_FOP, 0x123);
	assert_int_equal(TEST_RUN(cpu, 0xd9, 0x37), -1); /* FNSTENV [bx] */
	assert_int_equal((uint16_t)word(cpu, 0), 0x027f);
	assert_int_equal((uint16_t)word(cpu, 6), 0x4321);
	assert_int_equal((uint16_t)word(cpu, 8), 0x5123);
	assert_int_equal(test_data(cpu)[14], 0);
	assert_int_equal(fpu_get16(&cpu->state, FPU_FCW), 0x027f);
	test_cpu_mode(cpu, TEST_PROT16);
	fill(cpu);
	fpu_set64(&cpu->state, FPU_FIP, 0x54321);
	assert_int_equal(TEST_RUN(cpu, 0xd9, 0x37), -1);
	assert_int_equal((uint16_t)word(cpu, 8), 0);
}

static void test_fnsave(void **state)
{
	struct x86_cpu *cpu = *state;
	struct x86_state before;

	test_cpu_mode(cpu, TEST_LONG);
	fill(cpu);
	before = cpu->state;
	assert_int_equal(TEST_RUN(cpu, FNSAVE), -1);
	assert_memory_equal(test_data(cpu) + 28, before.xsave + FPU_ST, 10);
	assert_int_equal(fpu_get16(&cpu->state, FPU_FCW), 0x37f);
	assert_int_equal(cpu->state.xsave[FPU_FTW], 0);
	assert_int_equal(TEST_RUN(cpu, FRSTOR), -1);
	assert_memory_equal(cpu->state.xsave, before.xsave, FPU_FIP);
	assert_memory_equal(cpu->state.xsave + FPU_ST, before.xsave + FPU_ST,
			    128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fxsave),
		cmocka_unit_test(test_fxsave_protected),
		cmocka_unit_test(test_mxcsr_reserved),
		cmocka_unit_test(test_xsave_standard),
		cmocka_unit_test(test_xsave_compact),
		cmocka_unit_test(test_xrstor_headers),
		cmocka_unit_test(test_vzero),
		cmocka_unit_test(test_env32),
		cmocka_unit_test(test_env16),
		cmocka_unit_test(test_fnsave),
	};

	return cmocka_run_group_tests(tests, test_cpu_open, test_cpu_close);
}
