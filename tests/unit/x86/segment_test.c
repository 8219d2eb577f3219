/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment loading, limits and types, and the instructions that question
 * descriptors.
 */
#include "rig.h"

/* MOV Sreg, AX. */
static enum x86_result load(struct x86_cpu *cpu, unsigned int seg,
			    uint16_t selector)
{
	struct x86_insn insn = { .length = 2, .opcode = 0x8e, .opsize = 4 };

	insn.modrm = (uint8_t)(0xc0 | seg << 3);
	cpu->state.gpr[X86_RAX] = selector;
	return rig_run(cpu, x86_mov_to_seg, &insn);
}

/* Like load(), for checks that nothing changes. */
static enum x86_result try_load(struct x86_cpu *cpu, unsigned int seg,
				uint16_t selector)
{
	return x86_load_segment(cpu, seg, selector);
}

static void real_mode_shifts(void **state)
{
	struct x86_cpu *cpu = rig_real(state);
	struct x86_segment *ds = &cpu->state.seg[X86_DS];

	assert_int_equal(load(cpu, X86_DS, 0x1234), X86_NEXT);
	assert_int_equal(ds->base, 0x12340);
	assert_int_equal(ds->limit, 0xffff);
	assert_int_equal(cpu->state.rip, RIG_CODE + 2);
}

/* What is derived from segments is the same as if derived anew. */
static void assert_derived(struct x86_cpu *cpu)
{
	struct x86_reach reach[6];
	uint32_t mode = cpu->mode;

	memcpy(reach, cpu->reach, sizeof(reach));
	x86_update_mode(cpu);
	assert_int_equal(mode, cpu->mode);
	assert_memory_equal(reach, cpu->reach, sizeof(reach));
}

static void real_mode_loads_derive_nothing_anew(void **state)
{
	struct x86_cpu *cpu = rig_real(state);

	for (unsigned int seg = 0; seg < 6; seg++) {
		if (seg == X86_CS)
			continue;
		load(cpu, seg, 0x1234);
		assert_derived(cpu);
	}
	assert_true(x86_mode_stays(cpu));
	/* Absent, expanding down, or of code: a load makes it data. */
	cpu->state.seg[X86_DS].attr = 0;
	x86_update_mode(cpu);
	assert_false(x86_mode_stays(cpu));
	load(cpu, X86_DS, 0);
	assert_derived(cpu);
	cpu->state.seg[X86_ES].attr = 0x97;
	cpu->state.seg[X86_ES].limit = 0xfff;
	x86_update_mode(cpu);
	assert_int_equal(cpu->reach[X86_ES].read, 0);
	load(cpu, X86_ES, 0);
	assert_derived(cpu);
	assert_int_equal(cpu->reach[X86_ES].read, 0x1000);
	/* Flat by base. */
	for (unsigned int seg = 0; seg < 6; seg++) {
		cpu->state.seg[seg].limit = UINT32_MAX;
		cpu->state.seg[seg].base = 0;
	}
	cpu->state.seg[X86_DS].base = 0x10;
	x86_update_mode(cpu);
	load(cpu, X86_DS, 0);
	assert_derived(cpu);
	/* Flags count. */
	cpu->state.rflags |= X86_FLAG_TF;
	load(cpu, X86_DS, 0);
	assert_true(cpu->mode & X86_MODE_TRACE);
}

static void unreal_mode_keeps_the_limit(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);
	uint64_t linear;

	assert_int_equal(load(cpu, X86_ES, RIG_DATA32), X86_NEXT);
	cpu->state.cr0 &= ~X86_CR0_PE;
	x86_update_mode(cpu);
	assert_int_equal(load(cpu, X86_ES, 0x40), X86_NEXT);
	assert_int_equal(cpu->state.seg[X86_ES].limit, UINT32_MAX);
	assert_int_equal(x86_linear_slow(cpu, X86_ES, 0x12345678, 4,
					 X86_WRITE, &linear), X86_NEXT);
	assert_int_equal(linear, 0x12345678 + 0x400);
}

static void null_segments_become_usable_in_real_mode(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	load(cpu, X86_DS, 0);
	assert_int_equal(cpu->state.seg[X86_DS].attr, 0);
	cpu->state.cr0 &= ~X86_CR0_PE;
	x86_update_mode(cpu);
	load(cpu, X86_DS, 0x40);
	assert_int_equal(cpu->state.seg[X86_DS].attr, 0x93);
	assert_int_equal(cpu->state.seg[X86_DS].limit, 0xffff);
}

