/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16- and 32-bit code: the stack, whose slots have the operand's size and
 * whose pointer has the stack segment's, near calls and returns, LOOP, and
 * the few encodings that 64-bit code does not have.
 */
#include "engine/soft/rewrite_impl.h"

/* MOV between `reg` and memory (8B, 89) or a register, 2 or 4 bytes. */
static void put_move(struct emit *e, unsigned int opcode, unsigned int size,
		     unsigned int reg, const struct emit_mem *m)
{
	emit_rm_mem(e, size == 2 ? 0x66 : 0, false, opcode, reg, m);
}

/* 4 bytes clear the upper half, 2 leave the rest, as for the guest. */
static void assign(struct emit *e, unsigned int size, unsigned int to,
		   unsigned int from)
{
	emit_rm_reg(e, size == 2 ? 0x66 : 0, false, false, 0x8b, to, from);
}

/* Loads 2 or 4 bytes and clears the rest. */
static void load(struct emit *e, unsigned int size, unsigned int to,
		 const struct emit_mem *m)
{
	emit_rm_mem(e, 0, false, size == 2 ? 0x0fb7 : 0x8b, to, m);
}

static unsigned int stack_width(const struct rewrite *t)
{
	return t->block->mode & X86_MODE_STACK32 ? 4 : 2;
}

/* The stack pointer becomes `reg` + `by`; r10 is used. */
static void set_stack(struct rewrite *t, unsigned int reg, int32_t by)
{
	const struct emit_mem to = emit_at(reg, by);

	if (stack_width(t) == 4) {
		emit_lea(&t->e, false, HOST_R8, &to);
	} else {
		emit_lea(&t->e, false, HOST_R10, &to);
		assign(&t->e, 2, HOST_R8, HOST_R10);
	}
}

/* Host operand of `size` bytes on the stack at a guest register + `by`. */
static struct emit_mem stack_at(struct rewrite *t, unsigned int guest,
				int32_t by, unsigned int size, bool write)
{
	const struct rewrite_access a = {
		.base = (uint8_t)guest,
		.index = X86_NO_REG,
		.seg = rewrite_is_flat(t, X86_SS) ? 0 : X86_SS,
		.adsize = (uint8_t)stack_width(t),
		.size = (uint8_t)size,
		.align = 1,
		.write = write,
		.share = -1,
		.disp = by,
	};

	return rewrite_reach(t, &a);
}

/* --- straight-line instructions -------------------------------------------- */

static void push_register(struct rewrite *t, unsigned int size,
			  unsigned int reg)
{
	const struct emit_mem to = stack_at(t, X86_RSP, -(int32_t)size, size,
					    true);

	put_move(&t->e, 0x89, size, reg, &to);
	set_stack(t, HOST_R8, -(int32_t)size);
}

void rewrite_narrow_push(struct rewrite *t, unsigned int size, uint64_t value)
{
	const struct emit_mem to = stack_at(t, X86_RSP, -(int32_t)size, size,
					    true);

	put_move(&t->e, 0xc7, size, 0, &to);
	emit_bytes(&t->e, &value, size);
	set_stack(t, HOST_R8, -(int32_t)size);
}

static void push_operand(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem word = rewrite_word(WORD_TARGET);
	unsigned int size = insn->opsize, spare;
	struct emit_mem at;

	if (!insn->mem) {
		push_register(t, size, rewrite_host[insn->rm]);
		return;
	}
	at = rewrite_operand(t, insn, size, 1, false);
	load(&t->e, size, HOST_R9, &at);
	emit_store(&t->e, HOST_R9, &word);
	at = stack_at(t, X86_RSP, -(int32_t)size, size, true);
	spare = rewrite_spare(t, &at);
	emit_load(&t->e, spare, &word);
	put_move(&t->e, 0x89, size, spare, &at);
	set_stack(t, HOST_R8, -(int32_t)size);
}

