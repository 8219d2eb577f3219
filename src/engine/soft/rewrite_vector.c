/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector and bit-manipulation instructions in host code: kept as they are,
 * with GPRs and memory operand renamed like everywhere; a vector register
 * keeps its number. Within a block it is loaded from the canonical XSAVE
 * area at its first use and stored before the block is left, before the
 * interpreter is called, and not in between.
 *
 * MXCSR is the guest's while host code runs, with every exception masked;
 * guests that unmask one are interpreted (rewrite_run()).
 */
#include "engine/soft/native_op.h"
#include "engine/soft/rewrite_impl.h"

#define VECTORS	   16
#define XMM_OFFSET 160u /* in the XSAVE area: SDM vol. 1, table 10-2 */

static struct emit_mem low_half(unsigned int n)
{
	return emit_gs(offsetof(struct x86_state, xsave) + XMM_OFFSET +
		       n * 16u);
}

static struct emit_mem high_half(unsigned int n)
{
	return emit_gs(offsetof(struct x86_state, xsave) + X86_XSAVE_YMM +
		       n * 16u);
}

/* VEX.128/256 instruction with a gs: operand and register `n`. */
static void put_vex_gs(struct emit *e, unsigned int map, unsigned int pp,
		       bool wide, unsigned int opcode, unsigned int n,
		       unsigned int vvvv, const struct emit_mem *m)
{
	emit_8(e, 0x65);
	emit_8(e, 0xc4);
	emit_8(e, (~n & 8) << 4 | 0x60 | map);
	emit_8(e, (~vvvv & 15) << 3 | (wide ? 4u : 0) | pp);
	emit_8(e, opcode);
	emit_8(e, 4 | (n & 7) << 3);
	emit_8(e, 0x25);
	emit_32(e, (uint32_t)m->disp);
}

static void load_low(struct emit *e, unsigned int n)
{
	const struct emit_mem m = low_half(n);

	put_vex_gs(e, 1, 2, false, 0x6f, n, 0, &m); /* vmovdqu */
}

static void load_high(struct emit *e, unsigned int n)
{
	const struct emit_mem m = high_half(n);

	put_vex_gs(e, 3, 1, true, 0x18, n, n, &m); /* vinsertf128 */
	emit_8(e, 1);
}

static void store_low(struct emit *e, unsigned int n)
{
	const struct emit_mem m = low_half(n);

	put_vex_gs(e, 1, 2, false, 0x7f, n, 0, &m); /* vmovdqu */
}

static void store_high(struct emit *e, unsigned int n)
{
	const struct emit_mem m = high_half(n);

	put_vex_gs(e, 3, 1, true, 0x19, n, 0, &m); /* vextractf128 */
	emit_8(e, 1);
}

void rewrite_vectors_store(struct rewrite *t, const struct rewrite_vectors *v)
{
	for (unsigned int n = 0; n < VECTORS; n++) {
		if (v->dirty_low >> n & 1)
			store_low(&t->e, n);
		if (v->dirty_high >> n & 1)
			store_high(&t->e, n);
	}
}

void rewrite_vectors_load(struct rewrite *t, const struct rewrite_vectors *v)
{
	for (unsigned int n = 0; n < VECTORS; n++) {
		if (v->low >> n & 1)
			load_low(&t->e, n);
		if (v->high >> n & 1)
			load_high(&t->e, n);
	}
}

void rewrite_vectors_forget(struct rewrite *t)
{
	rewrite_vectors_store(t, &t->vectors);
	if (t->vectors.high) /* no dirty upper halves for the C code */
		emit_bytes(&t->e, "\xc5\xf8\x77", 3);
	t->vectors = (struct rewrite_vectors){ 0 };
}

static void need_low(struct rewrite *t, unsigned int n)
{
	if (!(t->vectors.low >> n & 1))
		load_low(&t->e, n);
	t->vectors.low |= (uint16_t)(1u << n);
}

static void need_high(struct rewrite *t, unsigned int n)
{
	need_low(t, n);
	if (!(t->vectors.high >> n & 1))
		load_high(&t->e, n);
	t->vectors.high |= (uint16_t)(1u << n);
}