static void protected_mode_checks(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	assert_int_equal(load(cpu, X86_DS, RIG_DATA16), X86_NEXT);
	assert_int_equal(cpu->state.seg[X86_DS].limit, 0xffff);
	assert_int_equal(cpu->state.seg[X86_DS].attr, 0x93);
	/* The accessed bit went into the table. */
	assert_int_equal(rig_peek(cpu, RIG_GDT + RIG_DATA16 + 5, 1), 0x93);

	assert_faults(cpu, try_load(cpu, X86_DS, RIG_EXEC_ONLY), X86_GP,
		      RIG_EXEC_ONLY);
	assert_faults(cpu, try_load(cpu, X86_DS, RIG_GDT_END + 3), X86_GP,
		      RIG_GDT_END);
	assert_faults(cpu, try_load(cpu, X86_DS, RIG_ABSENT), X86_NP,
		      RIG_ABSENT);
	assert_faults(cpu, try_load(cpu, X86_SS, RIG_ABSENT), X86_SSF,
		      RIG_ABSENT);
	assert_faults(cpu, try_load(cpu, X86_SS, 0), X86_GP, 0);
	assert_faults(cpu, try_load(cpu, X86_SS, RIG_READ_ONLY), X86_GP,
		      RIG_READ_ONLY);
	assert_faults(cpu, try_load(cpu, X86_SS, RIG_CODE32), X86_GP,
		      RIG_CODE32);
	assert_faults(cpu, try_load(cpu, X86_SS, RIG_USER_DATA32 | 3), X86_GP,
		      RIG_USER_DATA32);
	assert_faults(cpu, try_load(cpu, X86_DS, RIG_TSS2_SEL), X86_GP,
		      RIG_TSS2_SEL);
	assert_faults(cpu, try_load(cpu, X86_DS, 4), X86_GP, 4); /* no LDT */
	assert_int_equal(load(cpu, X86_CS, RIG_CODE32), X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_UD);
	assert_int_equal(load(cpu, X86_SS, RIG_DATA16), X86_NEXT);
	assert_int_equal(cpu->state.int_shadow, X86_SHADOW_SS);
}

static void user_may_not_load_kernel_data(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	assert_faults(cpu, try_load(cpu, X86_ES, RIG_DATA32), X86_GP,
		      RIG_DATA32);
	assert_faults(cpu, try_load(cpu, X86_ES, RIG_CODE32 | 3), X86_GP,
		      RIG_CODE32);
	assert_int_equal(load(cpu, X86_ES, RIG_CONFORMING | 3), X86_NEXT);
	assert_int_equal(load(cpu, X86_ES, RIG_USER_DATA32), X86_NEXT);
}

static void null_stack_in_64_bit_kernels(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	assert_int_equal(load(cpu, X86_SS, 0), X86_NEXT);
	assert_int_equal(cpu->state.seg[X86_SS].attr, 0);
	assert_int_equal(cpu->cpl, 0);
	cpu = rig_long(state, 3);
	assert_faults(cpu, try_load(cpu, X86_SS, 3), X86_GP, 0);
}

static enum x86_result linear(struct x86_cpu *cpu, unsigned int seg,
			      uint64_t ea, unsigned int size,
			      enum x86_access access)
{
	uint64_t at;

	return x86_linear_slow(cpu, seg, ea, size, access, &at);
}

static void limits(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	load(cpu, X86_DS, RIG_DATA16);
	assert_int_equal(linear(cpu, X86_DS, 0xfffc, 4, X86_READ), X86_NEXT);
	assert_fault(cpu, linear(cpu, X86_DS, 0xfffd, 4, X86_READ), X86_GP, 0);
	load(cpu, X86_ES, RIG_DOWN);
	assert_int_equal(linear(cpu, X86_ES, 0x1000, 4, X86_READ), X86_NEXT);
	assert_int_equal(linear(cpu, X86_ES, 0xfffffffc, 4, X86_READ),
			 X86_NEXT);
	assert_fault(cpu, linear(cpu, X86_ES, 0xfff, 4, X86_READ), X86_GP, 0);
	assert_fault(cpu, linear(cpu, X86_ES, 0xfffffffd, 4, X86_READ),
		     X86_GP, 0);
	load(cpu, X86_SS, RIG_DATA16);
	assert_fault(cpu, linear(cpu, X86_SS, 0x10000, 1, X86_READ), X86_SSF,
		     0);
	load(cpu, X86_FS, 0);
	assert_fault(cpu, linear(cpu, X86_FS, 0, 1, X86_READ), X86_GP, 0);
}

