/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery of exceptions and interrupts in each mode, double and triple
 * faults, and the events between instructions.
 */
#include "rig.h"

#define INT32  X86_SYS_INT32
#define TRAP32 X86_SYS_TRAP32

static enum x86_result fault(struct x86_cpu *cpu, uint8_t vector)
{
	x86_raise(cpu, vector);
	return x86_deliver_fault(cpu);
}

static enum x86_result fault_error(struct x86_cpu *cpu, uint8_t vector,
				   uint32_t error)
{
	x86_raise_error(cpu, vector, error);
	return x86_deliver_fault(cpu);
}

static enum x86_result software(struct x86_cpu *cpu, uint8_t vector)
{
	struct x86_insn insn = { .length = 2, .opcode = 0xcd, .imm = vector };

	return rig_run(cpu, x86_int, &insn);
}

/* --- real mode ---------------------------------------------------------- */

static void real_mode_vectors(void **state)
{
	struct x86_cpu *cpu = rig_real(state);

	rig_poke(cpu, 0x21 * 4, 0x12340056, 4);
	cpu->state.rflags |= X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_CF;
	cpu->state.gpr[X86_RSP] = 0xabcd8000;
	assert_int_equal(software(cpu, 0x21), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x56);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0x12340);
	assert_int_equal(cpu->state.rflags, X86_FLAG_1 | X86_FLAG_CF);
	assert_int_equal(cpu->state.gpr[X86_RSP], 0xabcd7ffa);
	assert_int_equal(rig_peek(cpu, 0x7ffa, 2), RIG_CODE + 2);
	assert_int_equal(rig_peek(cpu, 0x7ffc, 2), 0);
	assert_int_equal(rig_peek(cpu, 0x7ffe, 2),
			 X86_FLAG_1 | X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_CF);
}

static void real_mode_pushes_no_error_code(void **state)
{
	struct x86_cpu *cpu = rig_real(state);

	rig_poke(cpu, X86_GP * 4, 0x00007000, 4);
	assert_int_equal(fault_error(cpu, X86_GP, 0x10), X86_BRANCH);
	assert_int_equal(cpu->state.rip, 0x7000);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 6);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 6, 2), RIG_CODE);
}

static void real_mode_stack_wraps(void **state)
{
	struct x86_cpu *cpu = rig_real(state);

	cpu->state.gpr[X86_RSP] = 2;
	assert_int_equal(software(cpu, 3), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RSP], 0xfffc);
	assert_int_equal(rig_peek(cpu, 0xfffc, 2), RIG_CODE + 2);
	cpu = rig_real(state);
	cpu->state.gpr[X86_RSP] = 1;
	assert_faults(cpu, software(cpu, 3), X86_SSF, 0);
}

/* --- protected mode ----------------------------------------------------- */

static void same_privilege(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	rig_idt(cpu, X86_GP, INT32, 0, RIG_CODE32, RIG_HANDLER, 0);
	cpu->state.rflags |= X86_FLAG_IF;
	assert_int_equal(fault_error(cpu, X86_GP, 0x18), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER);
	assert_int_equal(cpu->state.rflags, X86_FLAG_1);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 16);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 16, 4), 0x18);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 12, 4), RIG_CODE);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 8, 4), RIG_CODE32);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 4, 4),
			 X86_FLAG_1 | X86_FLAG_IF | X86_FLAG_RF);
}

static void trap_gate_of_16_bits(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	rig_idt(cpu, 0x40, X86_SYS_TRAP16, 0, RIG_CODE16, 0x99997000, 0);
	cpu->state.rflags |= X86_FLAG_IF;
	assert_int_equal(software(cpu, 0x40), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7000);
	assert_true(cpu->state.rflags & X86_FLAG_IF);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 6);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 6, 2), RIG_CODE + 2);
}

