/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer arithmetic and logic: ADD OR ADC SBB AND SUB XOR CMP, TEST, INC,
 * DEC, NEG, NOT. AMD64 APM vol. 3, chapter 3. One handler for each
 * operation, size and operand kind, stamped from one body.
 */
#include "x86/alu.h"
#include "x86/exec.h"

/* op r/m, value */
X86_INLINE enum x86_result alu_to_rm(struct x86_cpu *cpu,
				     const struct x86_insn *insn,
				     enum alu_op op, unsigned int size,
				     bool mem, uint64_t b)
{
	struct modify m;
	enum x86_result r;
	uint64_t a;

	if (!mem) {
		a = get_register(cpu, insn, insn->rm, size);
		a = alu_compute(cpu, op, a, b, size);
		if (op != ALU_CMP)
			set_register(cpu, insn, insn->rm, size, a);
		return X86_NEXT;
	}
	if (op == ALU_CMP) {
		r = read_memory(cpu, insn, size, &a);
		if (!r)
			alu_compute(cpu, op, a, b, size);
		return r;
	}
	r = modify_begin(cpu, insn, size, &m, &a);
	if (r)
		return r;
	if (m.host) {
		host_store(m.host, size, alu_compute(cpu, op, a, b, size));
		return X86_NEXT;
	}
	/* The access was probed: the write below does not fault. */
	return modify_end(cpu, &m, size, alu_compute(cpu, op, a, b, size));
}

/* op reg, r/m */
X86_INLINE enum x86_result alu_to_reg(struct x86_cpu *cpu,
				      const struct x86_insn *insn,
				      enum alu_op op, unsigned int size,
				      bool mem)
{
	uint64_t a = get_register(cpu, insn, insn->reg, size), b;
	enum x86_result r;

	if (mem) {
		r = read_memory(cpu, insn, size, &b);
		if (r)
			return r;
	} else {
		b = get_register(cpu, insn, insn->rm, size);
	}
	a = alu_compute(cpu, op, a, b, size);
	if (op != ALU_CMP)
		set_register(cpu, insn, insn->reg, size, a);
	return X86_NEXT;
}

X86_INLINE enum x86_result alu_accumulator(struct x86_cpu *cpu,
					   const struct x86_insn *insn,
					   enum alu_op op, unsigned int size)
{
	uint64_t a = truncate(cpu->state.gpr[X86_RAX], size);

	a = alu_compute(cpu, op, a, truncate(insn->imm, size), size);
	if (op == ALU_CMP)
		return X86_NEXT;
	if (size == 1)
		memcpy(&cpu->state.gpr[X86_RAX], &a, 1);
	else
		set_register(cpu, insn, X86_RAX, size, a);
	return X86_NEXT;
}

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn

/* The handlers of one operation at one size. */
#define ALU_SIZE(name, op, size)                                            \
	static enum x86_result name##_rm_r_reg_##size(ARGS)                 \
	{                                                                   \
		return alu_to_rm(cpu, insn, op, size, false,                \
				 get_register(cpu, insn, insn->reg, size)); \
	}                                                                   \
	static enum x86_result name##_rm_r_mem_##size(ARGS)                 \
	{                                                                   \
		return alu_to_rm(cpu, insn, op, size, true,                 \
				 get_register(cpu, insn, insn->reg, size)); \
	}                                                                   \
	static enum x86_result name##_rm_i_reg_##size(ARGS)                 \
	{                                                                   \
		return alu_to_rm(cpu, insn, op, size, false,                \
				 truncate(insn->imm, size));                \
	}                                                                   \
	static enum x86_result name##_rm_i_mem_##size(ARGS)                 \
	{                                                                   \
		return alu_to_rm(cpu, insn, op, size, true,                 \
				 truncate(insn->imm, size));                \
	}                                                                   \
	static enum x86_result name##_r_rm_reg_##size(ARGS)                 \
	{                                                                   \
		return alu_to_reg(cpu, insn, op, size, false);              \
	}                                                                   \
	static enum x86_result name##_r_rm_mem_##size(ARGS)                 \
	{                                                                   \
		return alu_to_reg(cpu, insn, op, size, true);               \
	}                                                                   \
	static enum x86_result name##_acc_##size(ARGS)                      \
	{                                                                   \
		return alu_accumulator(cpu, insn, op, size);                \
	}

#define ALU_SIZES(name, op)  \
	ALU_SIZE(name, op, 1) \
	ALU_SIZE(name, op, 2) \
	ALU_SIZE(name, op, 4) \
	ALU_SIZE(name, op, 8)

ALU_SIZES(add, ALU_ADD)
ALU_SIZES(or, ALU_OR)
ALU_SIZES(adc, ALU_ADC)
ALU_SIZES(sbb, ALU_SBB)
ALU_SIZES(and, ALU_AND)
ALU_SIZES(sub, ALU_SUB)
ALU_SIZES(xor, ALU_XOR)
ALU_SIZES(cmp, ALU_CMP)

struct alu_handlers {
	struct x86_forms rm_r, rm_i, r_rm;
	x86_handler *accumulator[4];
};