static void pop_register(struct rewrite *t, unsigned int size,
			 unsigned int reg)
{
	const struct emit_mem from = stack_at(t, X86_RSP, 0, size, false);

	/* What POP ESP pops is what it becomes, upper half apart. */
	put_move(&t->e, 0x8b, size, reg == HOST_R8 ? HOST_R9 : reg, &from);
	set_stack(t, HOST_R8, (int32_t)size);
	if (reg == HOST_R8)
		assign(&t->e, size, HOST_R8, HOST_R9);
}

static void leave(struct rewrite *t, unsigned int size)
{
	const struct emit_mem from = stack_at(t, X86_RBP, 0, size, false);

	load(&t->e, size, HOST_R9, &from);
	set_stack(t, HOST_RBP, (int32_t)size);
	assign(&t->e, size, HOST_RBP, HOST_R9);
}

/* MOV between the accumulator and an address in the instruction. */
static void move_offset(struct rewrite *t, const struct x86_insn *insn)
{
	bool store = insn->opcode >= 0xa2;
	unsigned int opcode = (store ? 0x88 : 0x8a) | (insn->opcode & 1);
	const struct rewrite_access a = {
		.base = X86_NO_REG,
		.index = X86_NO_REG,
		.seg = rewrite_is_flat(t, insn->seg) ? 0 : insn->seg,
		.adsize = insn->adsize,
		.size = insn->opsize,
		.align = 1,
		.write = store,
		.share = -1,
		.disp = (int64_t)insn->imm,
	};
	const struct emit_mem at = rewrite_reach(t, &a);

	put_move(&t->e, opcode, insn->opsize, HOST_RAX, &at);
}

/* Host operand of a string instruction: at RSI or RDI. */
static struct emit_mem string_at(struct rewrite *t,
				 const struct x86_insn *insn,
				 unsigned int guest, bool write)
{
	unsigned int seg = guest == X86_RDI ? X86_ES : insn->seg;
	const struct rewrite_access a = {
		.base = (uint8_t)guest,
		.index = X86_NO_REG,
		.seg = rewrite_is_flat(t, seg) ? 0 : (uint8_t)seg,
		.adsize = insn->adsize,
		.size = insn->opsize,
		.align = 1,
		.write = write,
		.share = -1,
	};

	return rewrite_reach(t, &a);
}

/* The pointer goes upwards; r9 is used. */
static void advance(struct rewrite *t, const struct x86_insn *insn,
		    unsigned int reg)
{
	const struct emit_mem next = emit_at(reg, insn->opsize);

	if (insn->adsize == 4) {
		emit_lea(&t->e, false, reg, &next);
	} else {
		emit_lea(&t->e, false, HOST_R9, &next);
		assign(&t->e, 2, reg, HOST_R9);
	}
}

/* MOVS, STOS and LODS upwards; downwards they are the interpreter's. */
static bool string(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem flags =
		emit_gs(offsetof(struct x86_state, rflags));
	const struct emit_mem word = rewrite_word(WORD_TARGET);
	unsigned int size = insn->opsize, byte = size > 1, value = HOST_RAX;
	bool loads = insn->opcode >= 0xac, moves = insn->opcode <= 0xa5;
	struct emit_mem at;

	if (t->flags_live)
		return false;
	emit_rm_mem(&t->e, 0, false, 0xf7, 0, &flags); /* test */
	emit_32(&t->e, X86_FLAG_DF);
	rewrite_miss(t, emit_jcc(&t->e, 5, 0), HOST_RCX);
	if (loads || moves) {
		at = string_at(t, insn, X86_RSI, false);
		put_move(&t->e, 0x8a | byte, size, loads ? HOST_RAX : HOST_R9,
			 &at);
	}
	if (moves)
		emit_store(&t->e, HOST_R9, &word);
	if (!loads) {
		at = string_at(t, insn, X86_RDI, true);
		if (moves) {
			value = rewrite_spare(t, &at);
			emit_load(&t->e, value, &word);
		}
		put_move(&t->e, 0x88 | byte, size, value, &at);
		advance(t, insn, HOST_RDI);
	}
	if (loads || moves)
		advance(t, insn, HOST_RSI);
	return true;
}

