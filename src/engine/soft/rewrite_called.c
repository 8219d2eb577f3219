/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of memory operands by calls. Most of a kernel's code runs a few
 * thousand times and no more; a check of 45 to 65 bytes in line is wasted on
 * it. So supervisor blocks begin with calls of routines, one for each size and
 * kind of access. On a TLB miss these go on as if the block had called
 * `event`: where that returns to is the row of the instruction.
 *
 * The routines count. Every so many calls the block that called last is made
 * anew with its checks in line, and who runs often is met soon. While blocks are
 * rewritten, as when a kernel starts, most of what calls will not run for long:
 * then it takes HOT_COUNT calls. As long as no other block was, it takes half as
 * many each time: a guest that does the same over and over has it in line within
 * some milliseconds.
 */
#include "engine/soft/rewrite_impl.h"

#define HOT_COUNT     65536u
#define HOT_COUNT_MIN 512u

/* Modes whose blocks do not call. */
#define OTHERS (X86_MODE_USER | X86_MODE_SUPER_AC)

/* The size that check number `n` is for, and the other way round. */
static unsigned int size_of(unsigned int n)
{
	return n < 8 ? n + 1 : (n - 6) * 8;
}

static unsigned int number_of(unsigned int size)
{
	return size <= 8 ? size - 1 : (size + 7) / 8 + 6;
}

/* --- hot blocks ------------------------------------------------------------- */

static unsigned int hot_bit(const struct block *block)
{
	return block->linear * 0x9e3779b97f4a7c15u >> 40 & (REWRITE_HOT - 1);
}

static bool is_hot(const struct rewriter *rw, const struct block *block)
{
	unsigned int bit = hot_bit(block);

	return rw->hot[bit / 64] >> (bit % 64) & 1;
}

/* Others than supervisor blocks do not begin with calls. */
bool rewrite_is_hot(const struct rewrite *t)
{
	return t->block->mode & OTHERS ||
	       is_hot(t->rw, t->block);
}

/* Until the next block is met: this one is hot already, or not. */
static void count_on(struct rewriter *rw, struct x86_cpu *cpu, bool already)
{
	/* The last one was made anew itself. */
	if (already || rw->blocks > rw->blocks_met + 1)
		rw->hot_count = HOT_COUNT;
	else if (rw->hot_count > HOT_COUNT_MIN)
		rw->hot_count /= 2;
	rw->blocks_met = rw->blocks;
	atomic_store(&cpu->fast.word[WORD_CHECKS], rw->hot_count);
}

void rewrite_heat_up(struct rewriter *rw, struct x86_cpu *cpu)
{
	uint64_t back = atomic_load_explicit(&cpu->fast.word[WORD_HOT],
					     memory_order_relaxed);
	struct block *block;
	unsigned int bit;

	if (!back)
		return;
	atomic_store(&cpu->fast.word[WORD_HOT], 0);
	block = rewrite_called_by(cpu, back);
	count_on(rw, cpu, is_hot(rw, block));
	if (is_hot(rw, block))
		return;
	bit = hot_bit(block);
	rw->hot[bit / 64] |= (uint64_t)1 << (bit % 64);
	rewrite_renew(rw, cpu, block);
}

void rewrite_count_anew(struct rewriter *rw, struct x86_cpu *cpu)
{
	rw->hot_count = HOT_COUNT;
	atomic_store(&cpu->fast.word[WORD_CHECKS], HOT_COUNT);
	atomic_store(&cpu->fast.word[WORD_HOT], 0);
}

/* --- in blocks -------------------------------------------------------------- */

bool rewrite_wants_call(const struct rewrite *t, unsigned int align)
{
	if (t->block->mode & OTHERS || align > 1)
		return false;
	/* What stands behind the block once more is seldom run, and jumped to
	 * from the block. */
	return t->pass == PASS_APART ||
	       (!rewrite_is_hot(t) && t->turns == 1 &&
		!rewrite_wants_apart(t->rw, t->block));
}

