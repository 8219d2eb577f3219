/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bit instructions of the 0F map: BT BTS BTR BTC, BSF BSR, TZCNT LZCNT
 * POPCNT. AMD64 APM vol. 3, chapter 3.
 */
#include "x86/exec.h"
#include "x86/operand.h"

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn

enum bit_op {
	BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT,
};

/* The operation is in bits 4:3 of the opcode, or of ModRM for 0F BA. */
X86_INLINE enum bit_op bit_operation(const struct x86_insn *insn)
{
	unsigned int from =
		insn->opcode == 0xba ? insn->modrm : insn->opcode;

	return (enum bit_op)(from >> 3 & 3);
}

/* Only CF changes. */
static uint64_t bit_change(struct x86_cpu *cpu, enum bit_op op, uint64_t v,
			   unsigned int bit)
{
	uint64_t flags = x86_flags(cpu) & ~(uint64_t)X86_FLAG_CF;

	x86_set_arith(cpu, flags | (v >> bit & 1));
	switch (op) {
	case BIT_SET:
		return v | 1ull << bit;
	case BIT_RESET:
		return v & ~(1ull << bit);
	case BIT_COMPLEMENT:
		return v ^ 1ull << bit;
	default:
		return v;
	}
}

static enum x86_result bit_register(ARGS)
{
	unsigned int size = insn->opsize;
	enum bit_op op = bit_operation(insn);
	uint64_t index = insn->opcode == 0xba ? insn->imm :
						cpu->state.gpr[insn->reg];
	uint64_t v = get_register(cpu, insn, insn->rm, size);

	v = bit_change(cpu, op, v, index & (size * 8 - 1));
	if (op != BIT_TEST)
		set_register(cpu, insn, insn->rm, size, v);
	return X86_NEXT;
}

/* A register index reaches beyond the operand: a signed bit offset. */
static enum x86_result bit_memory(ARGS)
{
	unsigned int size = insn->opsize, bits = size * 8;
	enum bit_op op = bit_operation(insn);
	uint64_t ea = x86_effective(cpu, insn), v = 0;
	int64_t index = (int64_t)insn->imm & (bits - 1);
	struct modify m;
	enum x86_result r;

	if (insn->opcode != 0xba) {
		index = sign_extend(cpu->state.gpr[insn->reg], size);
		ea += (uint64_t)(index >> size_log2(bits)) * size;
		ea = truncate(ea, insn->adsize);
	}
	r = x86_linear(cpu, insn->seg, ea, size,
		       op == BIT_TEST ? X86_READ : X86_WRITE, &m.linear);
	if (r)
		return r;
	if (op == BIT_TEST)
		r = x86_read(cpu, m.linear, &v, size);
	else
		r = modify_at(cpu, &m, size, &v);
	if (r)
		return r;
	v = bit_change(cpu, op, v, (unsigned int)index & (bits - 1));
	return op == BIT_TEST ? X86_NEXT : modify_end(cpu, &m, size, v);
}

x86_handler *x86_pick_bit_test(const struct x86_insn *insn)
{
	if (insn->opcode == 0xba && (insn->modrm >> 3 & 7) < 4)
		return NULL;
	return insn->mem ? bit_memory : bit_register;
}

/* BSF, BSR: a zero operand sets ZF and leaves the destination as it is. */
static enum x86_result bit_scan(ARGS)
{
	uint64_t v, flags, bit;
	enum x86_result r = read_rm(cpu, insn, insn->opsize, &v);

	if (r)
		return r;
	flags = x86_flags(cpu) & ~(uint64_t)X86_FLAG_ZF;
	if (!v) {
		x86_set_arith(cpu, flags | X86_FLAG_ZF);
		return X86_NEXT;
	}
	bit = insn->opcode == 0xbc ? (uint64_t)__builtin_ctzll(v) :
				     63u - (uint64_t)__builtin_clzll(v);
	set_register(cpu, insn, insn->reg, insn->opsize, bit);
	x86_set_arith(cpu, flags);
	return X86_NEXT;
}

/* TZCNT and LZCNT: CF for a zero operand, ZF for a zero result. */
static enum x86_result count_zeros(ARGS)
{
	unsigned int bits = insn->opsize * 8u;
	uint64_t v, n = bits, flags;
	enum x86_result r = read_rm(cpu, insn, insn->opsize, &v);

	if (r)
		return r;
	if (v && insn->opcode == 0xbc)
		n = (uint64_t)__builtin_ctzll(v);
	else if (v)
		n = (uint64_t)__builtin_clzll(v) - (64 - bits);
	flags = x86_flags(cpu) & ~(uint64_t)(X86_FLAG_CF | X86_FLAG_ZF);
	flags |= (v ? 0 : X86_FLAG_CF) | (n ? 0 : X86_FLAG_ZF);
	set_register(cpu, insn, insn->reg, insn->opsize, n);
	x86_set_arith(cpu, flags);
	return X86_NEXT;
}

/* POPCNT clears all flags but ZF. */
static enum x86_result count_ones(ARGS)
{
	uint64_t v;
	enum x86_result r = read_rm(cpu, insn, insn->opsize, &v);

	if (r)
		return r;
	x86_set_arith(cpu, v ? 0 : X86_FLAG_ZF);
	v = v - (v >> 1 & 0x5555555555555555);
	v = (v & 0x3333333333333333) + (v >> 2 & 0x3333333333333333);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0f;
	set_register(cpu, insn, insn->reg, insn->opsize,
		     v * 0x0101010101010101 >> 56);
	return X86_NEXT;
}

x86_handler *x86_pick_bit_scan(const struct x86_insn *insn)
{
	if (insn->opcode == 0xb8)
		return insn->prefix & X86_PFX_REP ? count_ones : NULL;
	return insn->prefix & X86_PFX_REP ? count_zeros : bit_scan;
}