static void to_inner_privilege(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	rig_idt(cpu, 0x80, INT32, 3, RIG_CODE32, RIG_HANDLER, 0);
	assert_int_equal(software(cpu, 0x80), X86_NEXT);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->state.seg[X86_SS].selector, RIG_DATA32);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 20);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 20, 4), RIG_CODE + 2);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 16, 4),
			 RIG_USER_CODE32 | 3);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 8, 4), RIG_STACK3);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 4, 4),
			 RIG_USER_DATA32 | 3);
}

static void to_privilege_one(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	rig_idt(cpu, 0x80, INT32, 3, RIG_CODE1, RIG_HANDLER, 0);
	assert_int_equal(software(cpu, 0x80), X86_NEXT);
	assert_int_equal(cpu->cpl, 1);
	assert_int_equal(cpu->state.seg[X86_CS].selector, RIG_CODE1 | 1);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK1 - 20);
}

static void conforming_handler_keeps_privilege(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	rig_idt(cpu, 0x80, INT32, 3, RIG_CONFORMING, RIG_HANDLER, 0);
	assert_int_equal(software(cpu, 0x80), X86_NEXT);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->state.seg[X86_CS].selector, RIG_CONFORMING | 3);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK3 - 12);
}

static void gates_are_checked(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	rig_idt(cpu, 0x80, INT32, 0, RIG_CODE32, RIG_HANDLER, 0);
	assert_faults(cpu, software(cpu, 0x80), X86_GP, 0x80 * 8 + 2);
	rig_idt(cpu, 0x80, INT32 & 7, 3, RIG_CODE32, RIG_HANDLER, 0);
	rig_poke(cpu, RIG_IDT + 0x80 * 8 + 5, 0x6e, 1); /* not present */
	assert_faults(cpu, software(cpu, 0x80), X86_NP, 0x80 * 8 + 2);
	rig_idt(cpu, 0x80, X86_SYS_CALL32, 3, RIG_CODE32, RIG_HANDLER, 0);
	assert_faults(cpu, software(cpu, 0x80), X86_GP, 0x80 * 8 + 2);
	rig_idt(cpu, 0x80, INT32, 3, 0, RIG_HANDLER, 0);
	assert_faults(cpu, software(cpu, 0x80), X86_GP, 0);
	rig_idt(cpu, 0x80, INT32, 3, RIG_DATA32, RIG_HANDLER, 0);
	assert_faults(cpu, software(cpu, 0x80), X86_GP, RIG_DATA32);
	rig_idt(cpu, 0x80, INT32, 3, RIG_CODE32, RIG_HANDLER, 0);
	cpu->state.idtr.limit = 0x80 * 8 + 6;
	assert_faults(cpu, software(cpu, 0x80), X86_GP, 0x80 * 8 + 2);
}

static void inner_stacks_are_checked(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	rig_idt(cpu, 0x80, INT32, 3, RIG_CODE32, RIG_HANDLER, 0);
	rig_poke(cpu, RIG_TSS + 8, 0, 4);
	assert_faults(cpu, software(cpu, 0x80), X86_TS, 0);
	rig_poke(cpu, RIG_TSS + 8, RIG_DATA1 | 1, 4);
	assert_faults(cpu, software(cpu, 0x80), X86_TS, RIG_DATA1);
	rig_poke(cpu, RIG_TSS + 8, RIG_READ_ONLY, 4);
	assert_faults(cpu, software(cpu, 0x80), X86_TS, RIG_READ_ONLY);
	rig_set_gdt(cpu, RIG_ABSENT, rig_descriptor(0, 0xffff, 0x13));
	rig_poke(cpu, RIG_TSS + 8, RIG_ABSENT, 4);
	assert_faults(cpu, software(cpu, 0x80), X86_SSF, RIG_ABSENT);
	/* Expand-down above 0xfff: no room below 0x1014. */
	rig_poke(cpu, RIG_TSS + 8, RIG_DOWN, 4);
	rig_poke(cpu, RIG_TSS + 4, 0x1010, 4);
	assert_faults(cpu, software(cpu, 0x80), X86_SSF, RIG_DOWN);
	cpu->state.tr.limit = 8;
	assert_faults(cpu, software(cpu, 0x80), X86_TS, RIG_TSS_SEL);
}