/* Register number of an operand. */
static unsigned int number_of(const struct x86_insn *insn,
			      const struct native_operand *o)
{
	switch (o->field) {
	case NATIVE_REG:
		return insn->reg;
	case NATIVE_RM:
		return insn->rm;
	case NATIVE_VVVV:
		return insn->vvvv;
	case NATIVE_IS4:
		return insn->imm >> 4 & 15;
	default:
		return o->number;
	}
}

static bool in_memory(const struct x86_insn *insn,
		      const struct native_operand *o)
{
	return o->kind == NATIVE_GPR && o->field != NATIVE_FIXED &&
	       rewrite_host[number_of(insn, o)] == HOST_NONE;
}

/* Operands that the scratch registers do not go round for. */
static bool too_many(const struct x86_insn *insn, const struct native_op *op)
{
	for (unsigned int i = 0; i < op->count; i++) {
		const struct native_operand *o = &op->operand[i];

		if (o->field == NATIVE_VVVV && in_memory(insn, o) &&
		    (insn->mem || o->store))
			return true;
	}
	return false;
}

/*
 * 16- and 32-bit code ignores bits of VEX that name registers 8 to 15 or widen
 * general registers, and 66 may widen operands there: where that matters, the
 * interpreter knows.
 */
static bool reads_differently(const struct block *block,
			      const struct x86_insn *insn,
			      const struct native_op *op)
{
	bool wide = insn->prefix & X86_PFX_REXW;

	if (block->mode & X86_MODE_CODE64)
		return false;
	for (unsigned int i = 0; i < op->count; i++)
		if (op->operand[i].field == NATIVE_IS4)
			return true;
	if (op->flags & NATIVE_VEX)
		return insn->vvvv > 7 || wide != op->code[2] >> 7;
	return !(block->mode & X86_MODE_CODE32) &&
	       (op->mnemonic == ZYDIS_MNEMONIC_MOVBE ||
		op->mnemonic == ZYDIS_MNEMONIC_CRC32);
}

struct rewrite_class rewrite_vector_class(const struct block *block,
					  const struct x86_insn *insn)
{
	const struct native_op *op = native_plain(insn);
	struct rewrite_class class = { .flags_read = X86_FLAGS_ARITH };

	if (!op || (block->mode & op->need) != op->need ||
	    too_many(insn, op) || reads_differently(block, insn, op))
		return class;
	class.kind = REWRITE_VECTOR;
	class.writes_memory = op->flags & NATIVE_WRITE;
	class.flags_read = op->flags & NATIVE_FLAGS_IN ? X86_FLAGS_ARITH : 0;
	if ((op->flags & NATIVE_FLAGS_OUT) && !class.flags_read)
		class.flags_killed = X86_FLAGS_ARITH;
	return class;
}

/* Host registers of the three fields; of a memory operand, index and base
 * (0: none) for the prefix's sake. */
struct fields {
	unsigned int reg, rm, vvvv, index;
};

static void load_operand(struct rewrite *t, const struct x86_insn *insn,
			 const struct native_operand *o, struct fields *f)
{
	static const uint8_t scratch[] = {
		[NATIVE_VVVV] = HOST_R9, [NATIVE_RM] = HOST_R10,
		[NATIVE_REG] = HOST_R11,
	};
	unsigned int n = number_of(insn, o);
	struct emit_mem home;

	if (o->kind == NATIVE_VECTOR) {
		if (o->load && o->wide)
			need_high(t, n);
		else if (o->load)
			need_low(t, n);
		return;
	}
	if (o->field == NATIVE_FIXED)
		return;
	home = rewrite_home(n);
	if (rewrite_host[n] != HOST_NONE) {
		n = rewrite_host[n];
	} else {
		emit_load(&t->e, scratch[o->field], &home);
		n = scratch[o->field];
	}
	if (o->field == NATIVE_REG)
		f->reg = n;
	else if (o->field == NATIVE_RM)
		f->rm = n;
	else
		f->vvvv = n;
}

