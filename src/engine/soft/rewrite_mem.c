/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory operands in host code: the effective address into r9, then the
 * software TLB, which turns it into a host address or leaves for the
 * interpreter.
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
		m.base = (uint8_t)in_host(t, insn->base, HOST_R10);
	if (insn->index != X86_NO_REG)
		m.index = (uint8_t)in_host(t, insn->index, HOST_R11);
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

/* The same, with the base of FS or GS. */
static void linear_address(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem base =
		emit_gs(offsetof(struct x86_state, seg) +
			insn->seg * sizeof(struct x86_segment) +
			offsetof(struct x86_segment, base));
	const struct emit_mem sum = { .base = HOST_R9, .index = HOST_R10 };

	rewrite_address(t, insn);
	if (insn->seg < X86_FS)
		return;
	emit_load(&t->e, HOST_R10, &base);
	emit_lea(&t->e, true, HOST_R9, &sum);
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

static size_t tag_offset(const struct rewrite *t, bool write)
{
	return table_offset(t) + (write ? offsetof(struct x86_tlb_entry, write) :
					  offsetof(struct x86_tlb_entry, read));
}

/*
 * Changes the flags. The page of the last byte is compared with the entry of
 * the first, so that straddling misses.
 */
static void check_with_flags(struct rewrite *t, unsigned int size,
			     unsigned int align, bool write)
{
	const uint32_t mask = (X86_TLB_SIZE - 1) << ENTRY_SHIFT;
	const struct emit_mem tag = emit_gs_index(HOST_R10, 0,
						  tag_offset(t, write));
	const struct emit_mem addend =
		emit_gs_index(HOST_R10, 0,
			      table_offset(t) +
				      offsetof(struct x86_tlb_entry, addend));
	const struct emit_mem last = emit_at(HOST_R9, (int32_t)size - 1);
	struct emit *e = &t->e;

	emit_mov(e, HOST_R10, HOST_R9);
	emit_rm_reg(e, 0, true, false, 0xc1, 5, HOST_R10); /* shr */
	emit_8(e, PAGE_SHIFT - ENTRY_SHIFT);
	emit_rm_reg(e, 0, false, false, 0x81, 4, HOST_R10); /* and */
	emit_32(e, mask);
	/* Aligned operands do not straddle: their low bits must be clear. */
	if (align > 1)
		emit_mov(e, HOST_R11, HOST_R9);
	else
		emit_lea(e, true, HOST_R11, &last);
	emit_rm_reg(e, 0, true, false, 0x81, 4, HOST_R11); /* and */
	emit_32(e, (uint32_t)PAGE_MASK | (align - 1));
	emit_rm_mem(e, 0, true, 0x3b, HOST_R11, &tag); /* cmp */
	rewrite_miss(t, emit_jcc(e, 5, 0), false);
	emit_rm_mem(e, 0, true, 0x03, HOST_R9, &addend); /* add */
}

/* The same without touching a flag: PEXT, RORX, LEA, NOT and JRCXZ. */
static void check_without_flags(struct rewrite *t, unsigned int size,
				unsigned int align, bool write)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem tag = emit_gs_index(HOST_R10, 3,
						  tag_offset(t, write));
	const struct emit_mem addend =
		emit_gs_index(HOST_R10, 3,
			      table_offset(t) +
				      offsetof(struct x86_tlb_entry, addend));
	const struct emit_mem times4 = { .base = HOST_NONE,
					 .index = HOST_R10, .scale = 2 };
	const struct emit_mem last = emit_at(HOST_R9, (int32_t)size - 1);
	const struct emit_mem differ = { .base = HOST_RCX, .index = HOST_R11,
					 .disp = 1 };
	const struct emit_mem sum = { .base = HOST_R9, .index = HOST_R10 };
	struct emit *e = &t->e;
	uint8_t *hit;

	emit_store(e, HOST_RCX, &rcx);
	emit_pext_gs(e, HOST_R10, HOST_R9, rewrite_word_offset(WORD_MASK_TLB));
	emit_lea(e, true, HOST_R10, &times4);
	if (align > 1) {
		emit_pext_gs(e, HOST_R11, HOST_R9,
			     rewrite_word_offset(align == 16 ? WORD_MASK_16 :
							       WORD_MASK_32));
	} else {
		emit_lea(e, true, HOST_R11, &last);
		emit_pext_gs(e, HOST_R11, HOST_R11,
			     rewrite_word_offset(WORD_MASK_PAGE));
	}
	emit_load(e, HOST_RCX, &tag);
	emit_rorx(e, HOST_RCX, HOST_RCX,
		  PAGE_SHIFT - (unsigned int)__builtin_ctz(align));
	emit_rm_reg(e, 0, true, false, 0xf7, 2, HOST_R11); /* not */
	emit_lea(e, true, HOST_RCX, &differ);
	hit = emit_jrcxz(e);
	rewrite_miss(t, emit_jmp(e, 0), true);
	emit_land_8(e, hit);
	emit_load(e, HOST_RCX, &rcx);
	emit_load(e, HOST_R10, &addend);
	emit_lea(e, true, HOST_R9, &sum);
}

void rewrite_translate(struct rewrite *t, unsigned int size,
		       unsigned int align, bool write)
{
	if (t->flags_live)
		check_without_flags(t, size, align, write);
	else
		check_with_flags(t, size, align, write);
}

void rewrite_operand(struct rewrite *t, const struct x86_insn *insn,
		     unsigned int size, unsigned int align, bool write)
{
	linear_address(t, insn);
	rewrite_translate(t, size, align, write);
}
