/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small and old instructions: flag operations, NOP, decimal adjustment,
 * PUSHA POPA, BOUND, ENTER LEAVE, XLAT, SALC. AMD64 APM vol. 3, chapter 3.
 */
#include "x86/exec.h"
#include "x86/operand.h"

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn

enum x86_result x86_nop(ARGS)
{
	return X86_NEXT;
}

/* With a register Intel's processors do nothing. */
enum x86_result x86_prefetchw(ARGS)
{
	return insn->mem || !cpu->cpuid->amd ? X86_NEXT :
					       x86_raise(cpu, X86_UD);
}

enum x86_result x86_flag_op(ARGS)
{
	uint64_t *flags = &cpu->state.rflags;
	uint8_t ah;

	x86_flags(cpu);
	switch (insn->opcode) {
	case 0x9e: /* SAHF */
		ah = (uint8_t)(cpu->state.gpr[X86_RAX] >> 8);
		*flags = (*flags & ~0xd5ull) | (ah & 0xd5);
		break;
	case 0x9f: /* LAHF */
		ah = (uint8_t)((*flags & 0xd5) | X86_FLAG_1);
		memcpy((uint8_t *)&cpu->state.gpr[X86_RAX] + 1, &ah, 1);
		break;
	case 0xf5: /* CMC */
		*flags ^= X86_FLAG_CF;
		break;
	case 0xf8: /* CLC */
		*flags &= ~(uint64_t)X86_FLAG_CF;
		break;
	case 0xf9: /* STC */
		*flags |= X86_FLAG_CF;
		break;
	case 0xfc: /* CLD */
		*flags &= ~(uint64_t)X86_FLAG_DF;
		break;
	default: /* FD, STD */
		*flags |= X86_FLAG_DF;
		break;
	}
	return X86_NEXT;
}

/* SF, ZF, PF of AL with the given CF and AF. */
static void set_decimal_flags(struct x86_cpu *cpu, uint8_t al, bool cf,
			      bool af)
{
	x86_set_arith(cpu, (cf ? X86_FLAG_CF : 0) | (af ? X86_FLAG_AF : 0) |
				   (al ? 0 : X86_FLAG_ZF) |
				   (al & 0x80 ? X86_FLAG_SF : 0) |
				   (__builtin_parity(al) ? 0 : X86_FLAG_PF));
}

/* DAA (27) and DAS (2F). */
static void decimal_adjust(struct x86_cpu *cpu, bool subtract)
{
	uint8_t old = (uint8_t)cpu->state.gpr[X86_RAX], al = old;
	bool cf = x86_cf(cpu), af = x86_af(cpu), carry = false;

	if ((old & 15) > 9 || af) {
		carry = cf || (subtract ? old < 6 : old > 0xf9);
		al = (uint8_t)(subtract ? al - 6 : al + 6);
		af = true;
	} else {
		af = false;
	}
	if (old > 0x99 || cf) {
		al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
		carry = true;
	}
	memcpy(&cpu->state.gpr[X86_RAX], &al, 1);
	set_decimal_flags(cpu, al, carry, af);
}

/* AAA (37) and AAS (3F). */
static void ascii_adjust(struct x86_cpu *cpu, bool subtract)
{
	uint16_t ax = (uint16_t)cpu->state.gpr[X86_RAX];
	bool adjust = (ax & 15) > 9 || x86_af(cpu);

	if (adjust)
		ax = (uint16_t)(subtract ? ax - 0x106 : ax + 0x106);
	ax &= 0xff0f;
	memcpy(&cpu->state.gpr[X86_RAX], &ax, 2);
	set_decimal_flags(cpu, (uint8_t)ax, adjust, adjust);
}

enum x86_result x86_bcd(ARGS)
{
	uint8_t al = (uint8_t)cpu->state.gpr[X86_RAX], base;
	uint8_t ah = (uint8_t)(cpu->state.gpr[X86_RAX] >> 8);
	uint16_t ax;

	switch (insn->opcode) {
	case 0x27:
	case 0x2f:
		decimal_adjust(cpu, insn->opcode == 0x2f);
		return X86_NEXT;
	case 0x37:
	case 0x3f:
		ascii_adjust(cpu, insn->opcode == 0x3f);
		return X86_NEXT;
	case 0xd4: /* AAM */
		base = (uint8_t)insn->imm;
		if (!base)
			return x86_raise(cpu, X86_DE);
		ax = (uint16_t)((al / base) << 8 | al % base);
		break;
	default: /* D5, AAD */
		ax = (uint8_t)(al + ah * (uint8_t)insn->imm);
		break;
	}
	memcpy(&cpu->state.gpr[X86_RAX], &ax, 2);
	set_decimal_flags(cpu, (uint8_t)ax, false, false);
	return X86_NEXT;
}

