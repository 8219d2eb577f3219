/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Native execution beyond what the comparison with the host covers: modes
 * other than 64-bit user code, what keeps an instruction back, masked-off
 * elements at a page that is absent, and the bound on stored shapes.
 */
#include "fake/test.h"

#include <string.h>

#include "machine_under_test.h"
#include "x86/fpu.h"

#define PADDD	  0x66, 0x0f, 0xfe, 0xc1 /* xmm0, xmm1 */
#define VPADDD	  0xc5, 0xf1, 0xfe, 0xc2 /* xmm0, xmm1, xmm2 */
#define PADDD_MMX 0x0f, 0xfe, 0xc1
#define FLD1	  0xd9, 0xe8
#define ANDN	  0xc4, 0xe2, 0x70, 0xf2, 0xc2 /* eax, ecx, edx */
#define DIVPS	  0x0f, 0x5e, 0xc1

static void set_xmm(struct x86_cpu *cpu, unsigned int n, uint32_t each)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		fpu_set32(&cpu->state, FPU_XMM + 16 * n + 4 * i, each);
}

static uint32_t get_xmm(struct x86_cpu *cpu, unsigned int n)
{
	return fpu_get32(&cpu->state, FPU_XMM + 16 * n);
}

static void test_modes(void **state)
{
	static const enum test_mode modes[] = { TEST_LONG, TEST_PROT32,
						TEST_PROT16, TEST_REAL };
	struct x86_cpu *cpu = *state;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		bool vex = modes[i] != TEST_REAL;

		test_cpu_mode(cpu, modes[i]);
		set_xmm(cpu, 0, 5);
		set_xmm(cpu, 1, 7);
		set_xmm(cpu, 2, 30);
		assert_int_equal(TEST_RUN(cpu, PADDD), -1);
		assert_int_equal(get_xmm(cpu, 0), 12);
		assert_int_equal(TEST_RUN(cpu, VPADDD), vex ? -1 : X86_UD);
		assert_int_equal(get_xmm(cpu, 0), vex ? 37 : 12);
		cpu->state.gpr[X86_RCX] = 0xf0;
		cpu->state.gpr[X86_RDX] = 0x3c;
		assert_int_equal(TEST_RUN(cpu, ANDN), vex ? -1 : X86_UD);
		if (vex)
			assert_int_equal(cpu->state.gpr[X86_RAX], 0x0c);
	}
}

/* POPCNT-like operand sizes: 16 bits by default, 32 with the prefix. */
static void test_operand_size(void **state)
{
	struct x86_cpu *cpu = *state;

	test_cpu_mode(cpu, TEST_PROT16);
	memcpy(test_data(cpu), "\x11\x22\x33\x44", 4);
	cpu->state.gpr[X86_RAX] = 0xffffffff;
	assert_int_equal(TEST_RUN(cpu, 0x0f, 0x38, 0xf0, 0x07), -1);
	assert_int_equal(cpu->state.gpr[X86_RAX], 0xffff1122);
	assert_int_equal(TEST_RUN(cpu, 0x66, 0x0f, 0x38, 0xf0, 0x07), -1);
	assert_int_equal(cpu->state.gpr[X86_RAX], 0x11223344);
}

static void test_control_bits(void **state)
{
	struct x86_cpu *cpu = *state;
	struct x86_state *s = &cpu->state;

	test_cpu_mode(cpu, TEST_LONG);
	s->cr0 |= X86_CR0_TS;
	assert_int_equal(TEST_RUN(cpu, PADDD), X86_NM);
	assert_int_equal(TEST_RUN(cpu, VPADDD), X86_NM);
	assert_int_equal(TEST_RUN(cpu, PADDD_MMX), X86_NM);
	assert_int_equal(TEST_RUN(cpu, FLD1), X86_NM);
	assert_int_equal(TEST_RUN(cpu, ANDN), -1);
	s->cr0 ^= X86_CR0_TS | X86_CR0_EM;
	assert_int_equal(TEST_RUN(cpu, PADDD), X86_UD);
	assert_int_equal(TEST_RUN(cpu, PADDD_MMX), X86_UD);
	assert_int_equal(TEST_RUN(cpu, FLD1), X86_NM);
	s->cr0 ^= X86_CR0_EM;
	s->cr4 &= ~(uint64_t)X86_CR4_OSFXSR;
	assert_int_equal(TEST_RUN(cpu, PADDD), X86_UD);
	assert_int_equal(TEST_RUN(cpu, VPADDD), -1);
	assert_int_equal(TEST_RUN(cpu, PADDD_MMX), -1);
	s->cr4 &= ~(uint64_t)X86_CR4_OSXSAVE;
	assert_int_equal(TEST_RUN(cpu, VPADDD), X86_UD);
	s->cr4 |= X86_CR4_OSXSAVE;
	s->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE;
	assert_int_equal(TEST_RUN(cpu, VPADDD), X86_UD);
}

static void test_simd_exception(void **state)
{
	struct x86_cpu *cpu = *state;

	test_cpu_mode(cpu, TEST_LONG);
	set_xmm(cpu, 0, 0x3f800000);
	set_xmm(cpu, 1, 0);
	fpu_set32(&cpu->state, FPU_MXCSR, 0x1d80); /* ZM clear */
	assert_int_equal(TEST_RUN(cpu, DIVPS), X86_XM);
	assert_int_equal(get_xmm(cpu, 0), 0x3f800000);
	assert_int_equal(fpu_get32(&cpu->state, FPU_MXCSR), 0x1d84);
	cpu->state.cr4 &= ~(uint64_t)X86_CR4_OSXMMEXCPT;
	assert_int_equal(TEST_RUN(cpu, DIVPS), X86_UD);
}

