/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task switches: by jump, call, interrupt and return, 32- and 16-bit.
 */
#include "rig.h"

static enum x86_result far(struct x86_cpu *cpu, bool call, uint16_t selector)
{
	struct x86_insn insn = { .length = 7,
				 .opcode = call ? 0x9a : 0xea,
				 .opsize = 4,
				 .selector = selector };

	return rig_run(cpu, call ? x86_far_call : x86_far_jump, &insn);
}

static enum x86_result iret(struct x86_cpu *cpu)
{
	struct x86_insn insn = { .length = 1, .opcode = 0xcf, .opsize = 4 };

	return rig_run(cpu, x86_iret, &insn);
}

/* A 32-bit task at privilege 0 that starts at 0x7000. */
static void build_task32(struct x86_cpu *cpu)
{
	rig_poke(cpu, RIG_TSS2 + 0x20, 0x7000, 4);
	rig_poke(cpu, RIG_TSS2 + 0x24, X86_FLAG_1 | X86_FLAG_CF, 4);
	for (unsigned int i = 0; i < 8; i++)
		rig_poke(cpu, RIG_TSS2 + 0x28 + i * 4, 0x100 + i, 4);
	rig_poke(cpu, RIG_TSS2 + 0x38, RIG_STACK1, 4); /* ESP */
	for (unsigned int i = 0; i < 6; i++)
		rig_poke(cpu, RIG_TSS2 + 0x48 + i * 4, RIG_DATA32, 4);
	rig_poke(cpu, RIG_TSS2 + 0x4c, RIG_CODE32, 4);
	rig_poke(cpu, RIG_TSS2 + 0x60, RIG_LDT_SEL, 2);
}

static uint8_t type(struct x86_cpu *cpu, unsigned int selector)
{
	return (uint8_t)rig_peek(cpu, RIG_GDT + selector + 5, 1);
}

static void jump(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	build_task32(cpu);
	cpu->state.gpr[X86_RDI] = 0xd1d1;
	cpu->state.dr[7] = 0x701;
	assert_int_equal(far(cpu, false, RIG_TSS2_SEL), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7000);
	assert_int_equal(cpu->state.gpr[X86_RAX], 0x100);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK1);
	assert_int_equal(cpu->state.rflags, X86_FLAG_1 | X86_FLAG_CF);
	assert_int_equal(cpu->state.ldtr.base, RIG_LDT);
	assert_int_equal(cpu->state.tr.selector, RIG_TSS2_SEL);
	assert_int_equal(cpu->state.tr.base, RIG_TSS2);
	assert_true(cpu->state.cr0 & X86_CR0_TS);
	assert_int_equal(cpu->state.dr[7], 0x600);
	assert_int_equal(type(cpu, RIG_TSS_SEL), 0x89);
	assert_int_equal(type(cpu, RIG_TSS2_SEL), 0x8b);
	/* The old task's image. */
	assert_int_equal(rig_peek(cpu, RIG_TSS + 0x20, 4), RIG_CODE + 7);
	assert_int_equal(rig_peek(cpu, RIG_TSS + 0x38, 4), RIG_STACK0);
	assert_int_equal(rig_peek(cpu, RIG_TSS + 0x44, 4), 0xd1d1);
	assert_int_equal(rig_peek(cpu, RIG_TSS + 0x4c, 4), RIG_CODE32);
	assert_int_equal(rig_peek(cpu, RIG_TSS + 0x50, 4), RIG_DATA32);
}

static void call_and_return(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	build_task32(cpu);
	assert_int_equal(far(cpu, true, RIG_TSS2_SEL), X86_NEXT);
	assert_true(cpu->state.rflags & X86_FLAG_NT);
	assert_int_equal(rig_peek(cpu, RIG_TSS2, 2), RIG_TSS_SEL);
	assert_int_equal(type(cpu, RIG_TSS_SEL), 0x8b);
	assert_int_equal(type(cpu, RIG_TSS2_SEL), 0x8b);
	assert_int_equal(iret(cpu), X86_NEXT);
	assert_int_equal(cpu->state.rip, RIG_CODE + 7);
	assert_int_equal(cpu->state.tr.selector, RIG_TSS_SEL);
	assert_false(cpu->state.rflags & X86_FLAG_NT);
	assert_int_equal(type(cpu, RIG_TSS2_SEL), 0x89);
	assert_int_equal(type(cpu, RIG_TSS_SEL), 0x8b);
	assert_int_equal(rig_peek(cpu, RIG_TSS2 + 0x24, 4),
			 X86_FLAG_1 | X86_FLAG_CF);
}