enum x86_result x86_salc(ARGS)
{
	uint8_t al = x86_cf(cpu) ? 0xff : 0;

	memcpy(&cpu->state.gpr[X86_RAX], &al, 1);
	return X86_NEXT;
}

enum x86_result x86_xlat(ARGS)
{
	uint64_t ea = cpu->state.gpr[X86_RBX] +
		      (uint8_t)cpu->state.gpr[X86_RAX];
	uint64_t linear;
	enum x86_result r = x86_linear(cpu, insn->seg,
				       truncate(ea, insn->adsize), 1,
				       X86_READ, &linear);

	return r ? r : x86_read(cpu, linear, &cpu->state.gpr[X86_RAX], 1);
}

enum x86_result x86_pusha(ARGS)
{
	uint64_t rsp = cpu->state.gpr[X86_RSP], v;
	enum x86_result r = X86_NEXT;
	unsigned int i;

	for (i = 0; i < 8 && !r; i++) {
		v = i == X86_RSP ? rsp : cpu->state.gpr[i];
		r = push_value(cpu, truncate(v, insn->opsize), insn->opsize);
	}
	if (r)
		cpu->state.gpr[X86_RSP] = rsp;
	return r;
}

enum x86_result x86_popa(ARGS)
{
	uint64_t value[8];
	enum x86_result r = X86_NEXT;
	unsigned int i;

	for (i = 0; i < 8 && !r; i++)
		r = peek_value(cpu, (uint64_t)i * insn->opsize, insn->opsize,
			       &value[7 - i]);
	if (r)
		return r;
	for (i = 0; i < 8; i++)
		if (i != X86_RSP)
			set_register(cpu, insn, i, insn->opsize, value[i]);
	set_stack_pointer(cpu,
			  cpu->state.gpr[X86_RSP] + 8ull * insn->opsize);
	return X86_NEXT;
}

enum x86_result x86_bound(ARGS)
{
	unsigned int size = insn->opsize;
	uint64_t linear, low = 0, high = 0;
	int64_t index = sign_extend(cpu->state.gpr[insn->reg], size);
	enum x86_result r = x86_operand(cpu, insn, size * 2, X86_READ,
					&linear);

	if (!r)
		r = x86_read(cpu, linear, &low, size);
	if (!r)
		r = x86_read(cpu, linear + size, &high, size);
	if (r)
		return r;
	if (index < sign_extend(low, size) || index > sign_extend(high, size))
		return x86_raise(cpu, X86_BR);
	return X86_NEXT;
}

/* Pushes the frame pointers of the enclosing levels, for ENTER. */
static enum x86_result enter_levels(ARGS, unsigned int size,
				    unsigned int level, uint64_t frame)
{
	uint64_t rbp = cpu->state.gpr[X86_RBP], linear, v;
	enum x86_result r = X86_NEXT;
	unsigned int i;

	for (i = 1; i < level && !r; i++) {
		rbp -= size;
		v = 0;
		r = stack_linear(cpu, rbp, size, X86_READ, &linear);
		if (!r)
			r = x86_read(cpu, linear, &v, size);
		if (!r)
			r = push_value(cpu, v, size);
	}
	return r ? r : push_value(cpu, truncate(frame, size), size);
}

enum x86_result x86_enter(ARGS)
{
	unsigned int size = stack_size(cpu, insn), level = insn->selector & 31;
	uint64_t rsp = cpu->state.gpr[X86_RSP], frame, end, linear;
	enum x86_result r;

	r = push_value(cpu, truncate(cpu->state.gpr[X86_RBP], size), size);
	frame = cpu->state.gpr[X86_RSP];
	if (!r && level)
		r = enter_levels(cpu, insn, size, level, frame);
	end = cpu->state.gpr[X86_RSP] - insn->imm;
	/* The new top of the stack must be writable (APM vol. 3, ENTER). */
	if (!r)
		r = stack_linear(cpu, end, size, X86_WRITE, &linear);
	if (!r)
		r = x86_probe(cpu, linear, size, X86_WRITE);
	if (r) {
		cpu->state.gpr[X86_RSP] = rsp;
		return r;
	}
	set_stack_pointer(cpu, end);
	set_register(cpu, insn, X86_RBP, size, frame);
	return X86_NEXT;
}

enum x86_result x86_leave(ARGS)
{
	unsigned int size = stack_size(cpu, insn);
	uint64_t rbp = cpu->state.gpr[X86_RBP], linear, v = 0;
	enum x86_result r = stack_linear(cpu, rbp, size, X86_READ, &linear);

	if (!r)
		r = x86_read(cpu, linear, &v, size);
	if (r)
		return r;
	set_stack_pointer(cpu, rbp + size);
	set_register(cpu, insn, X86_RBP, size, v);
	return X86_NEXT;
}
