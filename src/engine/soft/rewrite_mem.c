/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory operands in host code: the effective address, then the
 * software TLB, which gives the host address or leaves for the interpreter.
 * One comparison covers page and straddling (x86_tlb_hit()); the operand is
 * addressed as guest address + addend, so that it waits for one load only.
 */
#include "engine/soft/rewrite_impl.h"

_Static_assert(sizeof(struct x86_tlb_entry) == 1u << REWRITE_TLB_SHIFT,
	       "the TLB's index is shifted by this");

static struct rewrite_access access_of(const struct rewrite *t,
				       const struct x86_insn *insn)
{
	struct rewrite_access a = {
		.base = insn->base,
		.index = insn->index,
		.scale = insn->scale,
		.seg = insn->seg,
		.adsize = insn->adsize,
		.align = 1,
		.share = -1,
		.disp = insn->disp,
	};

	if (insn->rip_relative)
		a.disp += (int64_t)rewrite_next(t, insn);
	if (!rewrite_narrow(t) ? insn->seg < X86_FS :
				 rewrite_is_flat(t, insn->seg))
		a.seg = 0;
	return a;
}

/* The effective address + `more` into host register `to`, by way of r9 and
 * r10. */
static void compute(struct rewrite *t, const struct rewrite_access *a,
		    int32_t more, unsigned int to)
{
	uint64_t constant = (uint64_t)(a->disp + more);
	struct emit_mem m = { .base = HOST_NONE, .index = HOST_NONE,
			      .scale = a->scale, .disp = (int32_t)constant };

	if (a->base != X86_NO_REG)
		m.base = (uint8_t)rewrite_to_read(t, a->base, HOST_R9);
	if (a->index != X86_NO_REG)
		m.index = (uint8_t)rewrite_to_read(t, a->index, HOST_R10);
	if (m.base == HOST_NONE && m.index == HOST_NONE) {
		if (a->adsize < 8)
			constant &= ((uint64_t)1 << a->adsize * 8) - 1;
		emit_const(&t->e, to, constant);
		return;
	}
	if (m.base != to || m.index != HOST_NONE || m.disp || a->adsize < 8)
		emit_lea(&t->e, a->adsize == 8, to, &m);
	if (a->adsize == 2) /* movzx */
		emit_rm_reg(&t->e, 0, false, false, 0x0fb7, to, to);
}

void rewrite_address(struct rewrite *t, const struct x86_insn *insn)
{
	const struct rewrite_access a = access_of(t, insn);

	compute(t, &a, 0, HOST_R9);
}

void rewrite_lea(struct rewrite *t, const struct x86_insn *insn,
		 unsigned int to)
{
	struct rewrite_access a = access_of(t, insn);

	if (a.adsize > insn->opsize)
		a.adsize = insn->opsize;
	compute(t, &a, 0, to);
}

/*
 * The linear address + `more` as host registers give it: as it is, when a
 * register and a displacement are all; else computed into r9.
 */
static struct emit_mem linear_address(struct rewrite *t,
				      const struct rewrite_access *a,
				      int32_t more)
{
	const struct emit_mem base =
		emit_gs(offsetof(struct x86_state, seg) +
			a->seg * sizeof(struct x86_segment) +
			offsetof(struct x86_segment, base));
	const struct emit_mem sum = { .base = HOST_R9, .index = HOST_R10 };

	if (a->base != X86_NO_REG && a->index == X86_NO_REG &&
	    a->adsize == 8 && !a->seg && rewrite_host[a->base] != HOST_NONE)
		return emit_at(rewrite_host[a->base], (int32_t)a->disp + more);
	compute(t, a, more, HOST_R9);
	if (rewrite_narrow(t)) {
		rewrite_segment(t, a->seg, a->size, a->write);
	} else if (a->seg) {
		emit_load(&t->e, HOST_R10, &base);
		emit_lea(&t->e, true, HOST_R9, &sum);
	}
	return emit_at(HOST_R9, 0);
}

/* gs offset of the table for this block's mode and the access. */
static size_t table_offset(const struct rewrite *t, bool write)
{
	unsigned int kind = X86_TLB_SUPER;

	if (t->block->mode & X86_MODE_USER)
		kind = X86_TLB_USER;
	else if (t->block->mode & X86_MODE_SUPER_AC)
		kind = X86_TLB_SUPER_AC;
	return offsetof(struct x86_cpu, tlbs) + kind * sizeof(struct x86_tlb) +
	       (write ? X86_TLB_WRITE : X86_TLB_READ) *
		       sizeof(struct x86_tlb_table) +
	       offsetof(struct x86_tlb_table, entry);
}