void rewrite_call_routine(struct rewrite *t, uint64_t routine)
{
	emit_call(&t->e, routine);
	t->e.touched |= 1u << HOST_R9 | 1u << HOST_R10;
	rewrite_miss(t, NULL, HOST_RCX)->back = t->e.p;
}

void rewrite_call_check(struct rewrite *t, unsigned int size, bool write)
{
	unsigned int n = number_of(size);

	rewrite_call_routine(t, t->rw->check[t->flags_live][write][n]);
}

/* --- routines --------------------------------------------------------------- */

static struct emit_mem entry(unsigned int scale, bool write, size_t offset)
{
	size_t table = offsetof(struct x86_cpu, tlbs) +
		       X86_TLB_SUPER * sizeof(struct x86_tlb) +
		       (write ? X86_TLB_WRITE : X86_TLB_READ) *
			       sizeof(struct x86_tlb_table) +
		       offsetof(struct x86_tlb_table, entry);

	return emit_gs_index(HOST_R10, scale, table + offset);
}

/* Called by a routine: notes who called that. */
static uint64_t stub_note(struct emit *e)
{
	static const uint8_t zero[2] = { WORD_KEY, WORD_POLL };
	const struct emit_mem checks = rewrite_word(WORD_CHECKS);
	const struct emit_mem hot = rewrite_word(WORD_HOT);
	const struct emit_mem back = emit_at(HOST_RSP, 8);
	uint64_t here = emit_here(e);

	emit_load(e, HOST_R10, &back);
	emit_store(e, HOST_R10, &hot);
	emit_rm_mem(e, 0, true, 0xc7, 0, &checks); /* mov */
	emit_32(e, HOT_COUNT);
	/* As rewrite_ask() does. */
	for (unsigned int i = 0; i < 2; i++) {
		const struct emit_mem word = rewrite_word(zero[i]);

		emit_rm_mem(e, 0, true, 0xc7, 0, &word);
		emit_32(e, 0);
	}
	emit_8(e, 0xc3);
	return here;
}

static void put_with_flags(const struct rewriter *rw, struct emit *e,
			   uint64_t note, unsigned int size, bool write)
{
	const struct emit_mem checks = rewrite_word(WORD_CHECKS);
	const struct emit_mem tag =
		entry(0, write, offsetof(struct x86_tlb_entry, tag));
	const struct emit_mem addend =
		entry(0, write, offsetof(struct x86_tlb_entry, addend));
	const struct emit_mem sum = { .base = HOST_R9, .index = HOST_R10 };
	uint8_t *more;

	emit_rm_mem(e, 0, false, 0xff, 1, &checks); /* dec */
	more = emit_jcc(e, 5, 0);
	emit_call(e, note);
	emit_land_32(e, more);
	emit_rorx(e, HOST_R10, HOST_R9, REWRITE_TLB_ROTATE);
	emit_rm_reg(e, 0, false, false, 0x81, 4, HOST_R10); /* and */
	emit_32(e, REWRITE_TLB_MASK);
	emit_rm_mem(e, 0, true, 0x03, HOST_R9, &tag); /* add */
	emit_rm_reg(e, 0, true, false, 0x81, 7, HOST_R9); /* cmp */
	emit_32(e, PAGE_SIZE - size);
	emit_jcc(e, 7, rw->event); /* above */
	emit_rm_mem(e, 0, true, 0x2b, HOST_R9, &tag); /* sub */
	emit_load(e, HOST_R10, &addend);
	emit_lea(e, true, HOST_R10, &sum);
	emit_8(e, 0xc3);
}

/*
 * The index of the entry for `size` bytes at `at` into r10, without a change of
 * flags. Gives the jump for a hit; rcx is in WORD_RCX.
 */
