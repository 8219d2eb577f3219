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
		return op == 0xba || op == 0xc7 || (op >= 0x90 && op <= 0x9f);
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
		case 0xc7:
			return 16; /* and aligned */
		default:
			return insn->opsize;
		}
	}
	/* To a word, too: some processors read this much. */
	if (insn->opcode == 0x63)
		return 4;
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
	if (insn->opsize == 2)
		prefix = prefix << 8 | 0x66;
	return prefix;
}

static void put_immediate(struct rewrite *t, const struct x86_insn *insn)
{
	emit_bytes(&t->e, &insn->imm, insn->imm_size);
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

/* Opcode and prefixes, as the encoder takes them. */
static uint32_t opcode_of(const struct x86_insn *insn)
{
	if (insn->map == X86_MAP_0F)
		return 0x0f00u | insn->opcode;
	/* 82 is 80 once more, but not in 64-bit code. */
	return insn->opcode == 0x82 ? 0x80 : insn->opcode;
}

/* BT, BTS, BTR and BTC by a register, which may reach beyond the operand. */
static bool is_bit_string(const struct x86_insn *insn)
{
	unsigned int op = insn->opcode;

	return insn->map == X86_MAP_0F &&
	       (op == 0xa3 || op == 0xab || op == 0xb3 || op == 0xbb);
}

/* What does is the interpreter's. The index is in a host register; no flag is
 * live. */
static void check_bit(struct rewrite *t, const struct x86_insn *insn,
		      unsigned int reg)
{
	bool wide = insn->prefix & X86_PFX_REXW;

	emit_rm_reg(&t->e, 0, wide, false, 0x83, 7, reg); /* cmp */
	emit_8(&t->e, wide ? 63 : 31);
	rewrite_miss(t, emit_jcc(&t->e, 7, 0), HOST_RCX); /* above */
}

static bool rename_memory(struct rewrite *t, const struct x86_insn *insn,
			  const struct rewrite_class *class)
{
	unsigned int use = rewrite_modrm_use(insn);
	unsigned int reg = insn->modrm >> 3 & 7;
	bool at_home = !is_group(insn) && rewrite_host[insn->reg] == HOST_NONE;
	unsigned int size = memory_size(insn);
	struct emit_mem at;

	if (is_bit_string(insn) && t->flags_live)
		return false;
	at = rewrite_operand(t, insn, size, size == 16 ? size : 1,
			     class->writes_memory);
	if (at_home) {
		reg = rewrite_spare(t, &at);
		if (use & MODRM_READS_REG)
			reg = rewrite_in_host(t, insn->reg, reg);
	} else if (!is_group(insn)) {
		reg = rewrite_host[insn->reg];
	}
	if (is_bit_string(insn))
		check_bit(t, insn, reg);
	emit_rm_mem(&t->e, kept_prefixes(insn), insn->prefix & X86_PFX_REXW,
		    opcode_of(insn), reg, &at);
	put_immediate(t, insn);
	if (at_home && (use & MODRM_WRITES_REG))
		rewrite_store_home(t, insn->reg, reg);
	else if (at_home)
		rewrite_still_holds(t, insn->reg, reg);
	return true;
}

/* The two operands of a register form. */
struct pair {
	unsigned int reg, rm; /* guest registers, or a group's number as reg */
	bool group, reg_high, rm_high;
	uint32_t opcode;
	unsigned int use; /* MODRM_* */
};

/*
 * A guest register that lives in memory may stay there as the rm operand.
 * Not where a memory operand means more (bit strings, XCHG's lock), 32 bits
 * are written (the upper half is to be zero), or a byte register needs REX.
 */
static bool stays_home(const struct x86_insn *insn, const struct pair *p)
{
	unsigned int op = insn->opcode;

	if (p->rm_high || rewrite_host[p->rm] != HOST_NONE ||
	    (p->use & MODRM_WRITES_RM && insn->opsize == 4))
		return false;
	if (insn->map == X86_MAP_ONE)
		return op != 0x86 && op != 0x87 &&
		       (insn->opsize > 1 || p->group || p->reg < 4);
	return op != 0xa3 && op != 0xab && op != 0xb3 && op != 0xbb &&
	       op != 0xb0 && op != 0xb1 && op != 0xc0 && op != 0xc1;
}

/* Turns `op rm, reg` into `op reg, rm`, or back: bit 1 of the opcode. */
static void turn(struct pair *p)
{
	const struct pair old = *p;

	p->opcode ^= 2;
	p->reg = old.rm;
	p->rm = old.reg;
	p->reg_high = old.rm_high;
	p->rm_high = old.reg_high;
	p->use = (old.use & 3) << 2 | old.use >> 2;
}

static bool turns(const struct x86_insn *insn)
{
	unsigned int op = insn->opcode;

	return insn->map == X86_MAP_ONE &&
	       ((op < 0x40 && (op & 7) < 4) || (op >= 0x88 && op <= 0x8b));
}

/* A register that was in `scratch`, if it lives in memory. */
static void put_back(struct rewrite *t, unsigned int guest,
		     unsigned int scratch, bool changed)
{
	if (changed)
		rewrite_store_home(t, guest, scratch);
	else
		rewrite_still_holds(t, guest, scratch);
}

static void rename_pair(struct rewrite *t, const struct x86_insn *insn,
			const struct pair *p)
{
	bool wide = insn->prefix & X86_PFX_REXW;
	bool rex = insn->prefix & X86_PFX_REX;
	bool home = stays_home(insn, p);
	/* One register in memory named twice has one scratch register. */
	bool twice = !p->group && p->reg == p->rm;
	unsigned int reg = p->reg, rm = p->rm;
	const struct emit_mem at = rewrite_home(p->rm);

	if (!p->group && !p->reg_high)
		reg = rewrite_in_host(t, p->reg, HOST_R9);
	if (home && !twice) {
		emit_rm_mem(&t->e, kept_prefixes(insn), wide, p->opcode, reg,
			    &at);
	} else {
		if (!p->rm_high)
			rm = twice ? reg : rewrite_in_host(t, p->rm, HOST_R10);
		emit_rm_reg(&t->e, kept_prefixes(insn), wide, rex, p->opcode,
			    reg, rm);
	}
	put_immediate(t, insn);
	if (twice) {
		put_back(t, p->reg, HOST_R9,
			 p->use & (MODRM_WRITES_REG | MODRM_WRITES_RM));
		return;
	}
	if (!p->group && !p->reg_high)
		put_back(t, p->reg, HOST_R9, p->use & MODRM_WRITES_REG);
	if (home && p->use & MODRM_WRITES_RM)
		rewrite_home_changed(t, p->rm);
	else if (!home && !p->rm_high)
		put_back(t, p->rm, HOST_R10, p->use & MODRM_WRITES_RM);
}

/*
 * AH, CH, DH or BH and a memory operand, whose address needs a REX prefix: the
 * register is turned for the moment, so that its low byte is meant.
 */
static bool high_byte_memory(struct rewrite *t, const struct x86_insn *insn,
			     const struct rewrite_class *class)
{
	unsigned int reg = insn->reg - 4u;
	struct emit_mem at;

	/* CMPXCHG has AL besides. */
	if (!insn->mem || (insn->map == X86_MAP_0F && insn->opcode == 0xb0))
		return false;
	at = rewrite_operand(t, insn, 1, 1, class->writes_memory);
	if (at.base == reg) {
		emit_mov(&t->e, HOST_R9, reg);
		at.base = HOST_R9;
	}
	emit_rorx(&t->e, reg, reg, 8);
	emit_rm_mem(&t->e, kept_prefixes(insn), false, opcode_of(insn), reg,
		    &at);
	emit_rorx(&t->e, reg, reg, 56);
	return true;
}

static bool rename_modrm(struct rewrite *t, const struct x86_insn *insn,
			 const struct rewrite_class *class)
{
	bool group = is_group(insn);
	struct pair p = {
		.reg = group ? insn->modrm >> 3 & 7u : insn->reg,
		.rm = insn->rm,
		.group = group,
		.reg_high = !group &&
			    high_byte(insn, insn->reg, insn->opsize),
		.rm_high = high_byte(insn, insn->rm, memory_size(insn)),
		.opcode = opcode_of(insn),
		.use = rewrite_modrm_use(insn),
	};

	if (!keeps_high_bytes(insn, group))
		return high_byte_memory(t, insn, class);
	if (insn->mem)
		return rename_memory(t, insn, class);
	if (turns(insn) && !stays_home(insn, &p)) {
		turn(&p);
		if (!stays_home(insn, &p))
			turn(&p);
	}
	rename_pair(t, insn, &p);
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
		rewrite_store_home(t, insn->rm, HOST_R9);
		return true;
	}
	if (insn->map == X86_MAP_0F && insn->opsize == 2)
		return false;
	rm = rewrite_in_host(t, insn->rm, HOST_R9);
	if (insn->opsize == 2)
		emit_8(&t->e, 0x66);
	if (wide || rm >= 8 || (insn->prefix & X86_PFX_REX))
		emit_8(&t->e, 0x40 | (wide ? 8u : 0) | rm >> 3);
	if (insn->map == X86_MAP_0F)
		emit_8(&t->e, 0x0f);
	emit_8(&t->e, op | (rm & 7));
	put_immediate(t, insn);
	rewrite_store_home(t, insn->rm, HOST_R9);
	return true;
}