static void exceptions_set_ext(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	/* #UD has no gate: #GP with the IDT and EXT bits. */
	rig_idt(cpu, X86_GP, INT32, 0, RIG_CODE32, RIG_HANDLER, 0);
	assert_int_equal(fault(cpu, X86_UD), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 16, 4), X86_UD * 8 + 3);
}

/* --- double and triple faults ------------------------------------------- */

static void contributory_faults_double(void **state)
{
	static const uint8_t first[] = { X86_DE, X86_TS, X86_NP, X86_SSF,
					 X86_GP, X86_PF };

	for (unsigned int i = 0; i < sizeof(first); i++) {
		struct x86_cpu *cpu = rig_protected(state, 0);

		rig_idt(cpu, X86_DF, INT32, 0, RIG_CODE32, RIG_HANDLER, 0);
		rig_idt(cpu, X86_UD, INT32, 0, RIG_CODE32, RIG_HANDLER, 0);
		assert_int_equal(fault_error(cpu, first[i], 0), X86_BRANCH);
		assert_int_equal(cpu->state.rip, RIG_HANDLER);
		/* An error code of 0, no RF. */
		assert_int_equal(rig_peek(cpu, RIG_STACK0 - 16, 4), 0);
		assert_int_equal(rig_peek(cpu, RIG_STACK0 - 4, 4), X86_FLAG_1);
	}
}

static void triple_fault_shuts_down(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	cpu->state.idtr.limit = 0;
	assert_int_equal(fault(cpu, X86_UD), X86_STOP);
	assert_int_equal(cpu->state.activity, X86_SHUTDOWN);
	assert_int_equal(atomic_load(&cpu->vm->request), VM_CRASH);
	assert_int_equal(x86_take_events(cpu), X86_STOP);
	assert_false(x86_can_wake(cpu));
	atomic_store(&cpu->vm->request, VM_RUN);
}

static void page_fault_in_contributory_is_serial(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	/* The stack of #GP is not mapped, that of #PF is. */
	rig_poke(cpu, RIG_TSS + 0x24, 0x40000000, 8);
	rig_poke(cpu, RIG_TSS + 0x2c, RIG_IST1, 8);
	rig_idt(cpu, X86_GP, INT32, 0, RIG_CODE64, RIG_HANDLER, 1);
	rig_idt(cpu, X86_PF, INT32, 0, RIG_CODE64, RIG_HANDLER + 1, 2);
	rig_idt(cpu, X86_DF, INT32, 0, RIG_CODE64, RIG_HANDLER + 2, 2);
	assert_int_equal(fault_error(cpu, X86_GP, 0), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER + 1);
	assert_int_equal(cpu->state.cr2, 0x40000000 - 8);
	/* A page fault whose stack is not mapped doubles. */
	cpu = rig_long(state, 0);
	rig_poke(cpu, RIG_TSS + 0x24, 0x40000000, 8);
	rig_poke(cpu, RIG_TSS + 0x2c, RIG_IST1, 8);
	rig_idt(cpu, X86_PF, INT32, 0, RIG_CODE64, RIG_HANDLER + 1, 1);
	rig_idt(cpu, X86_DF, INT32, 0, RIG_CODE64, RIG_HANDLER + 2, 2);
	x86_raise_page(cpu, 0x1234, 2);
	assert_int_equal(x86_deliver_fault(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER + 2);
	assert_int_equal(cpu->state.cr2, 0x40000000 - 8);
}

/* --- long mode ---------------------------------------------------------- */

static void long_mode_frame(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	rig_idt(cpu, X86_PF, INT32, 0, RIG_CODE64, RIG_HANDLER, 0);
	cpu->state.gpr[X86_RSP] = RIG_STACK0 - 3;
	cpu->state.rflags |= X86_FLAG_IF | X86_FLAG_NT | X86_FLAG_AC;
	x86_raise_page(cpu, 0xffff800000001234, X86_PF_W);
	assert_int_equal(x86_deliver_fault(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.cr2, 0xffff800000001234);
	assert_int_equal(cpu->state.rip, RIG_HANDLER);
	assert_int_equal(cpu->state.rflags, X86_FLAG_1 | X86_FLAG_AC);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 16 - 48);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 64, 8), X86_PF_W);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 56, 8), RIG_CODE);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 48, 8), RIG_CODE64);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 40, 8),
			 X86_FLAG_1 | X86_FLAG_IF | X86_FLAG_NT | X86_FLAG_AC |
				 X86_FLAG_RF);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 32, 8), RIG_STACK0 - 3);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 24, 8), RIG_DATA32);
	/* Same privilege: SS stays. */
	assert_int_equal(cpu->state.seg[X86_SS].selector, RIG_DATA32);
}

