/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Straight-line instructions: the opcode stays, registers and memory operand
 * are renamed. A guest register that lives in memory passes through a
 * scratch register: r11 for ModRM.reg, r10 for ModRM.rm.
 */
#include "engine/soft/rewrite_impl.h"

const uint8_t rewrite_host[16] = {
	HOST_RAX,  HOST_RCX,  HOST_RDX,	 HOST_RBX,  HOST_R8,  HOST_RBP,
	HOST_RSI,  HOST_RDI,  HOST_NONE, HOST_NONE, HOST_NONE, HOST_NONE,
	HOST_R12,  HOST_R13,  HOST_R14,	 HOST_R15,
};

/* ModRM.reg is an operation, not a register. */
static bool is_group(const struct x86_insn *insn)
{
	unsigned int op = insn->opcode;

	if (insn->map == X86_MAP_0F)
		return op == 0xba || (op >= 0x90 && op <= 0x9f);
	return (op >= 0x80 && op <= 0x83) || op == 0xc0 || op == 0xc1 ||
	       (op >= 0xd0 && op <= 0xd3) || op == 0xc6 || op == 0xc7 ||
	       op == 0xf6 || op == 0xf7 || op >= 0xfe;
}

/* Bytes that the memory operand has: MOVZX and MOVSX read less. */
static unsigned int memory_size(const struct x86_insn *insn)
{
	if (insn->map == X86_MAP_0F) {
		switch (insn->opcode) {
		case 0xb6:
		case 0xbe:
			return 1;
		case 0xb7:
		case 0xbf:
			return 2;
		default:
			return insn->opsize;
		}
	}
	if (insn->opcode == 0x63)
		return insn->opsize == 2 ? 2 : 4;
	return insn->opsize;
}

/* AH, CH, DH, BH: register numbers 4-7 of a byte operand without REX. */
static bool high_byte(const struct x86_insn *insn, unsigned int reg,
		      unsigned int size)
{
	return size == 1 && reg >= 4 && reg < 8 &&
	       !(insn->prefix & X86_PFX_REX);
}

static uint32_t kept_prefixes(const struct x86_insn *insn)
{
	uint32_t prefix = 0;
	bool means = insn->map == X86_MAP_0F &&
		     (insn->opcode == 0xb8 || insn->opcode == 0xbc ||
		      insn->opcode == 0xbd);

	if (insn->prefix & X86_PFX_LOCK)
		prefix = 0xf0;
	if (means && (insn->prefix & X86_PFX_REP))
		prefix = prefix << 8 | 0xf3;
	if (insn->prefix & X86_PFX_OPSIZE)
		prefix = prefix << 8 | 0x66;
	return prefix;
}

static void put_immediate(struct rewrite *t, const struct x86_insn *insn)
{
	emit_bytes(&t->e, &insn->imm, insn->imm_size);
}

/* A register operand: its host register, loaded when it lives in memory. */
static unsigned int load(struct rewrite *t, unsigned int guest,
			 unsigned int scratch)
{
	const struct emit_mem home = rewrite_home(guest);

	if (rewrite_host[guest] != HOST_NONE)
		return rewrite_host[guest];
	emit_load(&t->e, scratch, &home);
	return scratch;
}

static void store(struct rewrite *t, unsigned int guest, unsigned int scratch)
{
	const struct emit_mem home = rewrite_home(guest);

	if (rewrite_host[guest] == HOST_NONE)
		emit_store(&t->e, scratch, &home);
}

/* Byte operands in AH ... BH allow no REX prefix in the whole instruction. */
static bool keeps_high_bytes(const struct x86_insn *insn, bool group)
{
	unsigned int rm_size = memory_size(insn);
	bool high = (!group && high_byte(insn, insn->reg, insn->opsize)) ||
		    (!insn->mem && high_byte(insn, insn->rm, rm_size));

	if (!high)
		return true;
	if (insn->mem || (insn->prefix & X86_PFX_REXW))
		return false;
	/* MOVZX's destination is no byte register. */
	return group || insn->opsize == 1 ||
	       (rewrite_host[insn->reg] < 8 && insn->reg != X86_RSP);
}

