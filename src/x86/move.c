/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data movement: MOV in its general forms, MOVZX MOVSX MOVSXD, LEA, CMOVcc,
 * SETcc, PUSH POP of general registers and memory, CBW/CWD and relatives,
 * BSWAP. AMD64 APM vol. 3, chapter 3.
 */
#include "x86/exec.h"
#include "x86/operand.h"

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn
#define FOUR(stem) { stem##_1, stem##_2, stem##_4, stem##_8 }
#define FORMS(stem) { .reg = FOUR(stem##_reg), .mem = FOUR(stem##_mem) }

static x86_handler *pick_form(const struct x86_forms *forms,
			      const struct x86_insn *insn)
{
	unsigned int size = size_log2(insn->opsize);

	return insn->mem ? forms->mem[size] : forms->reg[size];
}

X86_INLINE enum x86_result load_accumulator(ARGS, unsigned int size)
{
	uint64_t linear, v = 0;
	enum x86_result r = x86_linear(cpu, insn->seg, insn->imm, size,
				       X86_READ, &linear);

	if (!r)
		r = x86_read(cpu, linear, &v, size);
	if (!r && size == 1)
		memcpy(&cpu->state.gpr[X86_RAX], &v, 1);
	else if (!r)
		set_register(cpu, insn, X86_RAX, size, v);
	return r;
}

X86_INLINE enum x86_result store_accumulator(ARGS, unsigned int size)
{
	uint64_t linear;
	enum x86_result r = x86_linear(cpu, insn->seg, insn->imm, size,
				       X86_WRITE, &linear);

	return r ? r : x86_write(cpu, linear, &cpu->state.gpr[X86_RAX], size);
}

#define MOV_SIZE(size)                                                      \
	static enum x86_result mov_store_reg_##size(ARGS)                   \
	{                                                                   \
		set_register(cpu, insn, insn->rm, size,                     \
			     get_register(cpu, insn, insn->reg, size));     \
		return X86_NEXT;                                            \
	}                                                                   \
	static enum x86_result mov_store_mem_##size(ARGS)                   \
	{                                                                   \
		return write_memory(cpu, insn, size,                        \
				    get_register(cpu, insn, insn->reg,      \
						 size));                    \
	}                                                                   \
	static enum x86_result mov_load_reg_##size(ARGS)                    \
	{                                                                   \
		set_register(cpu, insn, insn->reg, size,                    \
			     get_register(cpu, insn, insn->rm, size));      \
		return X86_NEXT;                                            \
	}                                                                   \
	static enum x86_result mov_load_mem_##size(ARGS)                    \
	{                                                                   \
		uint64_t v;                                                 \
		enum x86_result r = read_memory(cpu, insn, size, &v);       \
                                                                            \
		if (!r)                                                     \
			set_register(cpu, insn, insn->reg, size, v);        \
		return r;                                                   \
	}                                                                   \
	static enum x86_result mov_imm_reg_##size(ARGS)                     \
	{                                                                   \
		set_register(cpu, insn, insn->rm, size, insn->imm);         \
		return X86_NEXT;                                            \
	}                                                                   \
	static enum x86_result mov_imm_mem_##size(ARGS)                     \
	{                                                                   \
		return write_memory(cpu, insn, size, insn->imm);            \
	}                                                                   \
	static enum x86_result mov_from_moffs_##size(ARGS)                  \
	{                                                                   \
		return load_accumulator(cpu, insn, size);                   \
	}                                                                   \
	static enum x86_result mov_to_moffs_##size(ARGS)                    \
	{                                                                   \
		return store_accumulator(cpu, insn, size);                  \
	}                                                                   \
	static enum x86_result cmov_reg_##size(ARGS)                        \
	{                                                                   \
		uint64_t v = get_register(cpu, insn, insn->rm, size);       \
                                                                            \
		if (!condition(cpu, insn->opcode & 15))                     \
			v = get_register(cpu, insn, insn->reg, size);       \
		set_register(cpu, insn, insn->reg, size, v);                \
		return X86_NEXT;                                            \
	}                                                                   \
	static enum x86_result cmov_mem_##size(ARGS)                        \
	{                                                                   \
		uint64_t v;                                                 \
		enum x86_result r = read_memory(cpu, insn, size, &v);       \
                                                                            \
		if (r)                                                      \
			return r;                                           \
		if (!condition(cpu, insn->opcode & 15))                     \
			v = get_register(cpu, insn, insn->reg, size);       \
		set_register(cpu, insn, insn->reg, size, v);                \
		return X86_NEXT;                                            \
	}
MOV_SIZE(1)
MOV_SIZE(2)
MOV_SIZE(4)
MOV_SIZE(8)