static void long_mode_from_user(void **state)
{
	struct x86_cpu *cpu = rig_compat(state, 3);

	rig_idt(cpu, 0x80, TRAP32, 3, RIG_CODE64, RIG_HANDLER, 0);
	assert_int_equal(software(cpu, 0x80), X86_NEXT);
	assert_int_equal(cpu->cpl, 0);
	assert_true(cpu->mode & X86_MODE_CODE64);
	assert_int_equal(cpu->state.seg[X86_SS].selector, 0);
	assert_int_equal(cpu->state.seg[X86_SS].attr, 0);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 40);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 8, 8),
			 RIG_USER_DATA32 | 3);
	/* Code of 32 bits cannot be a handler. */
	cpu = rig_long(state, 3);
	rig_idt(cpu, 0x80, TRAP32, 3, RIG_CODE32, RIG_HANDLER, 0);
	assert_faults(cpu, software(cpu, 0x80), X86_GP, RIG_CODE32);
	rig_idt(cpu, 0x80, TRAP32, 3, RIG_CODE64, 1ull << 47, 0);
	assert_faults(cpu, software(cpu, 0x80), X86_GP, 0);
	rig_idt(cpu, 0x80, X86_SYS_TASK, 3, RIG_TSS2_SEL, 0, 0);
	assert_faults(cpu, software(cpu, 0x80), X86_GP, 0x80 * 8 + 2);
	rig_idt(cpu, 0x80, TRAP32, 3, RIG_CODE64, RIG_HANDLER, 0);
	rig_poke(cpu, RIG_TSS + 4, 0x800000001000, 8);
	assert_faults(cpu, software(cpu, 0x80), X86_SSF, 0);
}

static void stack_table_applies_at_any_privilege(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	rig_idt(cpu, X86_DB, INT32, 0, RIG_CODE64, RIG_HANDLER, 1);
	fault(cpu, X86_DB);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_IST1 - 40);
	assert_int_equal(cpu->state.seg[X86_SS].selector, RIG_DATA32);
	cpu = rig_long(state, 3);
	rig_idt(cpu, X86_DB, INT32, 0, RIG_CODE64, RIG_HANDLER, 1);
	fault(cpu, X86_DB);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_IST1 - 40);
	assert_int_equal(cpu->state.seg[X86_SS].selector, 0);
}