bool rewrite_narrow_insn(struct rewrite *t, const struct x86_insn *insn,
			 const struct rewrite_class *class)
{
	unsigned int size = insn->opsize;

	switch (class->kind) {
	case REWRITE_PUSH:
		push_register(t, size, rewrite_host[insn->rm]);
		return true;
	case REWRITE_PUSH_IMM:
		rewrite_narrow_push(t, size, insn->imm);
		return true;
	case REWRITE_PUSH_RM:
		push_operand(t, insn);
		return true;
	case REWRITE_POP:
		pop_register(t, size, rewrite_host[insn->rm]);
		return true;
	case REWRITE_LEAVE:
		leave(t, size);
		return true;
	case REWRITE_INC_DEC:
		emit_rm_reg(&t->e, size == 2 ? 0x66 : 0, false, false, 0xff,
			    insn->opcode >> 3 & 1, rewrite_host[insn->rm]);
		return true;
	case REWRITE_OFFSET:
		move_offset(t, insn);
		return true;
	case REWRITE_STRING:
		return string(t, insn);
	default:
		return false;
	}
}

/* --- branches -------------------------------------------------------------- */

void rewrite_narrow_pop_r9(struct rewrite *t, unsigned int size, uint32_t more)
{
	const struct emit_mem from = stack_at(t, X86_RSP, 0, size, false);

	load(&t->e, size, HOST_R9, &from);
	rewrite_check_target(t, size);
	set_stack(t, HOST_R8, (int32_t)(size + more));
}

void rewrite_narrow_target(struct rewrite *t, const struct x86_insn *insn)
{
	unsigned int size = insn->opsize;
	struct emit_mem from;

	if (insn->mem) {
		from = rewrite_operand(t, insn, size, 1, false);
		load(&t->e, size, HOST_R9, &from);
	} else {
		emit_rm_reg(&t->e, 0, false, false, size == 2 ? 0x0fb7 : 0x8b,
			    HOST_R9, rewrite_host[insn->rm]);
	}
	rewrite_check_target(t, size);
}

/* JECXZ rel8, to be patched. */
static uint8_t *put_jecxz(struct emit *e)
{
	emit_8(e, 0x67);
	return emit_jrcxz(e);
}

/*
 * LOOP (E2) and JCXZ (E3), which 64-bit code has as well: no flags. A count of
 * 16 bits is looked at alone in ecx, while r10 keeps rcx.
 */
bool rewrite_loop(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem less = emit_at(HOST_RCX, -1);
	uint64_t target = rewrite_target(t, insn);
	uint64_t next = rewrite_next(t, insn);
	bool counts = insn->opcode == 0xe2, wide = insn->adsize >= 4;
	struct emit *e = &t->e;
	uint8_t *zero, *other;

	if (rewrite_narrow(t) && insn->opsize == 2)
		next = (uint16_t)next;
	if (!rewrite_in_segment(t, next))
		return false;
	if (counts) {
		emit_lea(e, false, wide ? HOST_RCX : HOST_R9, &less);
		if (!wide)
			assign(e, 2, HOST_RCX, HOST_R9);
	}
	if (!wide) {
		emit_mov(e, HOST_R10, HOST_RCX);
		emit_rm_reg(e, 0, false, false, 0x0fb7, HOST_RCX, HOST_RCX);
	}
	zero = insn->adsize == 8 ? emit_jrcxz(e) : put_jecxz(e);
	other = emit_jmp(e, 0);
	emit_land_8(e, zero);
	if (!wide)
		emit_mov(e, HOST_RCX, HOST_R10);
	rewrite_go(t, counts ? next : target);
	emit_land_32(e, other);
	if (!wide)
		emit_mov(e, HOST_RCX, HOST_R10);
	rewrite_go(t, counts ? target : next);
	return true;
}
