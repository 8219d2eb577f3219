/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The eight two-operand operations of the 00-3F and 80-83 opcodes, and the
 * one-operand ones, with their flags. Shared by the plain and the locked
 * handlers.
 */
#ifndef LODGE_X86_ALU_H
#define LODGE_X86_ALU_H

#include "x86/operand.h"

/* In the order of the opcode's bits 5:3; the rest follows. */
enum alu_op {
	ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP,
	ALU_INC, ALU_DEC, ALU_NEG, ALU_NOT,
};

/* INC and DEC keep CF: it is put back into the carry vector. */
X86_INLINE void set_inc_dec_flags(struct x86_cpu *cpu, uint64_t result,
				  uint64_t carry, unsigned int size)
{
	unsigned int top = size * 8 - 1;
	uint64_t overflow = (carry >> top ^ carry >> (top - 1)) & 1;
	uint64_t cf = x86_cf(cpu);

	carry &= ~(3ull << (top - 1));
	carry |= cf << top | (cf ^ overflow) << (top - 1);
	x86_set_lazy(cpu, sign_extend(result, size), carry, size * 8);
}

/* Computes, sets the flags, gives the result (operands zero-extended). */
X86_INLINE uint64_t alu_compute(struct x86_cpu *cpu, enum alu_op op,
				uint64_t a, uint64_t b, unsigned int size)
{
	uint64_t r, carry = 0;

	switch (op) {
	case ALU_ADD:
		r = a + b;
		carry = (a & b) | ((a | b) & ~r);
		break;
	case ALU_ADC:
		r = a + b + x86_cf(cpu);
		carry = (a & b) | ((a | b) & ~r);
		break;
	case ALU_SUB:
	case ALU_CMP:
		r = a - b;
		carry = (~a & b) | (~(a ^ b) & r);
		break;
	case ALU_SBB:
		r = a - b - x86_cf(cpu);
		carry = (~a & b) | (~(a ^ b) & r);
		break;
	case ALU_AND:
		r = a & b;
		break;
	case ALU_OR:
		r = a | b;
		break;
	case ALU_XOR:
		r = a ^ b;
		break;
	case ALU_INC:
		r = a + 1;
		set_inc_dec_flags(cpu, r, a & ~r, size);
		return r;
	case ALU_DEC:
		r = a - 1;
		set_inc_dec_flags(cpu, r, ~a & r, size);
		return r;
	case ALU_NEG:
		r = 0 - a;
		carry = a | r;
		break;
	default:
		return ~a;
	}
	x86_set_lazy(cpu, sign_extend(r, size), carry, size * 8);
	return r;
}

#endif