static void kernel_stacks_are_kernel_accesses(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 3);

	/* Supervisor-only memory, straddling a page and within one. */
	rig_poke(cpu, RIG_TABLES + 0x2000, 0x83, 8);
	x86_tlb_flush(cpu);
	rig_idt(cpu, 0x80, INT32, 3, RIG_CODE64, RIG_HANDLER, 0);
	for (unsigned int i = 0; i < 3; i++) {
		cpu->state.seg[X86_CS].selector = RIG_USER_CODE64 | 3;
		rig_poke(cpu, RIG_TSS + 4, RIG_STACK0 + i * 16, 8);
		assert_int_equal(software(cpu, 0x80), X86_NEXT);
		assert_int_equal(cpu->state.gpr[X86_RSP],
				 RIG_STACK0 + i * 16 - 40);
		assert_int_equal(rig_peek(cpu, RIG_STACK0 + i * 16 - 32, 8),
				 RIG_USER_CODE64 | 3);
		cpu->state.seg[X86_SS].attr = 0xc93 | X86_ATTR_DPL;
		x86_update_mode(cpu);
	}
}

static void debug_registers(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	rig_idt(cpu, X86_DB, INT32, 0, RIG_CODE64, RIG_HANDLER, 0);
	cpu->state.dr[6] = 0xffff0ff0 | 3;
	cpu->state.dr[7] = 0x2400;
	x86_raise(cpu, X86_DB);
	cpu->fault.address = 0x4000;
	x86_deliver_fault(cpu);
	assert_int_equal(cpu->state.dr[6], 0xffff4ff0);
	assert_int_equal(cpu->state.dr[7], 0x400);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 24, 8), X86_FLAG_1);
	/* General detect is a fault. */
	cpu = rig_long(state, 0);
	rig_idt(cpu, X86_DB, INT32, 0, RIG_CODE64, RIG_HANDLER, 0);
	x86_raise(cpu, X86_DB);
	cpu->fault.address = 0x2000;
	x86_deliver_fault(cpu);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 24, 8),
			 X86_FLAG_1 | X86_FLAG_RF);
}

/* --- virtual-8086 mode -------------------------------------------------- */

static void vm86_to_kernel(void **state)
{
	struct x86_cpu *cpu = rig_vm86(state, 0);

	rig_idt(cpu, X86_GP, INT32, 0, RIG_CODE32, RIG_HANDLER, 0);
	assert_int_equal(fault_error(cpu, X86_GP, 0), X86_BRANCH);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 40);
	assert_int_equal(cpu->cpl, 0);
	assert_false(cpu->state.rflags & X86_FLAG_VM);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 4, 4), 0x100 + X86_GS);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 16, 4), 0x100 + X86_ES);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 20, 4), 0x100 + X86_SS);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 24, 4), 0x800);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 28, 4),
			 X86_FLAG_1 | X86_FLAG_VM | X86_FLAG_RF);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 32, 4), 0x100 + X86_CS);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 36, 4), 0x100);
	for (unsigned int i = 0; i <= X86_GS; i++)
		if (i != X86_CS && i != X86_SS)
			assert_int_equal(cpu->state.seg[i].attr, 0);
}

static void vm86_int_asks_iopl(void **state)
{
	struct x86_cpu *cpu = rig_vm86(state, 0);
	struct x86_insn int3 = { .length = 1, .opcode = 0xcc };

	rig_idt(cpu, 0x21, INT32, 3, RIG_CODE32, RIG_HANDLER, 0);
	rig_idt(cpu, 3, INT32, 3, RIG_CODE32, RIG_HANDLER, 0);
	assert_faults(cpu, software(cpu, 0x21), X86_GP, 0);
	assert_int_equal(rig_run(cpu, x86_int, &int3), X86_NEXT);
	cpu = rig_vm86(state, 3);
	rig_idt(cpu, 0x21, INT32, 3, RIG_CODE32, RIG_HANDLER, 0);
	assert_int_equal(software(cpu, 0x21), X86_NEXT);
	assert_int_equal(cpu->cpl, 0);
	/* Only code of DPL 0 may handle it. */
	cpu = rig_vm86(state, 3);
	rig_idt(cpu, 0x21, INT32, 3, RIG_CODE1, RIG_HANDLER, 0);
	assert_faults(cpu, software(cpu, 0x21), X86_GP, RIG_CODE1);
}