static const struct x86_forms mov_store = FORMS(mov_store);
static const struct x86_forms mov_load = FORMS(mov_load);
static const struct x86_forms mov_imm = FORMS(mov_imm);
static const struct x86_forms cmov = FORMS(cmov);
static x86_handler *const mov_from_moffs[4] = FOUR(mov_from_moffs);
static x86_handler *const mov_to_moffs[4] = FOUR(mov_to_moffs);

x86_handler *x86_pick_mov(const struct x86_insn *insn)
{
	unsigned int size = size_log2(insn->opsize);

	switch (insn->opcode) {
	case 0x88:
	case 0x89:
		return pick_form(&mov_store, insn);
	case 0x8a:
	case 0x8b:
		return pick_form(&mov_load, insn);
	case 0xa0:
	case 0xa1:
		return mov_from_moffs[size];
	case 0xa2:
	case 0xa3:
		return mov_to_moffs[size];
	case 0xc6:
	case 0xc7:
		return insn->modrm & 0x38 ? NULL : pick_form(&mov_imm, insn);
	default: /* B0-BF */
		return mov_imm.reg[size];
	}
}

x86_handler *x86_pick_cmov(const struct x86_insn *insn)
{
	return pick_form(&cmov, insn);
}

/* MOVZX, MOVSX: `from` bytes to `to` bytes. */
#define EXTEND(name, from, to, widen)                                  \
	static enum x86_result name##_reg_##from##_##to(ARGS)          \
	{                                                              \
		uint64_t v = get_register(cpu, insn, insn->rm, from);  \
                                                                       \
		set_register(cpu, insn, insn->reg, to, widen(v, from)); \
		return X86_NEXT;                                       \
	}                                                              \
	static enum x86_result name##_mem_##from##_##to(ARGS)          \
	{                                                              \
		uint64_t v;                                            \
		enum x86_result r = read_memory(cpu, insn, from, &v);  \
                                                                       \
		if (!r)                                                \
			set_register(cpu, insn, insn->reg, to,         \
				     widen(v, from));                  \
		return r;                                              \
	}
#define AS_IS(v, from)	(v)
#define SIGNED(v, from) ((uint64_t)sign_extend(v, from))

/* The byte forms of the destination need REX only for the source. */
EXTEND(movzx, 1, 2, AS_IS)
EXTEND(movzx, 1, 4, AS_IS)
EXTEND(movzx, 1, 8, AS_IS)
EXTEND(movzx, 2, 2, AS_IS)
EXTEND(movzx, 2, 4, AS_IS)
EXTEND(movzx, 2, 8, AS_IS)
EXTEND(movsx, 1, 2, SIGNED)
EXTEND(movsx, 1, 4, SIGNED)
EXTEND(movsx, 1, 8, SIGNED)
EXTEND(movsx, 2, 2, SIGNED)
EXTEND(movsx, 2, 4, SIGNED)
EXTEND(movsx, 2, 8, SIGNED)
EXTEND(movsx, 4, 8, SIGNED)
EXTEND(movsx, 4, 4, AS_IS)

/* MOVSXD to a word: AMD's processors read a doubleword all the same. */
static enum x86_result movsxd_2(ARGS)
{
	uint64_t v;
	enum x86_result r = read_rm(cpu, insn, cpu->cpuid->amd ? 4 : 2, &v);

	if (!r)
		set_register(cpu, insn, insn->reg, 2, v);
	return r;
}

#define TO(name, kind, from)                             \
	{                                                \
		name##_##kind##_##from##_2, name##_##kind##_##from##_4, \
			name##_##kind##_##from##_8,      \
	}

x86_handler *x86_pick_extend(const struct x86_insn *insn)
{
	/* [MOVSX][source is a word][memory][destination size] */
	static x86_handler *const forms[2][2][2][3] = {
		{ { TO(movzx, reg, 1), TO(movzx, mem, 1) },
		  { TO(movzx, reg, 2), TO(movzx, mem, 2) } },
		{ { TO(movsx, reg, 1), TO(movsx, mem, 1) },
		  { TO(movsx, reg, 2), TO(movsx, mem, 2) } },
	};
	unsigned int size = size_log2(insn->opsize) - 1;

	if (insn->opcode == 0x63) {
		/* MOVSXD without REX.W: a plain move of its operand size. */
		if (insn->opsize == 2)
			return movsxd_2;
		if (insn->opsize == 4)
			return insn->mem ? movsx_mem_4_4 : movsx_reg_4_4;
		return insn->mem ? movsx_mem_4_8 : movsx_reg_4_8;
	}
	return forms[insn->opcode >> 3 & 1][insn->opcode & 1][insn->mem][size];
}