#define FOUR(stem) { stem##_1, stem##_2, stem##_4, stem##_8 }
#define FORMS(stem) { .reg = FOUR(stem##_reg), .mem = FOUR(stem##_mem) }
#define ALU_ENTRY(name)                          \
	{                                        \
		.rm_r = FORMS(name##_rm_r),      \
		.rm_i = FORMS(name##_rm_i),      \
		.r_rm = FORMS(name##_r_rm),      \
		.accumulator = FOUR(name##_acc), \
	}

static const struct alu_handlers alu_handlers[8] = {
	ALU_ENTRY(add), ALU_ENTRY(or),	ALU_ENTRY(adc), ALU_ENTRY(sbb),
	ALU_ENTRY(and), ALU_ENTRY(sub), ALU_ENTRY(xor), ALU_ENTRY(cmp),
};

static x86_handler *pick_form(const struct x86_forms *forms,
			      const struct x86_insn *insn)
{
	unsigned int size = size_log2(insn->opsize);

	return insn->mem ? forms->mem[size] : forms->reg[size];
}

x86_handler *x86_pick_alu(const struct x86_insn *insn)
{
	const struct alu_handlers *op = &alu_handlers[insn->opcode >> 3 & 7];

	if ((insn->opcode & 7) >= 4)
		return op->accumulator[size_log2(insn->opsize)];
	return pick_form(insn->opcode & 2 ? &op->r_rm : &op->rm_r, insn);
}

x86_handler *x86_pick_alu_group(const struct x86_insn *insn)
{
	return pick_form(&alu_handlers[insn->modrm >> 3 & 7].rm_i, insn);
}

/* TEST: AND without the result. */
X86_INLINE enum x86_result test_value(struct x86_cpu *cpu,
				      const struct x86_insn *insn,
				      unsigned int size, bool mem, uint64_t b)
{
	enum x86_result r;
	uint64_t a;

	if (mem) {
		r = read_memory(cpu, insn, size, &a);
		if (r)
			return r;
	} else {
		a = get_register(cpu, insn, insn->rm, size);
	}
	alu_compute(cpu, ALU_AND, a, b, size);
	return X86_NEXT;
}

#define UNARY_SIZE(name, op, size)                                          \
	static enum x86_result name##_reg_##size(ARGS)                      \
	{                                                                   \
		return alu_to_rm(cpu, insn, op, size, false, 0);            \
	}                                                                   \
	static enum x86_result name##_mem_##size(ARGS)                      \
	{                                                                   \
		return alu_to_rm(cpu, insn, op, size, true, 0);             \
	}
#define UNARY(name, op)        \
	UNARY_SIZE(name, op, 1) \
	UNARY_SIZE(name, op, 2) \
	UNARY_SIZE(name, op, 4) \
	UNARY_SIZE(name, op, 8)

UNARY(inc, ALU_INC)
UNARY(dec, ALU_DEC)
UNARY(neg, ALU_NEG)
UNARY(not, ALU_NOT)

#define TEST_SIZE(size)                                                      \
	static enum x86_result test_r_reg_##size(ARGS)                       \
	{                                                                    \
		return test_value(cpu, insn, size, false,                    \
				  get_register(cpu, insn, insn->reg, size)); \
	}                                                                    \
	static enum x86_result test_r_mem_##size(ARGS)                       \
	{                                                                    \
		return test_value(cpu, insn, size, true,                     \
				  get_register(cpu, insn, insn->reg, size)); \
	}                                                                    \
	static enum x86_result test_i_reg_##size(ARGS)                       \
	{                                                                    \
		return test_value(cpu, insn, size, false,                    \
				  truncate(insn->imm, size));                \
	}                                                                    \
	static enum x86_result test_i_mem_##size(ARGS)                       \
	{                                                                    \
		return test_value(cpu, insn, size, true,                     \
				  truncate(insn->imm, size));                \
	}                                                                    \
	static enum x86_result test_acc_##size(ARGS)                         \
	{                                                                    \
		alu_compute(cpu, ALU_AND,                                    \
			    truncate(cpu->state.gpr[X86_RAX], size),         \
			    truncate(insn->imm, size), size);                \
		return X86_NEXT;                                             \
	}
TEST_SIZE(1)
TEST_SIZE(2)
TEST_SIZE(4)
TEST_SIZE(8)

static const struct x86_forms inc_forms = FORMS(inc);
static const struct x86_forms dec_forms = FORMS(dec);
static const struct x86_forms neg_forms = FORMS(neg);
static const struct x86_forms not_forms = FORMS(not);
static const struct x86_forms test_r_forms = FORMS(test_r);
static const struct x86_forms test_i_forms = FORMS(test_i);
static x86_handler *const test_acc_forms[4] = FOUR(test_acc);

x86_handler *x86_pick_test(const struct x86_insn *insn)
{
	if (insn->opcode >= 0xa8)
		return test_acc_forms[size_log2(insn->opsize)];
	return pick_form(&test_r_forms, insn);
}

/* 40-4F outside 64-bit code: the register is in the opcode. */
x86_handler *x86_pick_inc_dec(const struct x86_insn *insn)
{
	const struct x86_forms *forms =
		insn->opcode & 8 ? &dec_forms : &inc_forms;

	return forms->reg[size_log2(insn->opsize)];
}

x86_handler *x86_pick_group3(const struct x86_insn *insn)
{
	static x86_handler *const wide[4] = { x86_mul, x86_imul_one, x86_div,
					      x86_idiv };
	unsigned int op = insn->modrm >> 3 & 7;

	if (op >= 4)
		return wide[op - 4];
	if (op == 2)
		return pick_form(&not_forms, insn);
	return pick_form(op == 3 ? &neg_forms : &test_i_forms, insn);
}

x86_handler *x86_pick_group4(const struct x86_insn *insn)
{
	unsigned int op = insn->modrm >> 3 & 7;

	if (op > 1)
		return NULL;
	return pick_form(op ? &dec_forms : &inc_forms, insn);
}