static void vm86_extensions_redirect(void **state)
{
	struct x86_cpu *cpu = rig_vm86(state, 0);
	uint64_t sp = 0x100 * 16 + X86_SS * 16 + 0x800;

	cpu->state.cr4 |= X86_CR4_VME;
	cpu->state.rflags |= X86_FLAG_VIF | X86_FLAG_IF;
	rig_poke(cpu, RIG_TSS + 0x66, 0x88, 2);
	rig_poke(cpu, 0x21 * 4, 0x02000010, 4);
	assert_int_equal(software(cpu, 0x21), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x10);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0x2000);
	assert_true(cpu->mode & X86_MODE_VM86);
	assert_false(cpu->state.rflags & X86_FLAG_VIF);
	assert_true(cpu->state.rflags & X86_FLAG_IF);
	assert_int_equal(rig_peek(cpu, sp - 2, 2),
			 X86_FLAG_1 | X86_FLAG_IF | X86_FLAG_IOPL);
	/* A bit set in the map: #GP below IOPL 3. */
	rig_poke(cpu, RIG_TSS + 0x68 + 0x21 / 8, 1 << (0x21 & 7), 1);
	assert_faults(cpu, software(cpu, 0x21), X86_GP, 0);
}

/* --- events ------------------------------------------------------------- */

static int apic_vector;
static unsigned int apic_inits;

static int apic_accept(void *apic)
{
	int vector = apic_vector;

	apic_vector = -1;
	return vector;
}

static bool apic_pending(void *apic)
{
	return apic_vector >= 0;
}

static void apic_init(void *apic)
{
	apic_inits++;
}

static void apic_set_base(void *apic, uint64_t base)
{
}

static const struct x86_apic_ops apic_ops = {
	.accept = apic_accept,
	.pending = apic_pending,
	.init = apic_init,
	.set_base = apic_set_base,
};

/* A 64-bit kernel with an APIC and handlers for NMI and 0x30. */
static struct x86_cpu *with_apic(void **state)
{
	struct x86_cpu *cpu = ((struct rig *)*state)->cpu;

	apic_vector = -1;
	cpu->apic.ops = &apic_ops;
	cpu = rig_long(state, 0);
	atomic_store(&cpu->request, 0);
	rig_idt(cpu, X86_NMI, INT32, 0, RIG_CODE64, RIG_HANDLER + 2, 0);
	rig_idt(cpu, 0x30, INT32, 0, RIG_CODE64, RIG_HANDLER, 0);
	cpu->state.rflags |= X86_FLAG_IF;
	return cpu;
}

static void interrupt(struct x86_cpu *cpu, int vector)
{
	apic_vector = vector;
	x86_cpu_request(cpu, X86_REQ_INTR);
}

static void interrupts_wait_for_if(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	assert_int_equal(x86_take_events(cpu), X86_NEXT);
	interrupt(cpu, 0x30);
	cpu->state.rflags &= ~(uint64_t)X86_FLAG_IF;
	assert_int_equal(x86_take_events(cpu), X86_NEXT);
	cpu->state.rflags |= X86_FLAG_IF;
	cpu->state.int_shadow = 1;
	assert_int_equal(x86_take_events(cpu), X86_NEXT);
	cpu->state.int_shadow = 0;
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 40, 8), RIG_CODE);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 24, 8),
			 X86_FLAG_1 | X86_FLAG_IF);
	assert_int_equal(atomic_load(&cpu->request), 0);
}

static void stale_resume_flag_is_hidden(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	cpu->state.rflags |= X86_FLAG_RF;
	interrupt(cpu, 0x30);
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 24, 8),
			 X86_FLAG_1 | X86_FLAG_IF);
	/* With breakpoints it is exact. */
	cpu = with_apic(state);
	cpu->state.rflags |= X86_FLAG_RF;
	cpu->state.dr[7] |= 1;
	interrupt(cpu, 0x30);
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 24, 8),
			 X86_FLAG_1 | X86_FLAG_IF | X86_FLAG_RF);
}

