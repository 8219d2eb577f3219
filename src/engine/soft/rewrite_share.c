/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which memory operands of a block share one check of the TLB: those at
 * constant distances from each other, because they name the same registers
 * and these change by constants only in between (PUSH, POP, ADD of an
 * immediate ...). The first one checks the whole range for all; its host
 * address is kept in r11 or in a word of x86_cpu.fast.
 *
 * rewrite_block() emits a block once to note its accesses, asks here, and
 * emits it anew. When the check fails (a TLB miss, or a range over two pages),
 * and behind an instruction that was interpreted, which may have changed the
 * TLB, the interpreter executes what shares; or, in blocks where that is
 * often, it stands behind the block a second time, each access with a check
 * of its own.
 */
#include "engine/soft/rewrite_impl.h"

/* Bytes that a range has at most: the larger, the more often it straddles. */
#define RANGE_MAX 512

/* Displacements beyond are not worth the thought about overflow. */
#define DISP_MAX ((int64_t)3 << 29)

#define SHARES_TRIED 32

/* Accesses in the making of a share. */
struct trial {
	const struct rewrite_access *key;
	int64_t moved; /* the base since the first */
	int64_t low, high;
	struct rewrite_share share;
	bool open;
};

struct search {
	struct rewrite *t;
	struct trial trial[SHARES_TRIED];
	unsigned int count;
};

/* --- registers -------------------------------------------------------------- */

static uint32_t bit(unsigned int reg)
{
	return 1u << (reg & 15);
}

/* AH ... BH are part of RAX ... RBX. */
static uint32_t byte_bits(const struct x86_insn *insn, unsigned int reg)
{
	bool high = insn->opsize == 1 && !(insn->prefix & X86_PFX_REX);

	return high && reg < 8 ? bit(reg) | bit(reg & 3) : bit(reg);
}

static uint32_t written_modrm(const struct x86_insn *insn)
{
	unsigned int use = rewrite_modrm_use(insn), op = insn->opcode;
	bool one = insn->map == X86_MAP_ONE;
	uint32_t mask = 0;

	if (use & MODRM_WRITES_REG)
		mask |= byte_bits(insn, insn->reg);
	if ((use & MODRM_WRITES_RM) && !insn->mem)
		mask |= byte_bits(insn, insn->rm);
	if (one && (op == 0xf6 || op == 0xf7)) /* MUL, IMUL */
		mask |= bit(X86_RAX) | bit(X86_RDX);
	if (!one && (op == 0xb0 || op == 0xb1)) /* CMPXCHG */
		mask |= bit(X86_RAX);
	if (!one && op == 0xc7) /* CMPXCHG16B */
		mask |= bit(X86_RAX) | bit(X86_RDX);
	return mask;
}

/* The accumulator's own forms. */
static uint32_t written_plain(unsigned int op)
{
	switch (op) {
	case 0x3c ... 0x3d: /* CMP */
	case 0x9e:	    /* SAHF */
	case 0xa8 ... 0xa9: /* TEST */
	case 0xf5:	    /* CMC, CLC, STC */
	case 0xf8 ... 0xf9:
		return 0;
	case 0x99: /* CWD, CDQ, CQO */
		return bit(X86_RDX);
	default:
		return bit(X86_RAX);
	}
}

/* General registers that an instruction may change; all, when unknown. */
static uint32_t written(const struct x86_insn *insn,
			const struct rewrite_class *class)
{
	switch (class->kind) {
	case REWRITE_RM:
		return written_modrm(insn);
	case REWRITE_PLAIN:
		return written_plain(insn->opcode);
	case REWRITE_DIVIDE:
		return bit(X86_RAX) | bit(X86_RDX);
	case REWRITE_OPCODE_REG:
		return byte_bits(insn, insn->rm);
	case REWRITE_EXCHANGE:
		return bit(insn->rm) | bit(X86_RAX);
	case REWRITE_LEA:
		return bit(insn->reg);
	case REWRITE_NOP:
	case REWRITE_VZERO:
	case REWRITE_JCC: /* in the middle: not taken */
		return 0;
	case REWRITE_PUSH:
	case REWRITE_PUSH_IMM:
	case REWRITE_PUSH_MEM:
	case REWRITE_PUSH_RM:
		return bit(X86_RSP);
	case REWRITE_POP:
		return bit(X86_RSP) | bit(insn->rm);
	case REWRITE_LEAVE:
		return bit(X86_RSP) | bit(X86_RBP);
	case REWRITE_INC_DEC:
		return bit(insn->rm);
	case REWRITE_OFFSET:
		return bit(X86_RAX);
	case REWRITE_VECTOR:
		return rewrite_vector_written(insn);
	default:
		return UINT32_MAX;
	}
}