static bool rename_modrm(struct rewrite *t, const struct x86_insn *insn,
			 const struct rewrite_class *class)
{
	struct emit_mem at = emit_at(HOST_NONE, 0);
	bool group = is_group(insn), wide = insn->prefix & X86_PFX_REXW;
	bool rex = insn->prefix & X86_PFX_REX;
	uint32_t opcode = insn->opcode, prefix = kept_prefixes(insn);
	unsigned int reg = insn->modrm >> 3 & 7, rm;
	bool reg_high = !group && high_byte(insn, insn->reg, insn->opsize);
	bool rm_high = !insn->mem && high_byte(insn, insn->rm,
					       memory_size(insn));
	/* One register in memory named twice has one scratch register. */
	bool twice = !group && !insn->mem && insn->reg == insn->rm;

	if (!keeps_high_bytes(insn, group))
		return false;
	if (insn->map == X86_MAP_0F)
		opcode |= 0x0f00;
	if (insn->mem)
		at = rewrite_operand(t, insn, memory_size(insn), 1,
				     class->writes_memory);
	if (!group)
		reg = reg_high ? insn->reg : load(t, insn->reg, HOST_R11);
	if (insn->mem) {
		emit_rm_mem(&t->e, prefix, wide, opcode, reg, &at);
	} else {
		if (rm_high)
			rm = insn->rm;
		else
			rm = twice ? reg : load(t, insn->rm, HOST_R10);
		emit_rm_reg(&t->e, prefix, wide, rex, opcode, reg, rm);
	}
	put_immediate(t, insn);
	if (!group && !reg_high)
		store(t, insn->reg, HOST_R11);
	if (!insn->mem && !rm_high && !twice)
		store(t, insn->rm, HOST_R10);
	return true;
}

/* B0-BF MOV of a constant, 0F C8-CF BSWAP. */
static bool rename_opcode_reg(struct rewrite *t, const struct x86_insn *insn)
{
	unsigned int op = insn->opcode & 0xf8, rm;
	bool wide = insn->prefix & X86_PFX_REXW;

	if (high_byte(insn, insn->rm, insn->opsize)) {
		emit_8(&t->e, insn->opcode);
		put_immediate(t, insn);
		return true;
	}
	if (insn->map == X86_MAP_ONE && insn->opsize >= 4) {
		rm = rewrite_host[insn->rm];
		rm = rm == HOST_NONE ? HOST_R9 : rm;
		emit_const(&t->e, rm,
			   wide ? insn->imm : (uint32_t)insn->imm);
		store(t, insn->rm, HOST_R9);
		return true;
	}
	if (insn->map == X86_MAP_0F && insn->opsize == 2)
		return false;
	rm = load(t, insn->rm, HOST_R9);
	if (insn->prefix & X86_PFX_OPSIZE)
		emit_8(&t->e, 0x66);
	if (wide || rm >= 8 || (insn->prefix & X86_PFX_REX))
		emit_8(&t->e, 0x40 | (wide ? 8u : 0) | rm >> 3);
	if (insn->map == X86_MAP_0F)
		emit_8(&t->e, 0x0f);
	emit_8(&t->e, op | (rm & 7));
	put_immediate(t, insn);
	store(t, insn->rm, HOST_R9);
	return true;
}

/* 90-97: XCHG with rAX; 90 alone is NOP. */
static bool rename_exchange(struct rewrite *t, const struct x86_insn *insn)
{
	unsigned int rm;

	if (insn->rm == X86_RAX)
		return true;
	rm = load(t, insn->rm, HOST_R9);
	emit_rm_reg(&t->e, insn->prefix & X86_PFX_OPSIZE ? 0x66 : 0,
		    insn->prefix & X86_PFX_REXW, false, 0x87, HOST_RAX, rm);
	store(t, insn->rm, HOST_R9);
	return true;
}

static bool rename_lea(struct rewrite *t, const struct x86_insn *insn)
{
	unsigned int reg;

	rewrite_address(t, insn);
	reg = rewrite_host[insn->reg];
	if (insn->opsize == 2) {
		reg = load(t, insn->reg, HOST_R10);
		emit_rm_reg(&t->e, 0x66, false, false, 0x8b, reg, HOST_R9);
		store(t, insn->reg, HOST_R10);
		return true;
	}
	reg = reg == HOST_NONE ? HOST_R9 : reg;
	emit_rm_reg(&t->e, 0, insn->opsize == 8, false, 0x8b, reg, HOST_R9);
	store(t, insn->reg, HOST_R9);
	return true;
}

/* --- division ------------------------------------------------------------- */

/* The high half of the dividend is below the divisor, in r9. */
static void check_div(struct rewrite *t, bool wide)
{
	emit_rm_reg(&t->e, 0, wide, false, 0x3b, HOST_RDX, HOST_R9); /* cmp */
	rewrite_miss(t, emit_jcc(&t->e, 3, 0), false);
}