static struct emit_mem tag_at(const struct rewrite *t, unsigned int scale,
			      bool write)
{
	return emit_gs_index(HOST_R10, scale, table_offset(t, write) +
			     offsetof(struct x86_tlb_entry, tag));
}

static struct emit_mem addend_at(const struct rewrite *t, unsigned int scale,
				 bool write)
{
	return emit_gs_index(HOST_R10, scale, table_offset(t, write) +
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

/* What is checked for: an access, or the range of a share. */
struct extent {
	uint32_t size;
	unsigned int align;
	bool write;
};

/* A share keeps its host address in r11 from here or to here; not yet, while
 * its own check is emitted. */
static bool r11_taken(const struct rewrite *t)
{
	if (t->pass != PASS_SHARED || (t->leading && !t->leading->place))
		return false;
	for (unsigned int i = 0; i < t->share_count; i++)
		if (!t->share[i].place && t->share[i].first <= t->index &&
		    t->index <= t->share[i].last)
			return true;
	return false;
}

unsigned int rewrite_spare(struct rewrite *t, struct emit_mem *at)
{
	if (!r11_taken(t))
		return HOST_R11;
	if (at->base != HOST_R9)
		return HOST_R9;
	if (at->index != HOST_NONE) {
		emit_lea(&t->e, true, HOST_R9, at);
		*at = emit_at(HOST_R9, 0);
	}
	return HOST_R10;
}

/* Changes the flags. */
static void check_with_flags(struct rewrite *t, const struct emit_mem *at,
			     const struct extent *x)
{
	const struct emit_mem tag = tag_at(t, 0, x->write);
	const struct emit_mem addend = addend_at(t, 0, x->write);
	unsigned int ea = address_in(t, at), offset = HOST_R9;
	/* Rotating by this brings the bits that must be clear to the top. */
	unsigned int low = (unsigned int)__builtin_ctz(x->align);
	/* r9 is wanted afterwards, and there is no other. */
	bool restore = at->base == HOST_R9 && r11_taken(t);
	struct emit *e = &t->e;

	emit_rorx(e, HOST_R10, ea, REWRITE_TLB_ROTATE);
	emit_rm_reg(e, 0, false, false, 0x81, 4, HOST_R10); /* and */
	emit_32(e, REWRITE_TLB_MASK);
	if (at->base == HOST_R9 && !restore)
		offset = HOST_R11;
	if (ea == offset) {
		emit_rm_mem(e, 0, true, 0x03, offset, &tag); /* add */
	} else {
		emit_load(e, offset, &tag);
		emit_rm_reg(e, 0, true, false, 0x03, offset, ea); /* add */
	}
	if (low)
		emit_rorx(e, offset, offset, low);
	emit_rm_reg(e, 0, true, false, 0x81, 7, offset); /* cmp */
	emit_32(e, (PAGE_SIZE - x->size) >> low);
	rewrite_miss(t, emit_jcc(e, 7, 0), HOST_RCX); /* above */
	if (restore && low)
		emit_rorx(e, HOST_R9, HOST_R9, 64 - low);
	if (restore)
		emit_rm_mem(e, 0, true, 0x2b, HOST_R9, &tag); /* sub */
	emit_load(e, HOST_R10, &addend);
}

/* The same without touching a flag: PEXT, LEA and JRCXZ. */
static void check_without_flags(struct rewrite *t, const struct emit_mem *at,
				const struct extent *x)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem tag = tag_at(t, 3, x->write);
	const struct emit_mem addend = addend_at(t, 3, x->write);
	const struct emit_mem times2 = { .base = HOST_R10,
					 .index = HOST_R10 };
	enum rewrite_word mask = x->align == 16 ? WORD_MASK_16 :
				 x->align == 32 ? WORD_MASK_32 :
				 x->align == 64 ? WORD_MASK_64 :
						  WORD_MASK_PAGE;
	unsigned int ea = address_in(t, at);
	unsigned int keep = !r11_taken(t) ? HOST_R11 :
			    ea != HOST_R9 ? HOST_R9 :
					    HOST_NONE;
	/* The last byte; or the last aligned piece, which straddles not. */
	struct emit_mem last = { .base = HOST_RCX,
				 .disp = (int32_t)(x->size - x->align) };
	struct emit *e = &t->e;
	uint8_t *hit;

	if (keep == HOST_NONE)
		emit_store(e, HOST_RCX, &rcx);
	else
		emit_mov(e, keep, HOST_RCX);
	if (ea == HOST_RCX)
		ea = keep;
	last.index = (uint8_t)ea;
	emit_pext_gs(e, HOST_R10, ea, rewrite_word_offset(WORD_MASK_TLB));
	emit_lea(e, true, HOST_R10, &times2);
	emit_load(e, HOST_RCX, &tag);
	emit_lea(e, true, HOST_RCX, &last);
	emit_pext_gs(e, HOST_RCX, HOST_RCX, rewrite_word_offset(mask));
	hit = emit_jrcxz(e);
	rewrite_miss(t, emit_jmp(e, 0), keep);
	emit_land_8(e, hit);
	if (keep == HOST_NONE)
		emit_load(e, HOST_RCX, &rcx);
	else
		emit_mov(e, HOST_RCX, keep);
	emit_load(e, HOST_R10, &addend);
}

/*
 * Against the page that this place found last. The operand becomes page and
 * offset where the address had to be computed. Changes the flags.
 */
static void check_last(struct rewrite *t, const struct emit_mem *at,
		       const struct extent *x)
{
	unsigned int last = rewrite_add_last(t, x->write);
	size_t entry = rewrite_last_offset(last, x->write);
	const struct emit_mem tag =
		emit_gs(entry + offsetof(struct x86_last_entry, tag));
	bool computed = at->base == HOST_R9;
	const struct emit_mem to = emit_gs(
		entry + (computed ? offsetof(struct x86_last_entry, page) :
				    offsetof(struct x86_last_entry, addend)));
	unsigned int low = (unsigned int)__builtin_ctz(x->align);
	struct emit_mem offset = *at;
	struct emit *e = &t->e;
	struct rewrite_out *out;
	uint8_t *again = e->p;

	if (computed) {
		emit_rm_mem(e, 0, true, 0x03, HOST_R9, &tag); /* add */
	} else {
		emit_load(e, HOST_R9, &tag);
		offset.index = HOST_R9;
		emit_lea(e, true, HOST_R9, &offset);
	}
	if (low)
		emit_rorx(e, HOST_R9, HOST_R9, low);
	emit_rm_reg(e, 0, true, false, 0x81, 7, HOST_R9); /* cmp */
	emit_32(e, (PAGE_SIZE - x->size) >> low);
	out = rewrite_miss(t, emit_jcc(e, 7, 0), HOST_RCX); /* above */
	out->again = again;
	out->last = (uint8_t)last;
	out->rotated = (uint8_t)low;
	out->write = x->write;
	if (low && computed)
		emit_rorx(e, HOST_R9, HOST_R9, 64 - low);
	emit_load(e, HOST_R10, &to);
}

/*
 * By a routine for all blocks: r10 is the host address of `at`, which goes
 * through r9.
 */
static void check_by_call(struct rewrite *t, const struct emit_mem *at,
			  const struct extent *x)
{
	if (at->disp)
		emit_lea(&t->e, true, HOST_R9, at);
	else
		emit_mov(&t->e, HOST_R9, at->base);
	rewrite_call_check(t, x->size, x->write);
}

/* The addend into r10. */
static void check(struct rewrite *t, const struct emit_mem *at,
		  const struct extent *x)
{
	if (t->flags_live)
		check_without_flags(t, at, x);
	else if (rewrite_wants_last(t))
		check_last(t, at, x);
	else
		check_with_flags(t, at, x);
}

/* --- sharing -------------------------------------------------------------- */

static struct emit_mem place_of(const struct rewrite_share *s)
{
	return rewrite_word((enum rewrite_word)(WORD_SHARED + s->place - 1));
}

/*
 * The first of a share: checks the range for all and keeps its host address,
 * that of where the address register points, or of the range when r9 had to
 * be computed.
 */
static struct emit_mem lead(struct rewrite *t, struct rewrite_share *s,
			    const struct rewrite_access *a)
{
	const struct extent x = { s->size, s->align, s->write };
	struct emit_mem at = linear_address(t, a, s->low);
	const struct emit_mem word = place_of(s);
	struct emit_mem sum = { .index = HOST_R10, .base = at.base };
	unsigned int to = r11_taken(t) && s->place ? HOST_R10 : HOST_R11;

	if (rewrite_wants_call(t, s->align)) {
		t->leading = s;
		check_by_call(t, &at, &x);
		t->leading = NULL;
		s->origin = s->low;
		if (s->place)
			emit_store(&t->e, HOST_R10, &word);
		else
			emit_mov(&t->e, HOST_R11, HOST_R10);
		return emit_at(HOST_R10, -s->origin);
	}
	t->leading = s;
	check(t, &at, &x);
	t->leading = NULL;
	s->origin = at.base == HOST_R9 ? s->low : -(int32_t)a->disp;
	emit_lea(&t->e, true, to, &sum);
	if (s->place)
		emit_store(&t->e, to, &word);
	if (to == HOST_R10)
		return emit_at(HOST_R10, -s->origin);
	sum.disp = -s->origin;
	return sum;
}

static struct emit_mem follow(struct rewrite *t, const struct rewrite_share *s,
			      const struct rewrite_access *a)
{
	const struct emit_mem word = place_of(s);

	if (!s->place)
		return emit_at(HOST_R11, a->at - s->origin);
	emit_load(&t->e, HOST_R10, &word);
	return emit_at(HOST_R10, a->at - s->origin);
}

/* Takes its number. Gives the access as it was noted if it shares a check. */
static struct rewrite_access *next_access(struct rewrite *t,
					  const struct rewrite_access *a)
{
	unsigned int n = t->access_now++;
	struct rewrite_access *noted = &t->access[t->index][n];

	bug_on(n >= REWRITE_ACCESS_MAX);
	if (t->pass == PASS_NOTE) {
		*noted = *a;
		t->access_count[t->index] = (uint8_t)(n + 1);
	}
	return t->pass == PASS_SHARED && noted->share >= 0 ? noted : NULL;
}

static struct emit_mem reach_shared(struct rewrite *t,
				    const struct rewrite_access *noted)
{
	struct rewrite_share *s = &t->share[noted->share];
	bool second = noted > t->access[t->index] &&
		      noted[-1].share == noted->share;
	/* PUSH of memory has two accesses: the share hangs on the first. */
	bool first = s->first == t->index && !second;

	return first ? lead(t, s, noted) : follow(t, s, noted);
}

struct emit_mem rewrite_reach(struct rewrite *t,
			      const struct rewrite_access *a)
{
	const struct extent x = { a->size, a->align, a->write };
	const struct rewrite_access *noted = next_access(t, a);
	struct emit_mem at;

	if (noted)
		return reach_shared(t, noted);
	at = linear_address(t, a, 0);
	if (rewrite_wants_call(t, a->align)) {
		check_by_call(t, &at, &x);
		return emit_at(HOST_R10, 0);
	}
	check(t, &at, &x);
	at.index = HOST_R10;
	return at;
}

struct emit_mem rewrite_operand(struct rewrite *t, const struct x86_insn *insn,
				unsigned int size, unsigned int align,
				bool write)
{
	struct rewrite_access a = access_of(t, insn);

	a.size = (uint8_t)size;
	a.align = (uint8_t)align;
	a.write = write;
	return rewrite_reach(t, &a);
}

static struct rewrite_access word_access(unsigned int guest, int32_t disp,
					 bool write)
{
	return (struct rewrite_access){
		.base = (uint8_t)guest,
		.index = X86_NO_REG,
		.adsize = 8,
		.size = 8,
		.align = 1,
		.write = write,
		.share = -1,
		.disp = disp,
	};
}

struct emit_mem rewrite_word_at(struct rewrite *t, unsigned int guest,
				int32_t disp, bool write)
{
	const struct rewrite_access a = word_access(guest, disp, write);

	return rewrite_reach(t, &a);
}

/* Host operand of the top of the stack; none, when a routine has done all of
 * it, or is to do it (`*call`). */
static struct emit_mem stack_top(struct rewrite *t, bool push, bool *call)
{
	const struct rewrite_access a =
		word_access(X86_RSP, push ? -8 : 0, push);
	const struct rewrite_access *noted;

	if (!*call || !rewrite_wants_call(t, 1)) {
		*call = false;
		return rewrite_reach(t, &a);
	}
	noted = next_access(t, &a);
	*call = !noted;
	return noted ? reach_shared(t, noted) : emit_at(HOST_R9, 0);
}

void rewrite_push_const(struct rewrite *t, uint64_t value, bool keep)
{
	bool small = value == (uint64_t)(int64_t)(int32_t)value, call = !keep;
	const struct emit_mem top = emit_at(HOST_R8, -8);
	const struct emit_mem to = stack_top(t, true, &call);
	const struct emit_mem under = rewrite_word(WORD_UNDER);

	if (call) {
		emit_const(&t->e, HOST_R9, value);
		rewrite_call_routine(t, t->rw->push);
		return;
	}
	if (keep) {
		emit_load(&t->e, HOST_R9, &to);
		emit_store(&t->e, HOST_R9, &under);
	}
	if (small) {
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
	bool call = !more;
	const struct emit_mem from = stack_top(t, false, &call);

	if (call) {
		rewrite_call_routine(t, t->rw->pop);
		return;
	}
	emit_load(&t->e, HOST_R9, &from);
	emit_lea(&t->e, true, HOST_R8, &above);
}