static uint8_t *put_look_up(struct emit *e, const struct emit_mem *at,
			    unsigned int size, bool write)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem tag =
		entry(3, write, offsetof(struct x86_tlb_entry, tag));
	const struct emit_mem times2 = { .base = HOST_R10,
					 .index = HOST_R10 };
	const struct emit_mem last = { .base = HOST_RCX, .index = at->base,
				       .disp = at->disp + (int32_t)size - 1 };
	unsigned int address = at->base;

	emit_store(e, HOST_RCX, &rcx);
	if (at->disp) {
		address = HOST_R10;
		emit_lea(e, true, HOST_R10, at);
	}
	emit_pext_gs(e, HOST_R10, address, rewrite_word_offset(WORD_MASK_TLB));
	emit_lea(e, true, HOST_R10, &times2);
	emit_load(e, HOST_RCX, &tag);
	emit_lea(e, true, HOST_RCX, &last);
	emit_pext_gs(e, HOST_RCX, HOST_RCX,
		     rewrite_word_offset(WORD_MASK_PAGE));
	return emit_jrcxz(e);
}

/* Behind that: a miss; then a hit, with the addend in r10. */
static void put_found(const struct rewriter *rw, struct emit *e, uint8_t *hit,
		      bool write)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem addend =
		entry(3, write, offsetof(struct x86_tlb_entry, addend));

	emit_load(e, HOST_RCX, &rcx);
	emit_jmp(e, rw->event);
	emit_land_8(e, hit);
	emit_load(e, HOST_RCX, &rcx);
	emit_load(e, HOST_R10, &addend);
}

/* Does not count: the flags are the guest's. */
static void put_without_flags(const struct rewriter *rw, struct emit *e,
			      unsigned int size, bool write)
{
	const struct emit_mem at = emit_at(HOST_R9, 0);
	const struct emit_mem sum = { .base = HOST_R9, .index = HOST_R10 };

	put_found(rw, e, put_look_up(e, &at, size, write), write);
	emit_lea(e, true, HOST_R10, &sum);
	emit_8(e, 0xc3);
}

static void stub_push(struct rewriter *rw, struct emit *e)
{
	const struct emit_mem below = emit_at(HOST_R8, -8);
	const struct emit_mem to = { .base = HOST_R8, .index = HOST_R10,
				     .disp = -8 };

	rw->push = emit_here(e);
	put_found(rw, e, put_look_up(e, &below, 8, true), true);
	emit_store(e, HOST_R9, &to);
	emit_lea(e, true, HOST_R8, &below);
	emit_8(e, 0xc3);
}

static void stub_pop(struct rewriter *rw, struct emit *e)
{
	const struct emit_mem top = emit_at(HOST_R8, 0);
	const struct emit_mem above = emit_at(HOST_R8, 8);
	const struct emit_mem from = { .base = HOST_R8, .index = HOST_R10 };

	rw->pop = emit_here(e);
	put_found(rw, e, put_look_up(e, &top, 8, false), false);
	emit_load(e, HOST_R9, &from);
	emit_lea(e, true, HOST_R8, &above);
	emit_8(e, 0xc3);
}

/* Behind a guest's call: comes back when r10 is zero; else r9 is where the
 * guest returns to instead. */
static void stub_came_back(struct rewriter *rw, struct emit *e)
{
	uint8_t *same;

	rw->came_back = emit_here(e);
	emit_rm_reg(e, 0, true, false, 0x87, HOST_R10, HOST_RCX); /* xchg */
	same = emit_jrcxz(e);
	emit_jmp(e, rw->return_miss_r10);
	emit_land_8(e, same);
	emit_mov(e, HOST_RCX, HOST_R10);
	emit_8(e, 0xc3);
}

void rewrite_stub_checks(struct rewriter *rw, struct emit *e)
{
	uint64_t note = stub_note(e);

	rw->checks = emit_here(e);
	for (unsigned int write = 0; write < 2; write++)
		for (unsigned int n = 0; n < REWRITE_CHECK_SIZES; n++) {
			rw->check[false][write][n] = emit_here(e);
			put_with_flags(rw, e, note, size_of(n), write);
			rw->check[true][write][n] = emit_here(e);
			put_without_flags(rw, e, size_of(n), write);
		}
	stub_push(rw, e);
	stub_pop(rw, e);
	stub_came_back(rw, e);
	rw->checks_end = emit_here(e);
}