static void store_operand(struct rewrite *t, const struct x86_insn *insn,
			  const struct native_op *op,
			  const struct native_operand *o)
{
	unsigned int n = number_of(insn, o);
	uint16_t bit = (uint16_t)(1u << (n & 15));
	const struct emit_mem home = rewrite_home(n);

	if (!o->store)
		return;
	if (o->kind == NATIVE_VECTOR) {
		t->vectors.low |= bit;
		t->vectors.dirty_low |= bit;
		/* VEX clears or writes the upper half, in the host too. */
		if (op->flags & NATIVE_VEX) {
			t->vectors.high |= bit;
			t->vectors.dirty_high |= bit;
		}
	} else if (in_memory(insn, o)) {
		emit_store(&t->e, o->field == NATIVE_REG ? HOST_R11 : HOST_R10,
			   &home);
	}
}

static void put_legacy(struct emit *e, const struct x86_insn *insn,
		       const struct fields *f)
{
	static const uint16_t escape[] = { 0, 0, 0x38, 0x3a };
	unsigned int rex = 0x40 | (f->reg & 8) >> 1 | (f->index & 8) >> 2 |
			   (f->rm & 8) >> 3 |
			   (insn->prefix & X86_PFX_REXW ? 8u : 0);

	if (insn->prefix & X86_PFX_OPSIZE)
		emit_8(e, 0x66);
	if (insn->prefix & X86_PFX_REP)
		emit_8(e, 0xf3);
	if (insn->prefix & X86_PFX_REPNE)
		emit_8(e, 0xf2);
	if (rex != 0x40 || (insn->prefix & X86_PFX_REX))
		emit_8(e, rex);
	emit_8(e, 0x0f);
	if (insn->map >= X86_MAP_0F38)
		emit_8(e, escape[insn->map]);
}

static void put_vex_prefix(struct emit *e, const struct x86_insn *insn,
			   const struct fields *f)
{
	unsigned int pp = insn->prefix & X86_PFX_OPSIZE ? 1 :
			  insn->prefix & X86_PFX_REP	 ? 2 :
			  insn->prefix & X86_PFX_REPNE	 ? 3 :
							   0;

	emit_8(e, 0xc4);
	emit_8(e, (~f->reg & 8) << 4 | (~f->index & 8) << 3 |
			  (~f->rm & 8) << 2 | insn->map);
	emit_8(e, (insn->prefix & X86_PFX_REXW ? 0x80u : 0) |
			  (~f->vvvv & 15) << 3 |
			  (unsigned int)insn->vector_length << 2 | pp);
}

bool rewrite_vector(struct rewrite *t, const struct x86_insn *insn)
{
	const struct native_op *op = native_plain(insn);
	struct fields f = { insn->reg, insn->rm, insn->vvvv, 0 };
	struct emit_mem at = emit_at(0, 0);
	struct emit *e = &t->e;

	if (insn->mem) {
		if (!op->size || (op->align > 1 && op->align != op->size))
			return false;
		at = rewrite_operand(t, insn, op->size, op->align,
				     op->flags & NATIVE_WRITE);
		f.rm = at.base;
		f.index = at.index;
	}
	for (unsigned int i = 0; i < op->count; i++)
		load_operand(t, insn, &op->operand[i], &f);
	if (insn->encoding == X86_VEX)
		put_vex_prefix(e, insn, &f);
	else
		put_legacy(e, insn, &f);
	emit_8(e, insn->opcode);
	if (insn->mem)
		emit_modrm(e, f.reg, &at);
	else
		emit_8(e, 0xc0 | (f.reg & 7) << 3 | (f.rm & 7));
	emit_bytes(e, &insn->imm, insn->imm_size);
	for (unsigned int i = 0; i < op->count; i++)
		store_operand(t, insn, op, &op->operand[i]);
	return true;
}

/* VZEROUPPER: the upper halves in the XSAVE area become zero. */
void rewrite_vzeroupper(struct rewrite *t)
{
	struct emit_mem m;

	rewrite_vectors_forget(t);
	emit_bytes(&t->e, "\xc5\xf9\xef\xc0", 4); /* vpxor xmm0, xmm0, xmm0 */
	for (unsigned int n = 0; n < VECTORS; n += 2) {
		m = high_half(n);
		put_vex_gs(&t->e, 1, 2, true, 0x7f, 0, 0, &m);
	}
}