static void descriptors_are_checked(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	build_task32(cpu);
	assert_faults(cpu, far(cpu, false, RIG_TSS_SEL), X86_GP, RIG_TSS_SEL);
	rig_poke(cpu, RIG_GDT + RIG_TSS2_SEL + 5, 0x09, 1);
	assert_faults(cpu, far(cpu, false, RIG_TSS2_SEL), X86_NP,
		      RIG_TSS2_SEL);
	rig_set_gdt(cpu, RIG_TSS2_SEL, rig_descriptor(RIG_TSS2, 0x66, 0x89));
	assert_faults(cpu, far(cpu, false, RIG_TSS2_SEL), X86_TS,
		      RIG_TSS2_SEL);
	/* IRET to a task that is not busy. */
	cpu->state.rflags |= X86_FLAG_NT;
	rig_poke(cpu, RIG_TSS, RIG_TSS2_SEL, 2);
	assert_faults(cpu, iret(cpu), X86_TS, RIG_TSS2_SEL);
}

/* The switch is done, and this fault waits in the new task. */
static void assert_pending(struct x86_cpu *cpu, uint8_t vector,
			   uint32_t error)
{
	assert_int_equal(cpu->state.tr.selector, RIG_TSS2_SEL);
	assert_int_equal(cpu->state.rip, 0x7000);
	assert_int_equal(cpu->state.fault_pending, 1);
	assert_int_equal(cpu->state.fault_vector, vector);
	assert_int_equal(cpu->state.fault_error, error);
}

static void segments_fault_in_the_new_task(void **state)
{
	static const struct {
		unsigned int offset;
		uint16_t selector;
		uint8_t vector;
	} row[] = {
		{ 0x54, RIG_ABSENT, X86_NP },	    /* DS */
		{ 0x54, RIG_EXEC_ONLY, X86_TS },
		{ 0x4c, RIG_USER_CODE32, X86_TS }, /* CS: RPL is not DPL */
		{ 0x50, RIG_READ_ONLY, X86_TS },   /* SS */
		{ 0x60, RIG_DATA32, X86_TS },	    /* LDT */
	};

	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct x86_cpu *cpu = rig_protected(state, 0);

		build_task32(cpu);
		rig_poke(cpu, RIG_TSS2 + row[i].offset, row[i].selector, 2);
		assert_int_equal(far(cpu, false, RIG_TSS2_SEL), X86_NEXT);
		assert_pending(cpu, row[i].vector, row[i].selector);
	}
}

static void pending_fault_is_taken(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	build_task32(cpu);
	rig_idt(cpu, X86_NP, X86_SYS_INT32, 0, RIG_CODE32, RIG_HANDLER, 0);
	rig_poke(cpu, RIG_TSS2 + 0x54, RIG_ABSENT, 2);
	assert_int_equal(far(cpu, false, RIG_TSS2_SEL), X86_NEXT);
	assert_true(atomic_load(&cpu->request));
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER);
	assert_int_equal(rig_peek(cpu, RIG_STACK1 - 16, 4), RIG_ABSENT);
	assert_int_equal(rig_peek(cpu, RIG_STACK1 - 12, 4), 0x7000);
	/* From an external event: EXT. */
	cpu = rig_protected(state, 0);
	build_task32(cpu);
	rig_idt(cpu, X86_DE, X86_SYS_TASK, 0, RIG_TSS2_SEL, 0, 0);
	rig_poke(cpu, RIG_TSS2 + 0x54, RIG_ABSENT, 2);
	x86_raise(cpu, X86_DE);
	assert_int_equal(x86_deliver_fault(cpu), X86_BRANCH);
	assert_pending(cpu, X86_NP, RIG_ABSENT | 1);
}