/* 90-97: XCHG with rAX; 90 alone is NOP. */
static bool rename_exchange(struct rewrite *t, const struct x86_insn *insn)
{
	unsigned int rm;

	if (insn->rm == X86_RAX)
		return true;
	rm = rewrite_in_host(t, insn->rm, HOST_R9);
	emit_rm_reg(&t->e, insn->opsize == 2 ? 0x66 : 0,
		    insn->prefix & X86_PFX_REXW, false, 0x87, HOST_RAX, rm);
	rewrite_store_home(t, insn->rm, HOST_R9);
	return true;
}

/* Accumulator, immediate and flags alone. */
static void rename_nothing(struct rewrite *t, const struct x86_insn *insn)
{
	if (insn->opsize == 2)
		emit_8(&t->e, 0x66);
	if (insn->prefix & X86_PFX_REXW)
		emit_8(&t->e, 0x48);
	emit_8(&t->e, insn->opcode);
	put_immediate(t, insn);
}

static bool rename_lea(struct rewrite *t, const struct x86_insn *insn)
{
	unsigned int reg = rewrite_host[insn->reg];

	if (insn->opsize == 2) {
		rewrite_address(t, insn);
		reg = rewrite_in_host(t, insn->reg, HOST_R10);
		emit_rm_reg(&t->e, 0x66, false, false, 0x8b, reg, HOST_R9);
		rewrite_store_home(t, insn->reg, HOST_R10);
		return true;
	}
	rewrite_lea(t, insn, reg == HOST_NONE ? HOST_R9 : reg);
	rewrite_store_home(t, insn->reg, HOST_R9);
	return true;
}

