/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lazy arithmetic flags. The last flag-setting instruction leaves its result
 * (sign-extended) and its vector of carries out of each bit; the six flags
 * are computed when somebody looks. lazy_bits is the operand's width; 0 says
 * that state.rflags already holds them.
 *
 *   CF = carry out of the top bit       ZF = result is 0
 *   OF = carry into ^ out of the top    SF = sign of the result
 *   AF = carry out of bit 3             PF = even parity of the low byte
 */
#ifndef LODGE_X86_FLAGS_H
#define LODGE_X86_FLAGS_H

#include "x86/cpu.h"

static inline void x86_set_lazy(struct x86_cpu *cpu, int64_t result,
				uint64_t carry, unsigned int bits)
{
	cpu->lazy_result = result;
	cpu->lazy_carry = carry;
	cpu->lazy_bits = (uint8_t)bits;
}

static inline bool x86_cf(const struct x86_cpu *cpu)
{
	if (!cpu->lazy_bits)
		return cpu->state.rflags & X86_FLAG_CF;
	return cpu->lazy_carry >> (cpu->lazy_bits - 1) & 1;
}

static inline bool x86_zf(const struct x86_cpu *cpu)
{
	if (!cpu->lazy_bits)
		return cpu->state.rflags & X86_FLAG_ZF;
	return cpu->lazy_result == 0;
}

static inline bool x86_sf(const struct x86_cpu *cpu)
{
	if (!cpu->lazy_bits)
		return cpu->state.rflags & X86_FLAG_SF;
	return cpu->lazy_result < 0;
}

static inline bool x86_of(const struct x86_cpu *cpu)
{
	unsigned int top = cpu->lazy_bits - 1u;

	if (!cpu->lazy_bits)
		return cpu->state.rflags & X86_FLAG_OF;
	return (cpu->lazy_carry >> top ^ cpu->lazy_carry >> (top - 1)) & 1;
}

static inline bool x86_pf(const struct x86_cpu *cpu)
{
	if (!cpu->lazy_bits)
		return cpu->state.rflags & X86_FLAG_PF;
	return !__builtin_parity((uint8_t)cpu->lazy_result);
}

static inline bool x86_af(const struct x86_cpu *cpu)
{
	if (!cpu->lazy_bits)
		return cpu->state.rflags & X86_FLAG_AF;
	return cpu->lazy_carry >> 3 & 1;
}

/* Brings state.rflags up to date and returns it. */
static inline uint64_t x86_flags(struct x86_cpu *cpu)
{
	uint64_t f = cpu->state.rflags;

	if (!cpu->lazy_bits)
		return f;
	f &= ~(uint64_t)X86_FLAGS_ARITH;
	f |= (x86_cf(cpu) ? X86_FLAG_CF : 0) | (x86_pf(cpu) ? X86_FLAG_PF : 0) |
	     (x86_af(cpu) ? X86_FLAG_AF : 0) | (x86_zf(cpu) ? X86_FLAG_ZF : 0) |
	     (x86_sf(cpu) ? X86_FLAG_SF : 0) | (x86_of(cpu) ? X86_FLAG_OF : 0);
	cpu->state.rflags = f;
	cpu->lazy_bits = 0;
	return f;
}

/* Replaces the six arithmetic flags. */
static inline void x86_set_arith(struct x86_cpu *cpu, uint64_t flags)
{
	cpu->state.rflags = (cpu->state.rflags & ~(uint64_t)X86_FLAGS_ARITH) |
			    (flags & X86_FLAGS_ARITH);
	cpu->lazy_bits = 0;
}

#endif
