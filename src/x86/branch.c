/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Near control transfers: Jcc, JMP, CALL, RET, LOOPcc, JrCXZ, and group 5
 * (FF). Far ones are in far.c. AMD64 APM vol. 3, chapter 3. In 64-bit code
 * the operand-size prefix is ignored here, as on Intel's processors.
 */
#include "x86/alu.h"
#include "x86/exec.h"
#include "x86/handlers.h"
#include "x86/segment.h"

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn

/*
 * Cuts `target` to the operand size outside 64-bit code. #GP(0) where the
 * code segment does not reach, or when it is not canonical.
 */
X86_INLINE enum x86_result check_target(ARGS, uint64_t *target)
{
	bool inside;

	if (cpu->mode & X86_MODE_CODE64) {
		inside = x86_is_canonical(*target);
	} else {
		*target = truncate(*target, insn->opsize == 2 ? 2 : 4);
		inside = *target <= cpu->state.seg[X86_CS].limit;
	}
	return __builtin_expect(inside, 1) ? X86_NEXT :
					     x86_raise_error(cpu, X86_GP, 0);
}

X86_INLINE enum x86_result go(ARGS, uint64_t target)
{
	if (check_target(cpu, insn, &target))
		return X86_FAULT;
	cpu->state.rip = target;
	return X86_BRANCH;
}

/* 64-bit code: no limit, no truncation. */
static enum x86_result jcc_64(ARGS)
{
	if (!condition(cpu, insn->opcode & 15))
		return X86_NEXT;
	cpu->state.rip = following(cpu, insn) + insn->imm;
	return X86_BRANCH;
}

static enum x86_result jz_64(ARGS)
{
	if (x86_zf(cpu) == (insn->opcode & 1))
		return X86_NEXT;
	cpu->state.rip = following(cpu, insn) + insn->imm;
	return X86_BRANCH;
}

static enum x86_result jcc(ARGS)
{
	uint64_t rip = following(cpu, insn);

	if (condition(cpu, insn->opcode & 15))
		return go(cpu, insn, rip + insn->imm);
	cpu->state.rip = (uint32_t)rip;
	return X86_BRANCH;
}

/*
 * Only 64-bit code has a default address size of 8; code there with an
 * address-size prefix takes the general handler, which is right too.
 */
static bool code64(const struct x86_insn *insn)
{
	return insn->adsize == 8;
}

x86_handler *x86_pick_jcc(const struct x86_insn *insn)
{
	if (!code64(insn))
		return jcc;
	return (insn->opcode & 14) == 4 ? jz_64 : jcc_64;
}

static enum x86_result jump(ARGS)
{
	return go(cpu, insn, following(cpu, insn) + insn->imm);
}

/* The stack's fault comes before that of a target which is not canonical. */
static enum x86_result refuse_call(struct x86_cpu *cpu)
{
	uint64_t linear;
	enum x86_result r = stack_linear(cpu, cpu->state.gpr[X86_RSP] - 8, 8,
					 X86_WRITE, &linear);

	if (!r)
		r = x86_probe(cpu, linear, 8, X86_WRITE);
	return r ? r : x86_raise_error(cpu, X86_GP, 0);
}

static enum x86_result call_to(ARGS, uint64_t target)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : insn->opsize;
	uint64_t back = truncate(following(cpu, insn), size);
	enum x86_result r = check_target(cpu, insn, &target);

	if (r && cpu->mode & X86_MODE_CODE64)
		return refuse_call(cpu);
	if (!r)
		r = push_value(cpu, back, size);
	if (r)
		return r;
	cpu->state.rip = target;
	return X86_BRANCH;
}

static enum x86_result call(ARGS)
{
	return call_to(cpu, insn, following(cpu, insn) + insn->imm);
}

static enum x86_result ret(ARGS)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : insn->opsize;
	uint64_t target;
	enum x86_result r = peek_value(cpu, 0, size, &target);

	if (r)
		return r;
	r = go(cpu, insn, target);
	if (r == X86_BRANCH)
		set_stack_pointer(cpu, cpu->state.gpr[X86_RSP] + size +
					       insn->imm);
	return r;
}

/* E0 LOOPNE, E1 LOOPE, E2 LOOP, E3 JrCXZ; the count is address-sized. */
static enum x86_result loop(ARGS)
{
	uint64_t count = truncate(cpu->state.gpr[X86_RCX], insn->adsize);
	uint64_t rip = following(cpu, insn);
	enum x86_result r;
	bool taken;

	if (insn->opcode == 0xe3) {
		taken = count == 0;
	} else {
		count = truncate(count - 1, insn->adsize);
		taken = count != 0;
		if (insn->opcode < 0xe2)
			taken &= x86_zf(cpu) == (insn->opcode & 1);
	}
	r = go(cpu, insn, rip + (taken ? insn->imm : 0));
	if (r == X86_BRANCH && insn->opcode != 0xe3)
		set_register(cpu, insn, X86_RCX, insn->adsize, count);
	return r;
}

x86_handler *x86_pick_branch(const struct x86_insn *insn)
{
	switch (insn->opcode) {
	case 0xe8:
		return call;
	case 0xe9:
	case 0xeb:
		return jump;
	case 0xc2:
	case 0xc3:
		return ret;
	default:
		return loop;
	}
}

/* The target operand of group 5: 64 bits wide in 64-bit code. */
static enum x86_result read_target(ARGS, uint64_t *target)
{
	unsigned int size = cpu->mode & X86_MODE_CODE64 ? 8 : insn->opsize;

	return read_rm(cpu, insn, size, target);
}

static enum x86_result call_indirect(ARGS)
{
	uint64_t target;
	enum x86_result r = read_target(cpu, insn, &target);

	return r ? r : call_to(cpu, insn, target);
}

static enum x86_result jump_indirect(ARGS)
{
	uint64_t target;
	enum x86_result r = read_target(cpu, insn, &target);

	return r ? r : go(cpu, insn, target);
}

static enum x86_result push_rm(ARGS)
{
	unsigned int size = stack_size(cpu, insn);
	uint64_t v;
	enum x86_result r = read_rm(cpu, insn, size, &v);

	return r ? r : push_value(cpu, v, size);
}

x86_handler *x86_pick_group5(const struct x86_insn *insn)
{
	switch (insn->modrm >> 3 & 7) {
	case 0:
	case 1:
		return x86_pick_group4(insn);
	case 2:
		return call_indirect;
	case 4:
		return jump_indirect;
	case 6:
		return push_rm;
	default: /* the far forms are bound by bind.c */
		return NULL;
	}
}