static void types(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	load(cpu, X86_DS, RIG_READ_ONLY);
	assert_int_equal(linear(cpu, X86_DS, 0, 1, X86_READ), X86_NEXT);
	assert_fault(cpu, linear(cpu, X86_DS, 0, 1, X86_WRITE), X86_GP, 0);
	assert_int_equal(linear(cpu, X86_CS, 0, 1, X86_READ), X86_NEXT);
	assert_fault(cpu, linear(cpu, X86_CS, 0, 1, X86_WRITE), X86_GP, 0);
}

static void canonical_addresses(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	assert_int_equal(linear(cpu, X86_DS, 0x7fffffffffff, 1, X86_READ),
			 X86_NEXT);
	assert_fault(cpu, linear(cpu, X86_DS, 1ull << 47, 1, X86_READ), X86_GP,
		     0);
	assert_fault(cpu, linear(cpu, X86_SS, 1ull << 47, 1, X86_READ),
		     X86_SSF, 0);
	assert_int_equal(linear(cpu, X86_SS, 0x7ffffffffff8, 8, X86_READ),
			 X86_NEXT);
	assert_fault(cpu, linear(cpu, X86_SS, 0x7ffffffffff9, 8, X86_READ),
		     X86_SSF, 0);
	assert_fault(cpu, linear(cpu, X86_SS, 0xffff7fffffffffff, 2,
				 X86_WRITE),
		     X86_SSF, 0);
}

/* 0F 00 /what with a register operand. */
static enum x86_result group(struct x86_cpu *cpu, unsigned int what,
			     uint64_t operand)
{
	struct x86_insn insn = { .length = 3, .opsize = 4 };

	insn.modrm = (uint8_t)(0xc0 | what << 3);
	cpu->state.gpr[X86_RAX] = operand;
	return rig_run(cpu, x86_group_0f00, &insn);
}

static bool zero(const struct x86_cpu *cpu)
{
	return cpu->state.rflags & X86_FLAG_ZF;
}

static void ldtr_and_tr(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	assert_int_equal(group(cpu, 2, RIG_LDT_SEL), X86_NEXT);
	assert_int_equal(cpu->state.ldtr.base, RIG_LDT);
	rig_poke(cpu, RIG_LDT, rig_descriptor(0x500, 0xff, 0x93), 8);
	assert_int_equal(load(cpu, X86_DS, 4), X86_NEXT);
	assert_int_equal(cpu->state.seg[X86_DS].base, 0x500);
	assert_int_equal(group(cpu, 0, 0xdeadbeef), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RAX], RIG_LDT_SEL);

	assert_int_equal(group(cpu, 3, RIG_TSS2_SEL), X86_NEXT);
	assert_int_equal(cpu->state.tr.attr, 0x8b);
	assert_int_equal(rig_peek(cpu, RIG_GDT + RIG_TSS2_SEL + 5, 1), 0x8b);
	assert_fault(cpu, group(cpu, 3, RIG_TSS2_SEL), X86_GP, RIG_TSS2_SEL);
	assert_fault(cpu, group(cpu, 3, 0), X86_GP, 0);
	assert_fault(cpu, group(cpu, 2, RIG_DATA32), X86_GP, RIG_DATA32);
	cpu = rig_protected(state, 3);
	assert_fault(cpu, group(cpu, 2, 0), X86_GP, 0);
	assert_int_equal(group(cpu, 1, 0), X86_NEXT);
	cpu->state.cr4 |= X86_CR4_UMIP;
	assert_fault(cpu, group(cpu, 1, 0), X86_GP, 0);
}

static void verify(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);
	const struct {
		uint16_t selector;
		bool read, write;
	} row[] = {
		{ RIG_USER_DATA32 | 3, true, true },
		{ RIG_USER_CODE32 | 3, true, false },
		{ RIG_DATA32, false, false },
		{ RIG_CONFORMING, true, false },
		{ RIG_TSS2_SEL, false, false },
		{ RIG_GDT_END, false, false },
		{ 0, false, false },
	};

	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(group(cpu, 4, row[i].selector), X86_NEXT);
		assert_int_equal(zero(cpu), row[i].read);
		assert_int_equal(group(cpu, 5, row[i].selector), X86_NEXT);
		assert_int_equal(zero(cpu), row[i].write);
	}
}

static void lar_and_lsl(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);
	struct x86_insn insn = { .length = 3, .opsize = 4, .reg = X86_RCX };

	cpu->state.gpr[X86_RAX] = RIG_DATA32;
	rig_run(cpu, x86_lar, &insn);
	assert_true(zero(cpu));
	assert_int_equal(cpu->state.gpr[X86_RCX], 0xc09200);
	rig_run(cpu, x86_lsl, &insn);
	assert_true(zero(cpu));
	assert_int_equal(cpu->state.gpr[X86_RCX], UINT32_MAX);
	cpu->state.gpr[X86_RAX] = RIG_TSS_SEL;
	rig_run(cpu, x86_lsl, &insn);
	assert_int_equal(cpu->state.gpr[X86_RCX], 0x1ff);
	cpu->state.gpr[X86_RAX] = RIG_GDT_END;
	rig_run(cpu, x86_lsl, &insn);
	assert_false(zero(cpu));
	assert_int_equal(cpu->state.gpr[X86_RCX], 0x1ff);
}