static void halt_wakes(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	cpu->state.activity = X86_HALTED;
	cpu->state.int_shadow = 1;
	assert_false(x86_can_wake(cpu));
	assert_int_equal(x86_take_events(cpu), X86_STOP);
	interrupt(cpu, 0x30);
	assert_true(x86_can_wake(cpu));
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.activity, X86_RUNNING);
	/* Whether or not somebody said so. */
	cpu = with_apic(state);
	cpu->state.activity = X86_HALTED;
	apic_vector = 0x30;
	assert_true(x86_can_wake(cpu));
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	/* With IF clear only an NMI does. */
	cpu = with_apic(state);
	cpu->state.activity = X86_HALTED;
	cpu->state.rflags &= ~(uint64_t)X86_FLAG_IF;
	interrupt(cpu, 0x30);
	assert_false(x86_can_wake(cpu));
	assert_int_equal(x86_take_events(cpu), X86_STOP);
	x86_cpu_request(cpu, X86_REQ_NMI);
	assert_true(x86_can_wake(cpu));
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER + 2);
}

static void nmi_blocks_until_iret(void **state)
{
	struct x86_cpu *cpu = with_apic(state);
	struct x86_insn iret = { .length = 2, .opcode = 0xcf, .opsize = 8 };

	interrupt(cpu, 0x30);
	x86_cpu_request(cpu, X86_REQ_NMI);
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER + 2); /* NMI first */
	x86_cpu_request(cpu, X86_REQ_NMI);
	assert_int_equal(x86_take_events(cpu), X86_NEXT);
	assert_int_equal(cpu->state.nmi_pending, 1);
	assert_int_equal(rig_run(cpu, x86_iret, &iret), X86_NEXT);
	assert_int_equal(cpu->state.rip, RIG_CODE);
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER + 2);
	assert_int_equal(cpu->state.nmi_pending, 0);
	assert_int_equal(cpu->state.nmi_blocked, 1);
}

/* Two that come before the first is taken are two, as are three. */
static void two_nmis_are_kept(void **state)
{
	struct x86_cpu *cpu = with_apic(state);
	struct x86_insn iret = { .length = 2, .opcode = 0xcf, .opsize = 8 };
	unsigned int i;

	for (i = 0; i < 3; i++)
		x86_cpu_request(cpu, X86_REQ_NMI);
	for (i = 0; i < 2; i++) {
		assert_int_equal(x86_take_events(cpu), X86_BRANCH);
		assert_int_equal(cpu->state.rip, RIG_HANDLER + 2);
		assert_int_equal(x86_take_events(cpu), X86_NEXT);
		assert_int_equal(rig_run(cpu, x86_iret, &iret), X86_NEXT);
	}
	assert_int_equal(x86_take_events(cpu), X86_NEXT);
	assert_int_equal(cpu->state.rip, RIG_CODE);
}

static void init_and_start_up(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	apic_inits = 0;
	cpu->state.apic_base &= ~(uint64_t)X86_APIC_BASE_BSP;
	x86_cpu_request(cpu, X86_REQ_SIPI); /* not waiting: dropped */
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_CODE);
	x86_cpu_request(cpu, X86_REQ_INIT);
	assert_true(x86_can_wake(cpu));
	assert_int_equal(x86_take_events(cpu), X86_STOP);
	assert_int_equal(cpu->state.activity, X86_WAIT_SIPI);
	assert_int_equal(apic_inits, 1);
	assert_false(x86_can_wake(cpu));
	x86_cpu_request(cpu, X86_REQ_NMI);
	assert_false(x86_can_wake(cpu));
	cpu->state.sipi_vector = 0x9a;
	x86_cpu_request(cpu, X86_REQ_SIPI);
	assert_true(x86_can_wake(cpu));
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.activity, X86_RUNNING);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0x9a000);
	assert_int_equal(cpu->state.seg[X86_CS].selector, 0x9a00);
	assert_int_equal(cpu->state.rip, 0);
}

