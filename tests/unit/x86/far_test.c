/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Far jumps, calls and returns, call gates, IRET, fast system calls.
 */
#include "rig.h"

static enum x86_result direct(struct x86_cpu *cpu, bool call,
			      uint16_t selector, uint32_t offset)
{
	struct x86_insn insn = {
		.length = 7,
		.opcode = call ? 0x9a : 0xea,
		.opsize = cpu->mode & X86_MODE_CODE32 ? 4 : 2,
		.selector = selector,
		.imm = offset,
	};

	return rig_run(cpu, call ? x86_far_call : x86_far_jump, &insn);
}

/* Through a far pointer at 0x8000; the only form of 64-bit code. */
static enum x86_result indirect(struct x86_cpu *cpu, bool call,
				uint16_t selector, uint64_t offset,
				unsigned int size)
{
	struct x86_insn insn = {
		.length = 7,
		.opcode = 0xff,
		.opsize = (uint8_t)size,
		.adsize = 4,
		.mem = true,
		.seg = X86_DS,
		.base = X86_NO_REG,
		.index = X86_NO_REG,
		.disp = 0x8000,
	};

	rig_poke(cpu, 0x8000, offset, size);
	rig_poke(cpu, 0x8000 + size, selector, 2);
	return rig_run(cpu, call ? x86_far_call : x86_far_jump, &insn);
}

static enum x86_result retf(struct x86_cpu *cpu, unsigned int size,
			    uint16_t release)
{
	struct x86_insn insn = {
		.length = 1,
		.opcode = release ? 0xca : 0xcb,
		.opsize = (uint8_t)size,
		.imm = release,
	};

	return rig_run(cpu, x86_far_return, &insn);
}

static enum x86_result iret(struct x86_cpu *cpu, unsigned int size)
{
	struct x86_insn insn = { .length = 1, .opcode = 0xcf,
				 .opsize = (uint8_t)size };

	return rig_run(cpu, x86_iret, &insn);
}

/* Pushes onto the flat stack of guest memory, without checks. */
static void push(struct x86_cpu *cpu, uint64_t v, unsigned int size)
{
	cpu->state.gpr[X86_RSP] -= size;
	rig_poke(cpu, cpu->state.gpr[X86_RSP], v, size);
}

/* --- jumps and calls ---------------------------------------------------- */

static void real_mode(void **state)
{
	struct x86_cpu *cpu = rig_real(state);

	assert_int_equal(direct(cpu, true, 0x200, 0x1234), X86_NEXT);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0x2000);
	assert_int_equal(cpu->state.rip, 0x1234);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 4, 4), RIG_CODE + 7);
	assert_int_equal(retf(cpu, 2, 4), X86_NEXT);
	assert_int_equal(cpu->state.rip, RIG_CODE + 7);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 + 4);
	cpu->mode |= X86_MODE_CODE32; /* an operand-size prefix */
	assert_faults(cpu, direct(cpu, false, 0, 0x10000), X86_GP, 0);
}

static void into_protected_mode(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	/* Just after MOV CR0: the real-mode CS is still loaded. */
	cpu->state.seg[X86_CS].selector = 0xf003;
	cpu->state.seg[X86_CS].attr = 0x9b;
	x86_update_mode(cpu);
	assert_int_equal(direct(cpu, false, RIG_CODE32, 0x7000), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7000);
	assert_true(cpu->mode & X86_MODE_CODE32);
}

static void code_segments_are_checked(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	assert_faults(cpu, direct(cpu, false, 0, 0), X86_GP, 0);
	assert_faults(cpu, direct(cpu, false, RIG_CODE32, 0), X86_GP,
		      RIG_CODE32);
	assert_faults(cpu, direct(cpu, false, RIG_USER_DATA32, 0), X86_GP,
		      RIG_USER_DATA32);
	assert_faults(cpu, direct(cpu, false, RIG_GDT_END, 0), X86_GP,
		      RIG_GDT_END);
	assert_faults(cpu, direct(cpu, false, RIG_TSS2_SEL, 0), X86_GP,
		      RIG_TSS2_SEL);
	assert_int_equal(direct(cpu, true, RIG_CONFORMING, 0x7000), X86_NEXT);
	assert_int_equal(cpu->state.seg[X86_CS].selector, RIG_CONFORMING | 3);
	assert_int_equal(cpu->cpl, 3);
	cpu = rig_protected(state, 0);
	rig_set_gdt(cpu, RIG_CODE16, rig_descriptor(0, 0xffff, 0x1a));
	assert_faults(cpu, direct(cpu, false, RIG_CODE16, 0), X86_NP,
		      RIG_CODE16);
	rig_set_gdt(cpu, RIG_CODE16, rig_descriptor(0, 0xffff, 0x9a));
	assert_faults(cpu, direct(cpu, false, RIG_CODE16, 0x10000), X86_GP, 0);
}