/* ADD, SUB, INC and DEC of a whole register, as addresses go. */
static bool adds_constant(const struct x86_insn *insn, unsigned int whole,
			  int64_t *by)
{
	unsigned int op = insn->modrm >> 3 & 7;

	if (insn->mem || insn->opsize != whole || insn->map != X86_MAP_ONE)
		return false;
	switch (insn->opcode) {
	case 0x05:
	case 0x2d:
		*by = insn->opcode == 0x05 ? (int64_t)insn->imm :
					     -(int64_t)insn->imm;
		return true;
	case 0x81:
	case 0x83:
		*by = op == 0 ? (int64_t)insn->imm : -(int64_t)insn->imm;
		return op == 0 || op == 5;
	case 0xff:
		*by = op == 0 ? 1 : -1;
		return op < 2;
	default:
		return false;
	}
}

/* True when the instruction, which writes `reg`, adds a constant to it. */
static bool moves(const struct rewrite *t, const struct x86_insn *insn,
		  const struct rewrite_class *class, unsigned int reg,
		  int64_t *by)
{
	unsigned int whole = rewrite_narrow(t) ? 4 : 8;
	unsigned int slot = rewrite_narrow(t) ? insn->opsize : 8;
	/* SP wraps where no address of 32 bits does. */
	bool pushes = whole == 8 || t->block->mode & X86_MODE_STACK32;

	switch (class->kind) {
	case REWRITE_PUSH:
	case REWRITE_PUSH_IMM:
	case REWRITE_PUSH_MEM:
	case REWRITE_PUSH_RM:
		*by = -(int64_t)slot;
		return pushes;
	case REWRITE_POP:
		*by = slot;
		return pushes && insn->rm != reg;
	case REWRITE_LEA:
		*by = insn->disp;
		return insn->base == reg && insn->index == X86_NO_REG &&
		       insn->adsize == whole && insn->opsize == whole;
	case REWRITE_RM:
	case REWRITE_PLAIN:
		return adds_constant(insn, whole, by);
	case REWRITE_INC_DEC:
		*by = insn->opcode < 0x48 ? 1 : -1;
		return insn->opsize == whole;
	default:
		return false;
	}
}

/* --- shares ----------------------------------------------------------------- */

static bool same_registers(const struct rewrite_access *a,
			   const struct rewrite_access *b)
{
	return a->base == b->base && a->index == b->index && a->seg == b->seg &&
	       (a->scale == b->scale || a->index == X86_NO_REG);
}

/*
 * Takes the access into the trial if the range stays small and operands that
 * must be aligned agree where: the range begins at such a place.
 */
static bool join(struct trial *s, const struct rewrite_access *a, int64_t at)
{
	unsigned int align = a->align > s->share.align ? a->align :
							 s->share.align;
	int64_t low = at < s->low ? at : s->low;
	int64_t high = at + a->size > s->high ? at + a->size : s->high;
	int64_t place = s->share.align > 1 ? s->low : at;

	if (align > 1) {
		if (a->align > 1 && s->share.align > 1 &&
		    (at - s->low) % (int64_t)a->align)
			return false;
		/* Down and up to whole multiples. */
		low -= (low - place) & (align - 1);
		high += (low - high) & (align - 1);
	}
	if (high - low > RANGE_MAX)
		return false;
	if (a->align > s->share.align && s->share.align > 1)
		return false;
	s->share.align = (uint8_t)align;
	s->low = low;
	s->high = high;
	return true;
}

/* Addresses of 32 bits, too, are at constant distances, all modulo 4 GiB. */
static bool shareable(const struct rewrite *t, const struct rewrite_access *a)
{
	bool flat = a->adsize == 8 ||
		    (a->adsize == 4 && !a->seg &&
		     t->block->mode & X86_MODE_FLAT);

	return flat && ((a->base == X86_NO_REG && a->index == X86_NO_REG) ||
			   (a->disp < DISP_MAX && a->disp > -DISP_MAX));
}

/* Finds a share for the access, or begins one. */
static void place(struct search *x, struct rewrite_access *a)
{
	struct trial *s;
	int64_t at;

	if (!shareable(x->t, a))
		return;
	for (unsigned int i = 0; i < x->count; i++) {
		s = &x->trial[i];
		at = a->disp - s->key->disp + s->moved;
		if (!s->open || !same_registers(s->key, a) || !join(s, a, at))
			continue;
		a->share = (int8_t)i;
		a->at = (int32_t)at;
		s->share.last = (uint8_t)x->t->index;
		s->share.members++;
		s->share.write |= a->write;
		return;
	}
	if (x->count == SHARES_TRIED)
		return;
	a->share = (int8_t)x->count;
	a->at = 0;
	s = &x->trial[x->count++];
	*s = (struct trial){
		.key = a,
		.open = true,
		.high = a->size,
		.share = {
			.first = (uint8_t)x->t->index,
			.last = (uint8_t)x->t->index,
			.members = 1,
			.align = a->align,
			.write = a->write,
		},
	};
}