static void start_up_on_the_heels_of_init(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	/* Both have come before the processor's thread looks. */
	cpu->state.apic_base &= ~(uint64_t)X86_APIC_BASE_BSP;
	x86_cpu_request(cpu, X86_REQ_INIT);
	cpu->state.sipi_vector = 0x9a;
	x86_cpu_request(cpu, X86_REQ_SIPI);
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.activity, X86_RUNNING);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0x9a000);
}

static void bootstrap_processor_restarts(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	x86_cpu_request(cpu, X86_REQ_INIT);
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.activity, X86_RUNNING);
	assert_int_equal(cpu->state.rip, 0xfff0);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0xffff0000);
}

static void kicks_end_the_run(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	x86_cpu_request(cpu, X86_REQ_KICK);
	assert_int_equal(x86_take_events(cpu), X86_STOP);
	assert_int_equal(cpu->state.rip, RIG_CODE);
}

static void restored_fault_is_delivered(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	rig_idt(cpu, X86_PF, INT32, 0, RIG_CODE64, RIG_HANDLER + 4, 0);
	cpu->state.cr2 = 0x1234;
	cpu->state.fault_pending = 1;
	cpu->state.fault_vector = X86_PF;
	cpu->state.fault_has_error = 1;
	cpu->state.fault_error = 6;
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER + 4);
	assert_int_equal(cpu->state.cr2, 0x1234);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 48, 8), 6);
	assert_int_equal(cpu->state.fault_pending, 0);
}

static void failing_interrupts_set_ext(void **state)
{
	struct x86_cpu *cpu = with_apic(state);

	rig_idt(cpu, X86_GP, INT32, 0, RIG_CODE64, RIG_HANDLER + 4, 0);
	interrupt(cpu, 0x31); /* no gate */
	assert_int_equal(x86_take_events(cpu), X86_BRANCH);
	assert_int_equal(cpu->state.rip, RIG_HANDLER + 4);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 48, 8), 0x31 * 8 + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_mode_vectors),
		cmocka_unit_test(real_mode_pushes_no_error_code),
		cmocka_unit_test(real_mode_stack_wraps),
		cmocka_unit_test(same_privilege),
		cmocka_unit_test(trap_gate_of_16_bits),
		cmocka_unit_test(to_inner_privilege),
		cmocka_unit_test(to_privilege_one),
		cmocka_unit_test(conforming_handler_keeps_privilege),
		cmocka_unit_test(gates_are_checked),
		cmocka_unit_test(inner_stacks_are_checked),
		cmocka_unit_test(exceptions_set_ext),
		cmocka_unit_test(contributory_faults_double),
		cmocka_unit_test(triple_fault_shuts_down),
		cmocka_unit_test(page_fault_in_contributory_is_serial),
		cmocka_unit_test(long_mode_frame),
		cmocka_unit_test(long_mode_from_user),
		cmocka_unit_test(stack_table_applies_at_any_privilege),
		cmocka_unit_test(kernel_stacks_are_kernel_accesses),
		cmocka_unit_test(debug_registers),
		cmocka_unit_test(vm86_to_kernel),
		cmocka_unit_test(vm86_int_asks_iopl),
		cmocka_unit_test(vm86_extensions_redirect),
		cmocka_unit_test(interrupts_wait_for_if),
		cmocka_unit_test(stale_resume_flag_is_hidden),
		cmocka_unit_test(halt_wakes),
		cmocka_unit_test(nmi_blocks_until_iret),
		cmocka_unit_test(two_nmis_are_kept),
		cmocka_unit_test(init_and_start_up),
		cmocka_unit_test(start_up_on_the_heels_of_init),
		cmocka_unit_test(bootstrap_processor_restarts),
		cmocka_unit_test(kicks_end_the_run),
		cmocka_unit_test(restored_fault_is_delivered),
		cmocka_unit_test(failing_interrupts_set_ext),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