static void long_mode_code(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	assert_int_equal(indirect(cpu, false, RIG_CODE32, 0x7000, 4),
			 X86_NEXT);
	assert_false(cpu->mode & X86_MODE_CODE64);
	assert_int_equal(direct(cpu, true, RIG_CODE64, 0x7100), X86_NEXT);
	assert_true(cpu->mode & X86_MODE_CODE64);
	assert_int_equal(cpu->state.rip, 0x7100);
	assert_faults(cpu, indirect(cpu, false, RIG_CODE64, 1ull << 47, 8),
		      X86_GP, 0);
	rig_set_gdt(cpu, RIG_CODE16, rig_descriptor(0, 0xffff, 0x69b));
	assert_faults(cpu, indirect(cpu, false, RIG_CODE16, 0, 4), X86_GP,
		      RIG_CODE16);
	assert_int_equal(indirect(cpu, true, RIG_CODE64, 0x7200, 8), X86_NEXT);
	assert_int_equal(retf(cpu, 8, 0), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7107);
}

static void gate_to_the_same_privilege(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	rig_gate(cpu, RIG_GDT + RIG_GATE_SEL, X86_SYS_CALL32, 3, RIG_CODE32,
		 RIG_HANDLER, 0);
	assert_int_equal(direct(cpu, false, RIG_GATE_SEL, 0xdead), X86_NEXT);
	assert_int_equal(cpu->state.rip, RIG_HANDLER);
	rig_gate(cpu, RIG_GDT + RIG_GATE_SEL, X86_SYS_CALL16, 3, RIG_CODE32,
		 0x11117000, 0);
	assert_int_equal(direct(cpu, true, RIG_GATE_SEL, 0), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7000);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 4);
}

static void gate_to_inner_privilege(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	rig_gate(cpu, RIG_GDT + RIG_GATE_SEL, X86_SYS_CALL32, 3, RIG_CODE32,
		 RIG_HANDLER, 2);
	push(cpu, 0x2222, 4);
	push(cpu, 0x1111, 4);
	assert_faults(cpu, direct(cpu, false, RIG_GATE_SEL, 0), X86_GP,
		      RIG_CODE32);
	assert_int_equal(direct(cpu, true, RIG_GATE_SEL, 0), X86_NEXT);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->state.rip, RIG_HANDLER);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 24);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 24, 4), RIG_CODE + 7);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 20, 4),
			 RIG_USER_CODE32 | 3);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 16, 4), 0x1111);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 12, 4), 0x2222);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 8, 4), RIG_STACK3 - 8);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 4, 4),
			 RIG_USER_DATA32 | 3);
	/* And back, releasing the parameters on both stacks. */
	cpu->state.seg[X86_DS].selector = RIG_DATA32;
	cpu->state.seg[X86_DS].attr &= ~X86_ATTR_DPL;
	assert_int_equal(retf(cpu, 4, 8), X86_NEXT);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->state.rip, RIG_CODE + 7);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK3);
	assert_int_equal(cpu->state.seg[X86_SS].selector, RIG_USER_DATA32 | 3);
	assert_int_equal(cpu->state.seg[X86_DS].attr, 0);
	assert_int_equal(cpu->state.seg[X86_ES].selector, RIG_USER_DATA32 | 3);
}

static void gate_with_31_parameters(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	rig_gate(cpu, RIG_GDT + RIG_GATE_SEL, X86_SYS_CALL16, 3, RIG_CODE32,
		 RIG_HANDLER, 31);
	for (unsigned int i = 31; i > 0; i--)
		push(cpu, i, 2);
	assert_int_equal(direct(cpu, true, RIG_GATE_SEL, 0), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 70);
	for (unsigned int i = 0; i < 31; i++)
		assert_int_equal(rig_peek(cpu, RIG_STACK0 - 66 + i * 2, 2),
				 i + 1);
}

