/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory operands in host code: the effective address, then the
 * software TLB, which gives the host address or leaves for the interpreter.
 * One comparison covers page and straddling (x86_tlb_hit()); the operand is
 * addressed as guest address + addend, so that it waits for one load only.
 */
#include "engine/soft/rewrite_impl.h"

#define ENTRY_SHIFT 5 /* sizeof(struct x86_tlb_entry) */

_Static_assert(sizeof(struct x86_tlb_entry) == 1u << ENTRY_SHIFT,
	       "the TLB's index is shifted by this");

/* The host register of a guest register, loading those kept in memory. */
static unsigned int in_host(struct rewrite *t, unsigned int guest,
			    unsigned int scratch)
{
	const struct emit_mem home = rewrite_home(guest);

	if (rewrite_host[guest] != HOST_NONE)
		return rewrite_host[guest];
	emit_load(&t->e, scratch, &home);
	return scratch;
}

void rewrite_address(struct rewrite *t, const struct x86_insn *insn)
{
	struct emit_mem m = { .base = HOST_NONE, .index = HOST_NONE,
			      .scale = insn->scale, .disp = insn->disp };
	uint64_t constant = (uint64_t)(int64_t)insn->disp;
	bool wide = insn->adsize == 8;

	if (insn->base != X86_NO_REG)
		m.base = (uint8_t)in_host(t, insn->base, HOST_R9);
	if (insn->index != X86_NO_REG)
		m.index = (uint8_t)in_host(t, insn->index, HOST_R10);
	if (m.base == HOST_NONE && m.index == HOST_NONE) {
		if (insn->rip_relative)
			constant += t->block->linear + insn->offset +
				    insn->length;
		emit_const(&t->e, HOST_R9,
			   wide ? constant : (uint32_t)constant);
	} else {
		emit_lea(&t->e, wide, HOST_R9, &m);
	}
}

/*
 * The linear address as host registers give it: as it is, when a register
 * and a displacement are all; else computed into r9.
 */
static struct emit_mem linear_address(struct rewrite *t,
				      const struct x86_insn *insn)
{
	const struct emit_mem base =
		emit_gs(offsetof(struct x86_state, seg) +
			insn->seg * sizeof(struct x86_segment) +
			offsetof(struct x86_segment, base));
	const struct emit_mem sum = { .base = HOST_R9, .index = HOST_R10 };

	if (insn->base != X86_NO_REG && insn->index == X86_NO_REG &&
	    insn->adsize == 8 && insn->seg < X86_FS &&
	    rewrite_host[insn->base] != HOST_NONE)
		return emit_at(rewrite_host[insn->base], insn->disp);
	rewrite_address(t, insn);
	if (insn->seg >= X86_FS) {
		emit_load(&t->e, HOST_R10, &base);
		emit_lea(&t->e, true, HOST_R9, &sum);
	}
	return emit_at(HOST_R9, 0);
}

/* gs offset of the table for this block's mode. */
static size_t table_offset(const struct rewrite *t)
{
	unsigned int kind = X86_TLB_SUPER;

	if (t->block->mode & X86_MODE_USER)
		kind = X86_TLB_USER;
	else if (t->block->mode & X86_MODE_SUPER_AC)
		kind = X86_TLB_SUPER_AC;
	return offsetof(struct x86_cpu, tlbs) + kind * sizeof(struct x86_tlb);
}

static struct emit_mem tag_at(const struct rewrite *t, unsigned int scale,
			      bool write)
{
	return emit_gs_index(HOST_R10, scale, table_offset(t) +
			     (write ? offsetof(struct x86_tlb_entry, write) :
				      offsetof(struct x86_tlb_entry, read)));
}

static struct emit_mem addend_at(const struct rewrite *t, unsigned int scale)
{
	return emit_gs_index(HOST_R10, scale, table_offset(t) +
			     offsetof(struct x86_tlb_entry, addend));
}

/* The register that holds the address of `at`: its own, or r9. */
static unsigned int address_in(struct rewrite *t, const struct emit_mem *at)
{
	if (!at->disp)
		return at->base;
	emit_lea(&t->e, true, HOST_R9, at);
	return HOST_R9;
}