/* The high half is nothing but sign, the divisor neither 0 nor -1. */
static void check_idiv(struct rewrite *t, bool wide)
{
	const struct emit_mem plus_1 = emit_at(HOST_R9, 1);

	emit_rm_reg(&t->e, 0, wide, false, 0x8b, HOST_R10, HOST_RAX);
	emit_rm_reg(&t->e, 0, wide, false, 0xc1, 7, HOST_R10); /* sar */
	emit_8(&t->e, wide ? 63 : 31);
	emit_rm_reg(&t->e, 0, wide, false, 0x3b, HOST_R10, HOST_RDX); /* cmp */
	rewrite_miss(t, emit_jcc(&t->e, 5, 0), false);
	emit_lea(&t->e, wide, HOST_R10, &plus_1);
	emit_rm_reg(&t->e, 0, wide, false, 0x83, 7, HOST_R10); /* cmp */
	emit_8(&t->e, 1);
	rewrite_miss(t, emit_jcc(&t->e, 6, 0), false);
}

/*
 * DIV and IDIV of 32 and 64 bits, when it is plain that they do not fault;
 * else the interpreter's. They leave no flag defined.
 */
static bool rename_divide(struct rewrite *t, const struct x86_insn *insn)
{
	bool wide = insn->prefix & X86_PFX_REXW;
	unsigned int op = insn->modrm >> 3 & 7;
	struct emit_mem at;

	if (insn->mem) {
		at = rewrite_operand(t, insn, insn->opsize, 1, false);
		emit_rm_mem(&t->e, 0, wide, 0x8b, HOST_R9, &at);
	} else {
		emit_mov(&t->e, HOST_R9, load(t, insn->rm, HOST_R9));
	}
	if (op == 6)
		check_div(t, wide);
	else
		check_idiv(t, wide);
	emit_rm_reg(&t->e, 0, wide, false, 0xf7, op, HOST_R9);
	return true;
}

/* --- the stack ------------------------------------------------------------ */

static void move_stack(struct rewrite *t, int32_t by)
{
	const struct emit_mem to = emit_at(HOST_R8, by);

	emit_lea(&t->e, true, HOST_R8, &to);
}

static bool rename_push(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem to = rewrite_word_at(t, X86_RSP, -8, true);

	emit_store(&t->e, load(t, insn->rm, HOST_R9), &to);
	move_stack(t, -8);
	return true;
}

static bool rename_pop(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem from = rewrite_word_at(t, X86_RSP, 0, false);
	unsigned int host = rewrite_host[insn->rm];

	if (host == HOST_NONE)
		host = HOST_R9;
	emit_load(&t->e, host, &from);
	store(t, insn->rm, HOST_R9);
	if (insn->rm != X86_RSP)
		move_stack(t, 8);
	return true;
}

static bool rename_leave(struct rewrite *t)
{
	const struct emit_mem above = emit_at(HOST_RBP, 8);
	const struct emit_mem from = rewrite_word_at(t, X86_RBP, 0, false);

	emit_lea(&t->e, true, HOST_R8, &above);
	emit_load(&t->e, HOST_RBP, &from);
	return true;
}

bool rewrite_insn(struct rewrite *t, const struct x86_insn *insn,
		  const struct rewrite_class *class)
{
	if (class->needs && class->kind != REWRITE_NOT)
		rewrite_need(t, class->needs);
	switch (class->kind) {
	case REWRITE_RM:
		return rename_modrm(t, insn, class);
	case REWRITE_PLAIN:
		emit_bytes(&t->e, insn->bytes, insn->length);
		return true;
	case REWRITE_OPCODE_REG:
		return rename_opcode_reg(t, insn);
	case REWRITE_EXCHANGE:
		return rename_exchange(t, insn);
	case REWRITE_LEA:
		return rename_lea(t, insn);
	case REWRITE_DIVIDE:
		return rename_divide(t, insn);
	case REWRITE_NOP:
		return true;
	case REWRITE_PUSH:
		return rename_push(t, insn);
	case REWRITE_PUSH_IMM:
		rewrite_push_const(t, insn->imm);
		return true;
	case REWRITE_POP:
		return rename_pop(t, insn);
	case REWRITE_LEAVE:
		return rename_leave(t);
	case REWRITE_VECTOR:
		return rewrite_vector(t, insn);
	case REWRITE_VZERO:
		emit_8(&t->e, 0xc5);
		emit_8(&t->e, 0xf8 | insn->vector_length << 2);
		emit_8(&t->e, 0x77);
		return true;
	default:
		return false;
	}
}