static void gates_are_checked(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);
	const uint64_t at = RIG_GDT + RIG_GATE_SEL;

	rig_gate(cpu, at, X86_SYS_CALL32, 0, RIG_CODE32, RIG_HANDLER, 0);
	assert_faults(cpu, direct(cpu, true, RIG_GATE_SEL, 0), X86_GP,
		      RIG_GATE_SEL);
	rig_gate(cpu, at, X86_SYS_CALL32, 3, 0, RIG_HANDLER, 0);
	assert_faults(cpu, direct(cpu, true, RIG_GATE_SEL, 0), X86_GP, 0);
	rig_gate(cpu, at, X86_SYS_CALL32, 3, RIG_DATA32, RIG_HANDLER, 0);
	assert_faults(cpu, direct(cpu, true, RIG_GATE_SEL, 0), X86_GP,
		      RIG_DATA32);
	rig_gate(cpu, at, X86_SYS_CALL32, 3, RIG_CODE32, RIG_HANDLER, 0);
	rig_poke(cpu, at + 5, 0x6c, 1);
	assert_faults(cpu, direct(cpu, true, RIG_GATE_SEL, 0), X86_NP,
		      RIG_GATE_SEL);
}

static void gate_of_64_bits(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 3);
	const uint64_t at = RIG_GDT + RIG_GATE_SEL;

	rig_gate(cpu, at, X86_SYS_CALL32, 3, RIG_CODE64, RIG_HANDLER, 0);
	assert_int_equal(indirect(cpu, true, RIG_GATE_SEL, 0, 4), X86_NEXT);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->state.seg[X86_SS].selector, 0);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0 - 32);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 32, 8), RIG_CODE + 7);
	assert_int_equal(rig_peek(cpu, RIG_STACK0 - 16, 8), RIG_STACK3);
	assert_int_equal(retf(cpu, 8, 0), X86_NEXT);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK3);
	rig_poke(cpu, at + 12, 0x100, 4);
	assert_faults(cpu, indirect(cpu, true, RIG_GATE_SEL, 0, 4), X86_GP,
		      RIG_GATE_SEL);
	rig_gate(cpu, at, X86_SYS_CALL32, 3, RIG_CODE32, RIG_HANDLER, 0);
	assert_faults(cpu, indirect(cpu, true, RIG_GATE_SEL, 0, 4), X86_GP,
		      RIG_CODE32);
}

/* --- IRET --------------------------------------------------------------- */

static void iret_in_real_mode(void **state)
{
	struct x86_cpu *cpu = rig_real(state);

	push(cpu, 0x7246, 2);
	push(cpu, 0x300, 2);
	push(cpu, 0x10, 2);
	cpu->state.nmi_blocked = 1;
	assert_int_equal(iret(cpu, 2), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x10);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0x3000);
	assert_int_equal(cpu->state.rflags, 0x7246);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK0);
	assert_int_equal(cpu->state.nmi_blocked, 0);
}

static void iret_keeps_privileged_flags(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	cpu->state.rflags |= X86_FLAG_IF;
	push(cpu, 0x3fd5 | X86_FLAG_VIP | X86_FLAG_AC, 4);
	push(cpu, RIG_USER_CODE32 | 3, 4);
	push(cpu, 0x7000, 4);
	rig_poke(cpu, cpu->state.gpr[X86_RSP] + 8,
		 (0x3fd5 & ~X86_FLAG_IF) | X86_FLAG_VIP | X86_FLAG_AC, 4);
	assert_int_equal(iret(cpu, 4), X86_NEXT);
	assert_int_equal(cpu->state.rflags, (0x0fd5 | X86_FLAG_1 |
					     X86_FLAG_IF | X86_FLAG_AC));
}

static void iret_to_user(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	push(cpu, RIG_USER_DATA32 | 3, 4);
	push(cpu, RIG_STACK3, 4);
	push(cpu, X86_FLAG_IF | X86_FLAG_RF, 4);
	push(cpu, RIG_USER_CODE32 | 3, 4);
	push(cpu, 0x7000, 4);
	assert_int_equal(iret(cpu, 4), X86_NEXT);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK3);
	assert_int_equal(cpu->state.rflags,
			 X86_FLAG_IF | X86_FLAG_RF | X86_FLAG_1);
	/* The kernel's data segments are gone. */
	assert_int_equal(cpu->state.seg[X86_DS].attr, 0);
	assert_int_equal(cpu->state.seg[X86_DS].selector, 0);
}