/* With CR0.NE clear a pending x87 exception holds nothing up. */
static void test_pending(void **state)
{
	struct x86_cpu *cpu = *state;

	test_cpu_mode(cpu, TEST_LONG);
	fpu_init(&cpu->state);
	fpu_set16(&cpu->state, FPU_FCW, 0x37b);
	fpu_set16(&cpu->state, FPU_FSW, 0x8084);
	assert_int_equal(TEST_RUN(cpu, FLD1), X86_MF);
	assert_int_equal(TEST_RUN(cpu, 0x9b), X86_MF);
	cpu->state.cr0 &= ~(uint64_t)X86_CR0_NE;
	assert_int_equal(TEST_RUN(cpu, FLD1), -1);
	assert_int_equal(fpu_get16(&cpu->state, FPU_FSW), 0xb884);
	assert_int_equal(fpu_get64(&cpu->state, FPU_FIP), TEST_CODE);
}

/* Elements that are masked off may lie in nothing: behind 2 MiB. */
static void test_masked_fault(void **state)
{
	struct x86_cpu *cpu = *state;

	test_cpu_mode(cpu, TEST_LONG);
	cpu->state.gpr[X86_RBX] = TEST_DATA;
	cpu->state.gpr[X86_RDI] = 0x1ffff8;
	set_xmm(cpu, 1, 0x80000000);
	fpu_set64(&cpu->state, FPU_XMM + 16 + 8, 0);
	/* VMASKMOVPS xmm0, xmm1, [rdi] */
	assert_int_equal(TEST_RUN(cpu, 0xc4, 0xe2, 0x71, 0x2c, 0x07), -1);
	fpu_set32(&cpu->state, FPU_XMM + 16 + 8, 0x80000000);
	assert_int_equal(TEST_RUN(cpu, 0xc4, 0xe2, 0x71, 0x2c, 0x07), X86_PF);
	assert_int_equal(cpu->fault.address, 0x200000);
}

/* A gather that faults half-way keeps what it has, and goes on later. */
static void test_gather_fault(void **state)
{
	struct x86_cpu *cpu = *state;

	test_cpu_mode(cpu, TEST_LONG);
	memset(test_data(cpu), 0x11, 16);
	set_xmm(cpu, 0, 0);
	set_xmm(cpu, 1, 0x80000000);
	set_xmm(cpu, 2, 0);
	fpu_set32(&cpu->state, FPU_XMM + 32 + 8, 0x200000);
	/* VPGATHERDD xmm0, [rbx + xmm2], xmm1 */
	assert_int_equal(TEST_RUN(cpu, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x13),
			 X86_PF);
	assert_int_equal(fpu_get32(&cpu->state, FPU_XMM + 4), 0x11111111);
	assert_int_equal(fpu_get32(&cpu->state, FPU_XMM + 8), 0);
	assert_true(fpu_get64(&cpu->state, FPU_XMM + 16) == 0);
	assert_true(fpu_get32(&cpu->state, FPU_XMM + 16 + 8) == 0x80000000);
	fpu_set32(&cpu->state, FPU_XMM + 32 + 8, 4);
	assert_int_equal(TEST_RUN(cpu, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x13), -1);
	assert_true(fpu_get64(&cpu->state, FPU_XMM + 8) == 0x1111111111111111);
}

/* More shapes than are stored: those beyond are made at each call. */
static void test_many_shapes(void **state)
{
	static const uint8_t opcodes[] = { 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d,
					   0x0e, 0x0f, 0x21, 0x40, 0x41, 0x42,
					   0x44, 0xdf, 0x60, 0x61, 0x62, 0x63 };
	struct x86_cpu *cpu = *state;
	unsigned int i, imm;

	test_cpu_mode(cpu, TEST_LONG);
	for (i = 0; i < sizeof(opcodes); i++)
		for (imm = 0; imm < 256; imm++) {
			TEST_RUN(cpu, 0x66, 0x0f, 0x3a, opcodes[i], 0xc1,
				 (uint8_t)imm);
			TEST_RUN(cpu, 0x66, 0x0f, 0x3a, opcodes[i], 0x03,
				 (uint8_t)imm);
		}
	for (imm = 0; imm < 256; imm++) {
		fpu_set64(&cpu->state, FPU_XMM + 16, 0x0000000100000000);
		fpu_set64(&cpu->state, FPU_XMM + 24, 0x0000000300000002);
		/* PSHUFD xmm0, xmm1, imm */
		assert_int_equal(
			TEST_RUN(cpu, 0x66, 0x0f, 0x70, 0xc1, (uint8_t)imm),
			-1);
		assert_int_equal(get_xmm(cpu, 0), imm & 3);
	}
	/* The same from memory, in more bytes than a pointer leaves. */
	for (imm = 0; imm < 256; imm++) {
		for (i = 0; i < 4; i++)
			test_data(cpu)[4 * i] = (uint8_t)i;
		assert_int_equal(TEST_RUN(cpu, 0x66, 0x2e, 0x2e, 0x2e,
					  0x2e, 0x2e, 0x0f, 0x70, 0x04, 0x25,
					  0, 0, TEST_DATA >> 16, 0,
					  (uint8_t)imm), -1);
		assert_int_equal(get_xmm(cpu, 0), imm & 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_operand_size),
		cmocka_unit_test(test_control_bits),
		cmocka_unit_test(test_simd_exception),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_masked_fault),
		cmocka_unit_test(test_gather_fault),
		cmocka_unit_test(test_many_shapes),
	};

	return cmocka_run_group_tests(tests, test_cpu_open, test_cpu_close);
}
