/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector and bit-manipulation instructions in host code: kept as they are,
 * with GPRs and memory operand renamed like everywhere. A vector register
 * keeps its number; rewrite_live.c sees to its contents, and to MXCSR.
 */
#include "engine/soft/native_op.h"
#include "engine/soft/rewrite_impl.h"

/* Register number of an operand. */
static unsigned int number_of(const struct x86_insn *insn,
			      const struct native_operand *o)
{
	/* Only vectors have more than 16. */
	unsigned int mask = o->kind == NATIVE_GPR ? 15 : 31;

	switch (o->field) {
	case NATIVE_REG:
		return insn->reg & mask;
	case NATIVE_RM:
		return insn->rm & mask;
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

/* MULX of a memory operand with two destinations that live in memory. */
static bool too_many(const struct x86_insn *insn, const struct native_op *op)
{
	unsigned int stored = 0;

	for (unsigned int i = 0; i < op->count; i++)
		stored += op->operand[i].store &&
			  in_memory(insn, &op->operand[i]);
	return insn->mem && stored > 1;
}

/* What has to be live for an instruction. */
static uint8_t needs_of(const struct native_op *op)
{
	if (op->flags & (NATIVE_X87 | NATIVE_HAS_MMX))
		return REWRITE_VECTORS | REWRITE_X87;
	if (op->need & X86_MODE_AVX512)
		return REWRITE_VECTORS | REWRITE_WIDE;
	if (op->flags & NATIVE_MXCSR)
		return REWRITE_VECTORS;
	for (unsigned int i = 0; i < op->count; i++)
		if (op->operand[i].kind == NATIVE_VECTOR)
			return REWRITE_VECTORS;
	return 0;
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
	if (op->flags & (NATIVE_VEX | NATIVE_EVEX))
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

	if (!op)
		return rewrite_state_class(block, insn);
	class.needs = needs_of(op);
	if ((block->mode & op->need) != op->need || too_many(insn, op) ||
	    reads_differently(block, insn, op) ||
	    ((class.needs & REWRITE_X87) && (block->mode & X86_MODE_FPU_OFF)))
		return class;
	class.kind = REWRITE_VECTOR;
	class.writes_memory = op->flags & NATIVE_WRITE;
	class.flags_read = op->flags & NATIVE_FLAGS_IN ? X86_FLAGS_ARITH : 0;
	if ((op->flags & NATIVE_FLAGS_OUT) && !class.flags_read)
		class.flags_killed = X86_FLAGS_ARITH;
	return class;
}

uint32_t rewrite_vector_written(const struct x86_insn *insn)
{
	const struct native_op *op = native_plain(insn);
	uint32_t mask = 0;

	if (!op) /* FNSTSW AX, or none */
		return 1u << X86_RAX;
	for (unsigned int i = 0; i < op->count; i++)
		if (op->operand[i].kind == NATIVE_GPR && op->operand[i].store)
			mask |= 1u << (number_of(insn, &op->operand[i]) & 15);
	return mask;
}

/* Host registers of the three fields; of a memory operand, index and base
 * (0: none) for the prefix's sake. */
struct fields {
	unsigned int reg, rm, vvvv, index;
	unsigned int spare; /* scratch register of reg, or HOST_NONE */
};

/* Where a guest register that lives in memory passes through. r9 and r10 are
 * the memory operand's, if any: then one register of VEX.vvvv is read before
 * that of ModRM.reg is written. */
static unsigned int scratch_for(const struct x86_insn *insn,
				enum native_field field,
				const struct fields *f)
{
	switch (field) {
	case NATIVE_REG:
		return f->spare;
	case NATIVE_RM:
		return HOST_R10;
	default:
		return insn->mem ? f->spare : HOST_R9;
	}
}

/* The host's number of an operand; loads what lives in memory. */
static void load_operand(struct rewrite *t, const struct x86_insn *insn,
			 const struct native_operand *o, struct fields *f)
{
	unsigned int n = number_of(insn, o);

	if (o->field == NATIVE_FIXED || o->field == NATIVE_IS4 ||
	    o->field == NATIVE_AAA)
		return;
	if (o->kind == NATIVE_MMX) {
		n &= 7;
	} else if (in_memory(insn, o)) {
		const struct emit_mem home = rewrite_home(n);

		n = scratch_for(insn, o->field, f);
		if (o->load)
			emit_load(&t->e, n, &home);
	} else if (o->kind == NATIVE_GPR) {
		n = rewrite_host[n];
	}
	if (o->field == NATIVE_REG)
		f->reg = n;
	else if (o->field == NATIVE_RM)
		f->rm = n;
	else
		f->vvvv = n;
}

/* MULX with both destinations the same: ModRM.reg's value stays. */
static void store_operands(struct rewrite *t, const struct x86_insn *insn,
			   const struct native_op *op,
			   const struct fields *f)
{
	for (unsigned int field = 0; field < NATIVE_AAA; field++)
		for (unsigned int i = 0; i < op->count; i++) {
			const struct native_operand *o = &op->operand[i];
			const struct emit_mem home =
				rewrite_home(number_of(insn, o) & 15);

			if (o->field == field && o->store &&
			    in_memory(insn, o))
				emit_store(&t->e, scratch_for(insn, field, f),
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

	if (insn->map != X86_MAP_ONE && (insn->prefix & X86_PFX_OPSIZE))
		emit_8(e, 0x66);
	if (insn->prefix & X86_PFX_REP)
		emit_8(e, 0xf3);
	if (insn->prefix & X86_PFX_REPNE)
		emit_8(e, 0xf2);
	if (rex != 0x40 || (insn->prefix & X86_PFX_REX))
		emit_8(e, rex);
	if (insn->map != X86_MAP_ONE)
		emit_8(e, 0x0f);
	if (insn->map >= X86_MAP_0F38)
		emit_8(e, escape[insn->map]);
}

/* The mandatory prefix, as VEX and EVEX have it. */
static unsigned int pp_of(const struct x86_insn *insn)
{
	return insn->prefix & X86_PFX_OPSIZE ? 1 :
	       insn->prefix & X86_PFX_REP	 ? 2 :
	       insn->prefix & X86_PFX_REPNE	 ? 3 :
					   0;
}

static void put_evex_prefix(struct emit *e, const struct x86_insn *insn,
			    const struct fields *f)
{
	/* Of a vector in ModRM.rm X is the highest bit. */
	unsigned int x = insn->mem ? f->index >> 3 : f->rm >> 4;

	emit_8(e, 0x62);
	emit_8(e, (~f->reg & 8) << 4 | (~x & 1) << 6 | (~f->rm & 8) << 2 |
			  (~f->reg & 16) | insn->map);
	emit_8(e, (insn->prefix & X86_PFX_REXW ? 0x80u : 0) |
			  (~f->vvvv & 15) << 3 | 4 | pp_of(insn));
	emit_8(e, (insn->evex & ~8u) | (~f->vvvv & 16) >> 1);
}

static void put_vex_prefix(struct emit *e, const struct x86_insn *insn,
			   const struct fields *f)
{
	unsigned int pp = pp_of(insn);
	unsigned int last = (~f->vvvv & 15) << 3 |
			    (unsigned int)insn->vector_length << 2 | pp;
	bool wide = insn->prefix & X86_PFX_REXW;

	if (insn->map == X86_MAP_0F && !wide && f->rm < 8 &&
	    f->index < 8) {
		emit_8(e, 0xc5);
		emit_8(e, (~f->reg & 8) << 4 | last);
		return;
	}
	emit_8(e, 0xc4);
	emit_8(e, (~f->reg & 8) << 4 | (~f->index & 8) << 3 |
			  (~f->rm & 8) << 2 | insn->map);
	emit_8(e, (wide ? 0x80u : 0) | last);
}

/*
 * A scratch register for the reg field, or for vvvv beside a memory operand;
 * r11 may be taken. Beside a vvvv in memory the instruction replaces reg, and
 * has read rm (BMI): they may share one.
 */
static unsigned int spare_for(struct rewrite *t, const struct x86_insn *insn,
			      const struct native_op *op, struct emit_mem *at)
{
	bool reg = false, vvvv = false;

	for (unsigned int i = 0; i < op->count; i++) {
		const struct native_operand *o = &op->operand[i];

		reg |= o->field == NATIVE_REG && in_memory(insn, o);
		vvvv |= o->field == NATIVE_VVVV && in_memory(insn, o);
	}
	if (insn->mem)
		return reg || vvvv ? rewrite_spare(t, at) : HOST_NONE;
	return vvvv ? HOST_R10 : HOST_R9;
}

/* What EVEX's disp8 counts in: the operand's size, but of packed elements
 * that of one. */
static unsigned int disp_unit(const struct native_op *op)
{
	return op->flags & NATIVE_PACKED ? op->piece : op->size;
}

bool rewrite_vector(struct rewrite *t, const struct x86_insn *insn)
{
	const struct native_op *op = native_plain(insn);
	struct fields f = { insn->reg, insn->rm, insn->vvvv, 0, HOST_NONE };
	struct emit_mem at = emit_at(0, 0);
	struct emit *e = &t->e;

	if (!op)
		return rewrite_state_insn(t, insn);
	if (op->flags & NATIVE_X87) {
		f.reg = insn->modrm >> 3 & 7;
		f.rm = insn->modrm & 7;
	}
	if (insn->mem) {
		if (!op->size || (op->align > 1 && op->align != op->size))
			return false;
		at = rewrite_operand(t, insn, op->size, op->align,
				     op->flags & NATIVE_WRITE);
	}
	f.spare = spare_for(t, insn, op, &at);
	if (insn->mem) {
		f.rm = at.base;
		f.index = at.index == HOST_NONE ? 0 : at.index;
	}
	for (unsigned int i = 0; i < op->count; i++)
		load_operand(t, insn, &op->operand[i], &f);
	if (insn->encoding == X86_EVEX)
		put_evex_prefix(e, insn, &f);
	else if (insn->encoding == X86_VEX)
		put_vex_prefix(e, insn, &f);
	else
		put_legacy(e, insn, &f);
	emit_8(e, insn->opcode);
	if (insn->mem && insn->encoding == X86_EVEX)
		emit_modrm_evex(e, f.reg, &at, disp_unit(op));
	else if (insn->mem)
		emit_modrm(e, f.reg, &at);
	else
		emit_8(e, 0xc0 | (f.reg & 7) << 3 | (f.rm & 7));
	emit_bytes(e, &insn->imm, insn->imm_size);
	store_operands(t, insn, op, &f);
	if (op->flags & NATIVE_X87)
		rewrite_x87_note(t, insn);
	return true;
}