static void iret_faults_change_nothing(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	push(cpu, RIG_DATA32 | 3, 4);
	push(cpu, RIG_STACK3, 4);
	push(cpu, X86_FLAG_IF, 4);
	push(cpu, RIG_USER_CODE32 | 3, 4);
	push(cpu, 0x7000, 4);
	assert_faults(cpu, iret(cpu, 4), X86_GP, RIG_DATA32);
	rig_poke(cpu, cpu->state.gpr[X86_RSP] + 4, RIG_USER_CODE32, 4);
	assert_faults(cpu, iret(cpu, 4), X86_GP, RIG_USER_CODE32);
	rig_poke(cpu, cpu->state.gpr[X86_RSP] + 4, 0, 4);
	assert_faults(cpu, iret(cpu, 4), X86_GP, 0);
	cpu = rig_protected(state, 3);
	push(cpu, 0, 4);
	push(cpu, RIG_CODE32, 4);
	push(cpu, 0x7000, 4);
	assert_faults(cpu, iret(cpu, 4), X86_GP, RIG_CODE32);
}

static void iret_to_vm86(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 0);

	for (unsigned int i = 0; i < 4; i++)
		push(cpu, 0x400 - i, 4); /* GS FS DS ES */
	push(cpu, 0x300, 4);
	push(cpu, 0xfffe, 4);
	push(cpu, X86_FLAG_VM | X86_FLAG_IF, 4);
	push(cpu, 0x200, 4);
	push(cpu, 0x10, 4);
	assert_int_equal(iret(cpu, 4), X86_NEXT);
	assert_true(cpu->mode & X86_MODE_VM86);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->state.seg[X86_CS].base, 0x2000);
	assert_int_equal(cpu->state.seg[X86_SS].base, 0x3000);
	assert_int_equal(cpu->state.seg[X86_ES].base, 0x3fd0);
	assert_int_equal(cpu->state.seg[X86_GS].base, 0x4000);
	assert_int_equal(cpu->state.seg[X86_DS].attr, 0xf3);
	assert_int_equal(cpu->state.gpr[X86_RSP], 0xfffe);
	/* Inside, IRET needs IOPL 3 or the extensions. */
	assert_faults(cpu, iret(cpu, 2), X86_GP, 0);
	cpu->state.cr4 |= X86_CR4_VME;
	cpu->state.gpr[X86_RSP] = 0x800;
	rig_poke(cpu, 0x3800, 0x20, 2);
	rig_poke(cpu, 0x3802, 0x210, 2);
	rig_poke(cpu, 0x3804, X86_FLAG_IF | X86_FLAG_CF, 2);
	assert_int_equal(iret(cpu, 2), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x20);
	assert_true(cpu->state.rflags & X86_FLAG_VIF);
	assert_true(cpu->state.rflags & X86_FLAG_VM);
}

static void long_iret_to(struct x86_cpu *cpu, uint64_t rip, uint16_t cs,
			 uint64_t flags, uint64_t rsp, uint16_t ss)
{
	push(cpu, ss, 8);
	push(cpu, rsp, 8);
	push(cpu, flags, 8);
	push(cpu, cs, 8);
	push(cpu, rip, 8);
}

static void long_iret(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	long_iret_to(cpu, 0x7000, RIG_USER_CODE64 | 3, X86_FLAG_IF,
		     0x7fff00001234, RIG_USER_DATA32 | 3);
	cpu->state.seg[X86_FS] = (struct x86_segment){ .base = 0x1234,
						       .selector = 3 };
	assert_int_equal(iret(cpu, 8), X86_NEXT);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->state.gpr[X86_RSP], 0x7fff00001234);
	assert_int_equal(cpu->state.seg[X86_FS].base, 0x1234);
	assert_int_equal(cpu->state.seg[X86_FS].selector, 0);
	assert_true(cpu->mode & X86_MODE_CODE64);

	cpu = rig_long(state, 0);
	long_iret_to(cpu, 0x7000, RIG_CODE64, 0, 0x5550, 0);
	assert_int_equal(iret(cpu, 8), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RSP], 0x5550);
	assert_int_equal(cpu->state.seg[X86_SS].attr, 0);

	cpu = rig_long(state, 0);
	long_iret_to(cpu, 0x7000, RIG_USER_CODE32 | 3, 0, 0x5550,
		     RIG_USER_DATA32 | 3);
	assert_int_equal(iret(cpu, 8), X86_NEXT);
	assert_false(cpu->mode & X86_MODE_CODE64);
	assert_true(cpu->mode & X86_MODE_CODE32);
}