/* Changes the flags. */
static void check_with_flags(struct rewrite *t, const struct emit_mem *at,
			     unsigned int size, unsigned int align, bool write)
{
	const uint32_t mask = (X86_TLB_SIZE - 1) << ENTRY_SHIFT;
	const struct emit_mem tag = tag_at(t, 0, write);
	const struct emit_mem addend = addend_at(t, 0);
	unsigned int ea = address_in(t, at), offset = HOST_R9;
	/* Where rotating by this brings the bits that must be clear. */
	unsigned int low = (unsigned int)__builtin_ctz(align);
	struct emit *e = &t->e;

	emit_rorx(e, HOST_R10, ea, PAGE_SHIFT - ENTRY_SHIFT);
	emit_rm_reg(e, 0, false, false, 0x81, 4, HOST_R10); /* and */
	emit_32(e, mask);
	/* r9 is the operand's own base only when there is no displacement. */
	if (at->base == HOST_R9)
		offset = HOST_R11;
	if (ea == HOST_R9 && offset == HOST_R9) {
		emit_rm_mem(e, 0, true, 0x03, offset, &tag); /* add */
	} else {
		emit_load(e, offset, &tag);
		emit_rm_reg(e, 0, true, false, 0x03, offset, ea); /* add */
	}
	if (low)
		emit_rorx(e, offset, offset, low);
	emit_rm_reg(e, 0, true, false, 0x81, 7, offset); /* cmp */
	emit_32(e, (PAGE_SIZE - size) >> low);
	rewrite_miss(t, emit_jcc(e, 7, 0), false); /* above */
	emit_load(e, HOST_R10, &addend);
}

/* The same without touching a flag: PEXT, LEA and JRCXZ. */
static void check_without_flags(struct rewrite *t, const struct emit_mem *at,
				unsigned int size, unsigned int align,
				bool write)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem tag = tag_at(t, 3, write);
	const struct emit_mem addend = addend_at(t, 3);
	const struct emit_mem times4 = { .base = HOST_NONE,
					 .index = HOST_R10, .scale = 2 };
	enum rewrite_word mask = align == 16 ? WORD_MASK_16 :
				 align == 32 ? WORD_MASK_32 :
					       WORD_MASK_PAGE;
	unsigned int ea = address_in(t, at);
	struct emit_mem last = { .base = HOST_RCX,
				 .disp = align > 1 ? 0 : (int32_t)size - 1 };
	struct emit *e = &t->e;
	uint8_t *hit;

	if (ea == HOST_RCX) {
		emit_mov(e, HOST_R9, HOST_RCX);
		ea = HOST_R9;
	}
	last.index = (uint8_t)ea;
	emit_store(e, HOST_RCX, &rcx);
	emit_pext_gs(e, HOST_R10, ea, rewrite_word_offset(WORD_MASK_TLB));
	emit_lea(e, true, HOST_R10, &times4);
	emit_load(e, HOST_RCX, &tag);
	emit_lea(e, true, HOST_RCX, &last);
	emit_pext_gs(e, HOST_RCX, HOST_RCX, rewrite_word_offset(mask));
	hit = emit_jrcxz(e);
	rewrite_miss(t, emit_jmp(e, 0), true);
	emit_land_8(e, hit);
	emit_load(e, HOST_RCX, &rcx);
	emit_load(e, HOST_R10, &addend);
}

static struct emit_mem translate(struct rewrite *t, struct emit_mem at,
				 unsigned int size, unsigned int align,
				 bool write)
{
	if (t->flags_live)
		check_without_flags(t, &at, size, align, write);
	else
		check_with_flags(t, &at, size, align, write);
	at.index = HOST_R10;
	return at;
}

struct emit_mem rewrite_operand(struct rewrite *t, const struct x86_insn *insn,
				unsigned int size, unsigned int align,
				bool write)
{
	return translate(t, linear_address(t, insn), size, align, write);
}

struct emit_mem rewrite_word_at(struct rewrite *t, unsigned int guest,
				int32_t disp, bool write)
{
	return translate(t, emit_at(rewrite_host[guest], disp), 8, 1, write);
}

void rewrite_push_const(struct rewrite *t, uint64_t value)
{
	const struct emit_mem top = emit_at(HOST_R8, -8);
	const struct emit_mem to = rewrite_word_at(t, X86_RSP, -8, true);

	if (value == (uint64_t)(int64_t)(int32_t)value) {
		emit_rm_mem(&t->e, 0, true, 0xc7, 0, &to);
		emit_32(&t->e, (uint32_t)value);
	} else {
		emit_const(&t->e, HOST_R9, value);
		emit_store(&t->e, HOST_R9, &to);
	}
	emit_lea(&t->e, true, HOST_R8, &top);
}

void rewrite_pop_r9(struct rewrite *t, uint32_t more)
{
	const struct emit_mem above = emit_at(HOST_R8, 8 + (int32_t)more);
	const struct emit_mem from = rewrite_word_at(t, X86_RSP, 0, false);

	emit_load(&t->e, HOST_R9, &from);
	emit_lea(&t->e, true, HOST_R8, &above);
}