static void interrupt_pushes_the_error_code(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	build_task32(cpu);
	rig_idt(cpu, X86_DF, X86_SYS_TASK, 0, RIG_TSS2_SEL, 0, 0);
	x86_raise_error(cpu, X86_DF, 0x55);
	assert_int_equal(x86_deliver_fault(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, 0x7000);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK1 - 4);
	assert_int_equal(rig_peek(cpu, RIG_STACK1 - 4, 4), 0x55);
	assert_int_equal(rig_peek(cpu, RIG_TSS2, 2), RIG_TSS_SEL);
	assert_int_equal(rig_peek(cpu, RIG_TSS + 0x20, 4), RIG_CODE);
	assert_true(cpu->state.rflags & X86_FLAG_NT);
}

static void task_gate(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	build_task32(cpu);
	assert_faults(cpu, far(cpu, true, RIG_TSS2_SEL), X86_GP, RIG_TSS2_SEL);
	rig_gate(cpu, RIG_GDT + RIG_GATE_SEL, X86_SYS_TASK, 3, RIG_TSS2_SEL, 0,
		 0);
	assert_int_equal(far(cpu, true, RIG_GATE_SEL), X86_NEXT);
	assert_int_equal(cpu->state.tr.selector, RIG_TSS2_SEL);
	assert_int_equal(cpu->cpl, 0);
}

static void task_of_16_bits(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	rig_set_gdt(cpu, RIG_TSS2_SEL, rig_descriptor(RIG_TSS2, 0x2b, 0x81));
	rig_poke(cpu, RIG_TSS2 + 0x0e, 0x7100, 2);
	rig_poke(cpu, RIG_TSS2 + 0x10, X86_FLAG_1, 2);
	rig_poke(cpu, RIG_TSS2 + 0x12, 0x1234, 2); /* AX */
	rig_poke(cpu, RIG_TSS2 + 0x1a, 0x8000, 2); /* SP */
	for (unsigned int i = 0; i < 4; i++)
		rig_poke(cpu, RIG_TSS2 + 0x22 + i * 2, RIG_DATA16, 2);
	rig_poke(cpu, RIG_TSS2 + 0x24, RIG_CODE16, 2);
	assert_int_equal(far(cpu, true, RIG_TSS2_SEL), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7100);
	assert_int_equal(cpu->state.gpr[X86_RAX], 0x1234);
	assert_int_equal(cpu->state.seg[X86_CS].selector, RIG_CODE16);
	assert_int_equal(cpu->state.seg[X86_FS].attr, 0);
	assert_int_equal(type(cpu, RIG_TSS2_SEL), 0x83);
	/* And back, saving what 16 bits hold. */
	cpu->state.gpr[X86_RAX] = 0xaaaa5678;
	assert_int_equal(iret(cpu), X86_NEXT);
	assert_int_equal(rig_peek(cpu, RIG_TSS2 + 0x12, 2), 0x5678);
	assert_int_equal(rig_peek(cpu, RIG_TSS2 + 0x28, 2), RIG_DATA16);
	assert_int_equal(cpu->state.seg[X86_CS].selector, RIG_CODE32);
}

static void trap_bit(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	build_task32(cpu);
	rig_poke(cpu, RIG_TSS2 + 0x64, 1, 2);
	assert_int_equal(far(cpu, false, RIG_TSS2_SEL), X86_NEXT);
	assert_pending(cpu, X86_DB, 0);
	assert_int_equal(cpu->state.dr[6], 0xffff8ff0);
}

static void into_vm86(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	build_task32(cpu);
	rig_poke(cpu, RIG_TSS2 + 0x24, X86_FLAG_VM | X86_FLAG_1, 4);
	rig_poke(cpu, RIG_TSS2 + 0x4c, 0x1234, 4);
	assert_int_equal(far(cpu, false, RIG_TSS2_SEL), X86_NEXT);
	assert_true(cpu->mode & X86_MODE_VM86);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0x12340);
	assert_int_equal(cpu->state.seg[X86_DS].base, RIG_DATA32 * 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jump),
		cmocka_unit_test(call_and_return),
		cmocka_unit_test(descriptors_are_checked),
		cmocka_unit_test(segments_fault_in_the_new_task),
		cmocka_unit_test(pending_fault_is_taken),
		cmocka_unit_test(interrupt_pushes_the_error_code),
		cmocka_unit_test(task_gate),
		cmocka_unit_test(task_of_16_bits),
		cmocka_unit_test(trap_bit),
		cmocka_unit_test(into_vm86),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