static void long_iret_faults(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	long_iret_to(cpu, 1ull << 47, RIG_USER_CODE64 | 3, 0, 0,
		     RIG_USER_DATA32 | 3);
	assert_faults(cpu, iret(cpu, 8), X86_GP, 0);
	long_iret_to(cpu, 0, RIG_USER_CODE64 | 3, 0, 0, 0);
	assert_faults(cpu, iret(cpu, 8), X86_GP, 0);
	long_iret_to(cpu, 0, RIG_USER_CODE64 | 3, 0, 0, 3);
	assert_faults(cpu, iret(cpu, 8), X86_GP, 0);
	cpu->state.rflags |= X86_FLAG_NT;
	assert_faults(cpu, iret(cpu, 8), X86_GP, 0);
}

static void iret_to_16_bit_stack_keeps_the_upper_half(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 0);

	rig_set_gdt(cpu, RIG_DATA16, rig_descriptor(0, 0xffff, 0xf3));
	long_iret_to(cpu, 0x7000, RIG_USER_CODE32 | 3, 0, 0x12345678,
		     RIG_DATA16 | 3);
	cpu->state.gpr[X86_RSP] &= 0xffff;
	assert_int_equal(iret(cpu, 8), X86_NEXT);
	assert_int_equal(cpu->state.gpr[X86_RSP], 0x5678);
}

/* --- system calls ------------------------------------------------------- */

#define STAR ((uint64_t)(RIG_USER_CODE32 | 3) << 48 |                    \
	      (uint64_t)RIG_CODE32 << 32 | 0x7700)

static const struct x86_insn two = { .length = 2, .opsize = 4 };
static const struct x86_insn two_wide = { .length = 3, .opsize = 8 };

static void syscall_and_sysret(void **state)
{
	struct x86_cpu *cpu = rig_long(state, 3);

	cpu->state.star = STAR;
	cpu->state.lstar = 0xffff800000001000;
	cpu->state.sfmask = X86_FLAG_IF | X86_FLAG_TF;
	cpu->state.rflags |= X86_FLAG_IF | X86_FLAG_CF | X86_FLAG_RF;
	assert_int_equal(rig_run(cpu, x86_syscall, &two), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0xffff800000001000);
	assert_int_equal(cpu->state.gpr[X86_RCX], RIG_CODE + 2);
	assert_int_equal(cpu->state.gpr[X86_R11],
			 X86_FLAG_1 | X86_FLAG_IF | X86_FLAG_CF);
	assert_int_equal(cpu->state.rflags, X86_FLAG_1 | X86_FLAG_CF);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->state.seg[X86_CS].selector, RIG_CODE32);
	assert_int_equal(cpu->state.seg[X86_SS].selector, RIG_DATA32);
	assert_int_equal(cpu->state.gpr[X86_RSP], RIG_STACK3);

	cpu->state.gpr[X86_R11] = UINT64_MAX;
	assert_int_equal(rig_run(cpu, x86_sysret, &two_wide), X86_NEXT);
	assert_int_equal(cpu->state.rip, RIG_CODE + 2);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->state.seg[X86_CS].selector,
			 (RIG_USER_CODE32 + 16) | 3);
	assert_int_equal(cpu->state.seg[X86_SS].selector,
			 (RIG_USER_CODE32 + 8) | 3);
	assert_int_equal(cpu->state.rflags, 0x3c7fd7);
	assert_faults(cpu, rig_run(cpu, x86_sysret, &two_wide), X86_GP, 0);
	cpu->state.efer &= ~(uint64_t)X86_EFER_SCE;
	assert_faults(cpu, rig_run(cpu, x86_syscall, &two), X86_UD, 0);
}