static enum x86_result lea_2(ARGS)
{
	set_register(cpu, insn, insn->reg, 2, x86_effective(cpu, insn));
	return X86_NEXT;
}

static enum x86_result lea_4(ARGS)
{
	set_register(cpu, insn, insn->reg, 4, x86_effective(cpu, insn));
	return X86_NEXT;
}

static enum x86_result lea_8(ARGS)
{
	set_register(cpu, insn, insn->reg, 8, x86_effective(cpu, insn));
	return X86_NEXT;
}

x86_handler *x86_pick_lea(const struct x86_insn *insn)
{
	static x86_handler *const forms[3] = { lea_2, lea_4, lea_8 };

	return insn->mem ? forms[size_log2(insn->opsize) - 1] : NULL;
}

static enum x86_result setcc(ARGS)
{
	return write_rm(cpu, insn, 1, condition(cpu, insn->opcode & 15));
}

x86_handler *x86_pick_setcc(const struct x86_insn *insn)
{
	return setcc;
}

/* PUSH and POP of a register in 64-bit code. */
static enum x86_result push_64(ARGS)
{
	return push_value(cpu, cpu->state.gpr[insn->rm], 8);
}

static enum x86_result pop_64(ARGS)
{
	uint64_t v;
	enum x86_result r = pop_value(cpu, 8, &v);

	if (!r)
		cpu->state.gpr[insn->rm] = v;
	return r;
}

static enum x86_result push_register(ARGS)
{
	unsigned int size = stack_size(cpu, insn);

	return push_value(cpu, truncate(cpu->state.gpr[insn->rm], size), size);
}

static enum x86_result pop_register(ARGS)
{
	unsigned int size = stack_size(cpu, insn);
	uint64_t v;
	enum x86_result r = pop_value(cpu, size, &v);

	if (!r)
		set_register(cpu, insn, insn->rm, size, v);
	return r;
}

static enum x86_result push_immediate(ARGS)
{
	unsigned int size = stack_size(cpu, insn);

	return push_value(cpu, truncate(insn->imm, size), size);
}

/*
 * POP m: the address is computed after the stack pointer moved (APM vol. 3,
 * POP), and a fault puts it back.
 */
static enum x86_result pop_rm(ARGS)
{
	unsigned int size = stack_size(cpu, insn);
	uint64_t rsp = cpu->state.gpr[X86_RSP], v;
	enum x86_result r = pop_value(cpu, size, &v);

	if (r)
		return r;
	r = write_rm(cpu, insn, size, v);
	if (r)
		cpu->state.gpr[X86_RSP] = rsp;
	return r;
}

x86_handler *x86_pick_push_pop(const struct x86_insn *insn)
{
	/* Only 64-bit code has 8-byte addresses. */
	bool plain = (insn->adsize == 8 ||
		      (insn->prefix & X86_PFX_REX)) &&
		     !(insn->prefix & X86_PFX_OPSIZE);

	if (insn->opcode == 0x8f)
		return insn->modrm & 0x38 ? NULL : pop_rm;
	if (insn->opcode == 0x68 || insn->opcode == 0x6a)
		return push_immediate;
	if (insn->opcode < 0x58)
		return plain ? push_64 : push_register;
	return plain ? pop_64 : pop_register;
}

/* 98: CBW CWDE CDQE */
static enum x86_result widen_accumulator(ARGS)
{
	unsigned int half = insn->opsize / 2;

	set_register(cpu, insn, X86_RAX, insn->opsize,
		     (uint64_t)sign_extend(cpu->state.gpr[X86_RAX], half));
	return X86_NEXT;
}

/* 99: CWD CDQ CQO */
static enum x86_result sign_to_rdx(ARGS)
{
	int64_t a = sign_extend(cpu->state.gpr[X86_RAX], insn->opsize);

	set_register(cpu, insn, X86_RDX, insn->opsize, (uint64_t)(a >> 63));
	return X86_NEXT;
}

x86_handler *x86_pick_convert(const struct x86_insn *insn)
{
	return insn->opcode == 0x98 ? widen_accumulator : sign_to_rdx;
}

/* BSWAP of a 16-bit register gives zero, as processors do. */
static enum x86_result bswap(ARGS)
{
	uint64_t v = cpu->state.gpr[insn->rm];

	if (insn->opsize == 8)
		v = __builtin_bswap64(v);
	else
		v = insn->opsize == 4 ? __builtin_bswap32((uint32_t)v) : 0;
	set_register(cpu, insn, insn->rm, insn->opsize, v);
	return X86_NEXT;
}

x86_handler *x86_pick_bswap(const struct x86_insn *insn)
{
	return bswap;
}