/* --- division ------------------------------------------------------------- */

/* The high half of the dividend is below the divisor, in r9. */
static void check_div(struct rewrite *t, bool wide)
{
	emit_rm_reg(&t->e, 0, wide, false, 0x3b, HOST_RDX, HOST_R9); /* cmp */
	rewrite_miss(t, emit_jcc(&t->e, 3, 0), HOST_RCX);
}

/* The high half is nothing but sign, the divisor neither 0 nor -1. */
static void check_idiv(struct rewrite *t, bool wide)
{
	const struct emit_mem plus_1 = emit_at(HOST_R9, 1);

	emit_rm_reg(&t->e, 0, wide, false, 0x8b, HOST_R10, HOST_RAX);
	emit_rm_reg(&t->e, 0, wide, false, 0xc1, 7, HOST_R10); /* sar */
	emit_8(&t->e, wide ? 63 : 31);
	emit_rm_reg(&t->e, 0, wide, false, 0x3b, HOST_R10, HOST_RDX); /* cmp */
	rewrite_miss(t, emit_jcc(&t->e, 5, 0), HOST_RCX);
	emit_lea(&t->e, wide, HOST_R10, &plus_1);
	emit_rm_reg(&t->e, 0, wide, false, 0x83, 7, HOST_R10); /* cmp */
	emit_8(&t->e, 1);
	rewrite_miss(t, emit_jcc(&t->e, 6, 0), HOST_RCX);
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
		emit_mov(&t->e, HOST_R9, rewrite_in_host(t, insn->rm, HOST_R9));
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

	emit_store(&t->e, rewrite_in_host(t, insn->rm, HOST_R9), &to);
	move_stack(t, -8);
	return true;
}

static bool push_memory(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem value = rewrite_word(WORD_TARGET);
	struct emit_mem at = rewrite_operand(t, insn, 8, 1, false);

	emit_load(&t->e, HOST_R9, &at);
	emit_store(&t->e, HOST_R9, &value);
	at = rewrite_word_at(t, X86_RSP, -8, true);
	emit_load(&t->e, HOST_R9, &value);
	emit_store(&t->e, HOST_R9, &at);
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
	rewrite_store_home(t, insn->rm, HOST_R9);
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
	if (rewrite_narrow(t) && class->kind >= REWRITE_PUSH &&
	    class->kind <= REWRITE_PUSH_RM)
		return rewrite_narrow_insn(t, insn, class);
	switch (class->kind) {
	case REWRITE_RM:
		return rename_modrm(t, insn, class);
	case REWRITE_PLAIN:
		rename_nothing(t, insn);
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
		rewrite_push_const(t, insn->imm, false);
		return true;
	case REWRITE_PUSH_MEM:
		return push_memory(t, insn);
	case REWRITE_SYSTEM:
	case REWRITE_ENTER:
		return rewrite_system(t, insn);
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