/* What the instruction, which writes `mask`, does to one of the registers that
 * the trial hangs on. */
static void move(const struct rewrite *t, struct trial *s,
		 const struct x86_insn *insn, const struct rewrite_class *class,
		 uint32_t mask, unsigned int reg, unsigned int scale)
{
	int64_t by;

	if (!s->open || reg == X86_NO_REG || !(mask & bit(reg)))
		return;
	s->open = moves(t, insn, class, reg, &by) && by < DISP_MAX &&
		  by > -DISP_MAX;
	if (s->open)
		s->moved += by * (1 << scale);
}

/* What the instruction does to the registers that open shares hang on. */
static void follow(struct search *x, const struct x86_insn *insn,
		   const struct rewrite_class *class)
{
	uint32_t mask = written(insn, class);

	for (unsigned int i = 0; i < x->count; i++) {
		struct trial *s = &x->trial[i];
		const struct rewrite_access *a = s->key;

		if (mask == UINT32_MAX)
			s->open = false;
		move(x->t, s, insn, class, mask, a->base, 0);
		move(x->t, s, insn, class, mask, a->index, a->scale);
	}
}

static bool overlap(const struct rewrite_share *a,
		    const struct rewrite_share *b)
{
	return a->first <= b->last && b->first <= a->last;
}

/* Gives the share a place for its host address, beside those chosen. */
static bool give_place(struct rewrite *t, struct rewrite_share *s)
{
	for (s->place = 0; s->place <= REWRITE_SHARE_WORDS; s->place++) {
		bool is_free = true;

		for (unsigned int i = 0; i < t->share_count; i++)
			is_free &= t->share[i].place != s->place ||
				   !overlap(&t->share[i], s);
		if (is_free)
			return true;
	}
	return false;
}

/* Chooses the shares with most members; gives the accesses their numbers. */
static void choose(struct search *x)
{
	struct rewrite *t = x->t;
	int8_t number[SHARES_TRIED];

	memset(number, -1, sizeof(number));
	while (t->share_count < REWRITE_SHARES_MAX) {
		struct trial *best = NULL;

		for (unsigned int i = 0; i < x->count; i++) {
			struct trial *s = &x->trial[i];

			if (number[i] < 0 && s->share.members > 1 &&
			    s->share.last > s->share.first &&
			    (!best || s->share.members > best->share.members))
				best = s;
		}
		if (!best)
			break;
		best->share.low = (int32_t)best->low;
		best->share.size = (uint32_t)(best->high - best->low);
		if (give_place(t, &best->share)) {
			number[best - x->trial] = (int8_t)t->share_count;
			t->share[t->share_count++] = best->share;
		}
		best->share.members = 0;
	}
	for (unsigned int i = 0; i < rewrite_count(t); i++)
		for (unsigned int n = 0; n < t->access_count[i]; n++) {
			struct rewrite_access *a = &t->access[i][n];

			if (a->share >= 0)
				a->share = number[a->share];
		}
}

bool rewrite_share(struct rewrite *t, const struct rewrite_class *class)
{
	struct search x = { .t = t };

	for (t->index = 0; t->index < rewrite_count(t); t->index++) {
		unsigned int i = t->index;

		/* Making registers live takes all of r9-r11. */
		for (unsigned int n = 0; n < x.count && t->asks[i]; n++)
			x.trial[n].open = false;
		for (unsigned int n = 0;
		     n < t->access_count[i] && !t->asks[i]; n++)
			place(&x, &t->access[i][n]);
		follow(&x, rewrite_insn_at(t, i),
		       &class[rewrite_in_block(t, i)]);
	}
	choose(&x);
	return t->share_count;
}

bool rewrite_shares_at(const struct rewrite *t, unsigned int index)
{
	for (unsigned int i = 0; i < t->share_count; i++)
		if (t->share[i].first <= index && index <= t->share[i].last)
			return true;
	return false;
}

bool rewrite_shares_beyond(const struct rewrite *t, unsigned int index)
{
	for (unsigned int i = 0; i < t->share_count; i++)
		if (t->share[i].first <= index && index < t->share[i].last)
			return true;
	return false;
}