static void stack_forms(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);
	struct x86_insn push = { .length = 1, .opcode = 0x06, .opsize = 4 };
	struct x86_insn pop = { .length = 1, .opcode = 0x1f, .opsize = 4 };

	load(cpu, X86_ES, RIG_DATA16);
	assert_int_equal(rig_run(cpu, x86_push_seg, &push), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 4);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 4, 4), RIG_DATA16);
	assert_int_equal(rig_run(cpu, x86_pop_seg, &pop), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0);
	assert_int_equal(cpu->state.seg[X86_DS].selector, RIG_DATA16);
	rig_poke(cpu, RIG_STACK0, RIG_ABSENT, 4);
	assert_faults(cpu, rig_run(cpu, x86_pop_seg, &pop), X86_NP,
		      RIG_ABSENT);
}

static void gs_swaps(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);
	struct x86_insn insn = { .length = 3, .opsize = 4 };

	cpu->state.seg[X86_GS].base = 0x1000;
	cpu->state.kernel_gs_base = 0xffff800000000000;
	assert_int_equal(rig_run(cpu, x86_swapgs, &insn), X86_NEXT);
	assert_int_equal(cpu->state.seg[X86_GS].base, 0xffff800000000000);
	assert_int_equal(cpu->state.kernel_gs_base, 0x1000);
	cpu = rig_long(state, 3);
	assert_faults(cpu, rig_run(cpu, x86_swapgs, &insn), X86_GP, 0);
}

static void fs_and_gs_bases(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 3);
	struct x86_insn write = { .length = 5, .opsize = 8, .modrm = 0xd0 };
	struct x86_insn read = { .length = 5, .opsize = 4, .modrm = 0xc0,
				 .rm = X86_RCX };

	assert_fault(cpu, rig_run(cpu, x86_fsgsbase, &write), X86_UD, 0);
	cpu->state.cr4 |= X86_CR4_FSGSBASE;
	cpu->state.gpr[X86_RAX] = 0x123456789abc;
	assert_int_equal(rig_run(cpu, x86_fsgsbase, &write), X86_NEXT);
	assert_int_equal(cpu->state.seg[X86_FS].base, 0x123456789abc);
	assert_int_equal(rig_run(cpu, x86_fsgsbase, &read), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RCX], 0x56789abc);
	cpu->state.gpr[X86_RAX] = 1ull << 63;
	assert_faults(cpu, rig_run(cpu, x86_fsgsbase, &write), X86_GP, 0);
}

static void far_pointers_load(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);
	struct x86_insn insn = { .length = 3, .opcode = 0xc4, .opsize = 4,
				 .adsize = 4, .mem = true, .seg = X86_DS,
				 .base = X86_RBX, .index = X86_NO_REG,
				 .reg = X86_RDI };

	cpu->state.gpr[X86_RBX] = 0x8000;
	rig_poke(cpu, 0x8000, 0x12345678, 4);
	rig_poke(cpu, 0x8004, RIG_DATA16, 2);
	assert_int_equal(rig_run(cpu, x86_load_far, &insn), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RDI], 0x12345678);
	assert_int_equal(cpu->state.seg[X86_ES].selector, RIG_DATA16);
	rig_poke(cpu, 0x8004, RIG_ABSENT, 2);
	assert_faults(cpu, rig_run(cpu, x86_load_far, &insn), X86_NP,
		      RIG_ABSENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_mode_shifts),
		cmocka_unit_test(real_mode_loads_derive_nothing_anew),
		cmocka_unit_test(unreal_mode_keeps_the_limit),
		cmocka_unit_test(null_segments_become_usable_in_real_mode),
		cmocka_unit_test(protected_mode_checks),
		cmocka_unit_test(user_may_not_load_kernel_data),
		cmocka_unit_test(null_stack_in_64_bit_kernels),
		cmocka_unit_test(limits),
		cmocka_unit_test(types),
		cmocka_unit_test(canonical_addresses),
		cmocka_unit_test(ldtr_and_tr),
		cmocka_unit_test(verify),
		cmocka_unit_test(lar_and_lsl),
		cmocka_unit_test(stack_forms),
		cmocka_unit_test(gs_swaps),
		cmocka_unit_test(fs_and_gs_bases),
		cmocka_unit_test(far_pointers_load),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