static void syscall_from_compatibility_mode(void **state)
{
	struct x86_cpu *cpu = rig_compat(state, 3);

	cpu->state.star = STAR;
	cpu->state.cstar = 0x7800;
	assert_int_equal(rig_run(cpu, x86_syscall, &two), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7800);
	assert_true(cpu->mode & X86_MODE_CODE64);
	cpu->state.gpr[X86_RCX] |= 0xdead00000000;
	assert_int_equal(rig_run(cpu, x86_sysret, &two), X86_NEXT);
	assert_int_equal(cpu->state.rip, RIG_CODE + 2);
	assert_int_equal(cpu->state.seg[X86_CS].selector, RIG_USER_CODE32 | 3);
	assert_false(cpu->mode & X86_MODE_CODE64);
}

static void syscall_in_legacy_mode(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	cpu->state.star = STAR;
	cpu->state.efer = X86_EFER_SCE;
	cpu->state.rflags |= X86_FLAG_IF;
	assert_int_equal(rig_run(cpu, x86_syscall, &two), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7700);
	assert_int_equal(cpu->state.rflags, X86_FLAG_1);
	assert_int_equal(rig_run(cpu, x86_sysret, &two), X86_NEXT);
	assert_int_equal(cpu->state.rip, RIG_CODE + 2);
	assert_int_equal(cpu->state.rflags, X86_FLAG_1 | X86_FLAG_IF);
	cpu = rig_real(state);
	cpu->state.efer = X86_EFER_SCE;
	assert_faults(cpu, rig_run(cpu, x86_syscall, &two), X86_UD, 0);
}

static void sysenter_and_sysexit(void **state)
{
	struct x86_cpu *cpu = rig_protected(state, 3);

	assert_faults(cpu, rig_run(cpu, x86_sysenter, &two), X86_GP, 0);
	cpu->state.sysenter_cs = RIG_CODE32;
	cpu->state.sysenter_eip = 0x7900;
	cpu->state.sysenter_esp = 0x8800;
	cpu->state.rflags |= X86_FLAG_IF;
	assert_int_equal(rig_run(cpu, x86_sysenter, &two), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7900);
	assert_int_equal(cpu->state.gpr[X86_RSP], 0x8800);
	assert_int_equal(cpu->cpl, 0);
	assert_int_equal(cpu->state.rflags, X86_FLAG_1);
	cpu->state.gpr[X86_RDX] = 0x6002;
	cpu->state.gpr[X86_RCX] = RIG_STACK3;
	assert_int_equal(rig_run(cpu, x86_sysexit, &two), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x6002);
	assert_int_equal(cpu->cpl, 3);
	assert_int_equal(cpu->state.seg[X86_CS].selector,
			 (RIG_CODE32 + 16) | 3);
	assert_faults(cpu, rig_run(cpu, x86_sysexit, &two), X86_GP, 0);
	cpu = rig_long(state, 0);
	cpu->state.sysenter_cs = RIG_CODE32;
	cpu->state.gpr[X86_RDX] = 1ull << 47;
	assert_faults(cpu, rig_run(cpu, x86_sysexit, &two_wide), X86_GP, 0);
	cpu->state.gpr[X86_RDX] = 0x7fff00000000;
	assert_int_equal(rig_run(cpu, x86_sysexit, &two_wide), X86_NEXT);
	assert_int_equal(cpu->state.rip, 0x7fff00000000);
	assert_int_equal(cpu->state.seg[X86_SS].selector,
			 (RIG_CODE32 + 40) | 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_mode),
		cmocka_unit_test(into_protected_mode),
		cmocka_unit_test(code_segments_are_checked),
		cmocka_unit_test(long_mode_code),
		cmocka_unit_test(gate_to_the_same_privilege),
		cmocka_unit_test(gate_to_inner_privilege),
		cmocka_unit_test(gate_with_31_parameters),
		cmocka_unit_test(gates_are_checked),
		cmocka_unit_test(gate_of_64_bits),
		cmocka_unit_test(iret_in_real_mode),
		cmocka_unit_test(iret_keeps_privileged_flags),
		cmocka_unit_test(iret_to_user),
		cmocka_unit_test(iret_faults_change_nothing),
		cmocka_unit_test(iret_to_vm86),
		cmocka_unit_test(long_iret),
		cmocka_unit_test(long_iret_faults),
		cmocka_unit_test(iret_to_16_bit_stack_keeps_the_upper_half),
		cmocka_unit_test(syscall_and_sysret),
		cmocka_unit_test(syscall_from_compatibility_mode),
		cmocka_unit_test(syscall_in_legacy_mode),
		cmocka_unit_test(sysenter_and_sysexit),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
