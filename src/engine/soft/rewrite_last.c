/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most instructions access the page that they accessed the last time. So in
 * user code each has an entry of struct x86_last, which holds a copy of the
 * TLB's entry for that page: a check against it needs no index, and nothing
 * in it waits for the address but the comparison. When the page is another,
 * a stub looks in the TLB and fills the entry.
 *
 * An access that changes pages all the time is better off with the TLB itself:
 * the stub is dear, and the host predicts it badly. So the stub counts, and
 * when it was called AWAY_COUNT times within AWAY_CYCLES each, the instruction
 * that called it last is marked as a wild one, and its block made anew. Who
 * calls often is met soon.
 */
#include "engine/soft/rewrite_impl.h"

#define AWAY_COUNT  256u
#define AWAY_CYCLES 128u

_Static_assert(X86_LAST_SIZE <= 256, "struct rewrite_last has a byte for it");

size_t rewrite_last_offset(unsigned int entry, bool write)
{
	return offsetof(struct x86_cpu, last) +
	       offsetof(struct x86_last, entry) +
	       (write * X86_LAST_SIZE + entry) * sizeof(struct x86_last_entry);
}

/* --- wild accesses ---------------------------------------------------------- */

static unsigned int wild_bit(uint64_t linear)
{
	return linear * 0x9e3779b97f4a7c15u >> 40 & (REWRITE_WILD - 1);
}

static bool is_wild(const struct rewriter *rw, uint64_t linear)
{
	unsigned int bit = wild_bit(linear);

	return rw->wild[bit / 64] >> (bit % 64) & 1;
}

static void set_wild(struct rewriter *rw, uint64_t linear)
{
	unsigned int bit = wild_bit(linear);

	rw->wild[bit / 64] |= (uint64_t)1 << (bit % 64);
}

bool rewrite_wants_last(const struct rewrite *t)
{
	const struct x86_insn *insn = rewrite_insn_at(t, t->index);

	return t->block->mode & X86_MODE_USER && t->pass != PASS_APART &&
	       !is_wild(t->rw, t->block->linear + insn->offset);
}

/* --- entries -------------------------------------------------------------- */

unsigned int rewrite_add_last(struct rewrite *t, bool write)
{
	uint32_t entry = t->rw->owners[write];

	for (unsigned int i = 0; i < t->last_count; i++)
		entry += t->last[i].write == write;
	entry %= X86_LAST_SIZE;
	bug_on(t->last_count == REWRITE_LASTS_MAX);
	t->last[t->last_count++] = (struct rewrite_last){
		.entry = (uint8_t)entry,
		.offset = rewrite_insn_at(t, t->index)->offset,
		.write = write,
	};
	return entry;
}

void rewrite_own_lasts(struct rewrite *t)
{
	for (unsigned int i = 0; i < t->last_count; i++) {
		const struct rewrite_last *last = &t->last[i];

		t->rw->owner[last->write][last->entry] =
			(struct rewrite_owner){ t->block, last->offset };
		t->rw->owners[last->write]++;
	}
}

void rewrite_forget_lasts(struct rewriter *rw, struct x86_cpu *cpu)
{
	memset(rw->owner, 0, sizeof(rw->owner));
	memset(rw->wild, 0, sizeof(rw->wild));
	atomic_store(&cpu->fast.word[WORD_AWAY], AWAY_COUNT);
	atomic_store(&cpu->fast.word[WORD_TIRED], 0);
}

static uint64_t read_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

void rewrite_tired(struct rewriter *rw, struct x86_cpu *cpu)
{
	uint64_t at = atomic_load_explicit(&cpu->fast.word[WORD_TIRED],
					   memory_order_relaxed);
	uint64_t now, before = rw->tired_at;
	struct rewrite_owner owner;
	size_t entry;

	if (!at)
		return;
	now = rw->tired_at = read_tsc();
	atomic_store(&cpu->fast.word[WORD_TIRED], 0);
	entry = (at - rewrite_last_offset(0, false)) /
		sizeof(struct x86_last_entry);
	owner = rw->owner[entry / X86_LAST_SIZE][entry % X86_LAST_SIZE];
	if (now - before > AWAY_COUNT * AWAY_CYCLES || !owner.block)
		return;
	set_wild(rw, owner.block->linear + owner.offset);
	rewrite_renew(rw, cpu, owner.block);
}

/* --- host code ------------------------------------------------------------ */

void rewrite_find(struct rewrite *t, const struct rewrite_out *out)
{
	if (!out->again)
		return;
	if (out->rotated)
		emit_rorx(&t->e, HOST_R9, HOST_R9, 64u - out->rotated);
	emit_const(&t->e, HOST_R10, rewrite_last_offset(out->last, out->write));
	emit_call(&t->e, t->rw->find[out->write]);
	emit_jcc(&t->e, 4, /* e */
		 (uint64_t)((intptr_t)out->again + t->e.to_exec));
}

static struct emit_mem entry_at(size_t offset)
{
	return (struct emit_mem){ .base = HOST_R10, .index = HOST_NONE,
				  .gs = true, .disp = (int32_t)offset };
}

static struct emit_mem table_at(bool write, size_t offset)
{
	size_t table = offsetof(struct x86_cpu, tlbs) +
		       X86_TLB_USER * sizeof(struct x86_tlb) +
		       (write ? X86_TLB_WRITE : X86_TLB_READ) *
			       sizeof(struct x86_tlb_table) +
		       offsetof(struct x86_tlb_table, entry);

	return emit_gs_index(HOST_RAX, 0, table + offset);
}

/* One more, of entry r10. */
static void put_count(struct emit *e)
{
	static const uint8_t zero[2] = { WORD_KEY, WORD_POLL };
	const struct emit_mem away = rewrite_word(WORD_AWAY);
	const struct emit_mem tired = rewrite_word(WORD_TIRED);
	uint8_t *more;

	emit_rm_mem(e, 0, false, 0xff, 1, &away); /* dec */
	more = emit_jcc(e, 5, 0);
	emit_store(e, HOST_R10, &tired);
	emit_rm_mem(e, 0, true, 0xc7, 0, &away); /* mov */
	emit_32(e, AWAY_COUNT);
	/* As rewrite_ask() does. */
	for (unsigned int i = 0; i < 2; i++) {
		const struct emit_mem word = rewrite_word(zero[i]);

		emit_rm_mem(e, 0, true, 0xc7, 0, &word);
		emit_32(e, 0);
	}
	emit_land_32(e, more);
}

/* From the TLB's entry at rax, whose tag is in rcx, to that at r10. */
static void put_copy(struct emit *e, bool write)
{
	const struct emit_mem tag =
		entry_at(offsetof(struct x86_last_entry, tag));
	const struct emit_mem addend =
		entry_at(offsetof(struct x86_last_entry, addend));
	const struct emit_mem page =
		entry_at(offsetof(struct x86_last_entry, page));
	const struct emit_mem from =
		table_at(write, offsetof(struct x86_tlb_entry, addend));
	const struct emit_mem used = emit_gs(offsetof(struct x86_cpu, last) +
					     offsetof(struct x86_last, used));

	emit_store(e, HOST_RCX, &tag);
	emit_load(e, HOST_RAX, &from);
	emit_store(e, HOST_RAX, &addend);
	emit_rm_reg(e, 0, true, false, 0x2b, HOST_RAX, HOST_RCX); /* sub */
	emit_store(e, HOST_RAX, &page);
	emit_rm_mem(e, 0, false, 0xc6, 0, &used); /* mov */
	emit_8(e, 1);
}

/* When the entry has the page already the access straddles, or must be
 * aligned. */
static uint64_t stub_find(struct emit *e, bool write)
{
	const struct emit_mem rax = rewrite_word(WORD_RAX);
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem tag =
		entry_at(offsetof(struct x86_last_entry, tag));
	const struct emit_mem from =
		table_at(write, offsetof(struct x86_tlb_entry, tag));
	uint64_t here = emit_here(e);
	uint8_t *other, *same;

	emit_store(e, HOST_RAX, &rax);
	emit_store(e, HOST_RCX, &rcx);
	emit_rm_mem(e, 0, true, 0x2b, HOST_R9, &tag); /* sub */
	emit_rorx(e, HOST_RAX, HOST_R9, REWRITE_TLB_ROTATE);
	emit_rm_reg(e, 0, false, false, 0x81, 4, HOST_RAX); /* and */
	emit_32(e, REWRITE_TLB_MASK);
	emit_load(e, HOST_RCX, &from);
	emit_rm_reg(e, 0, true, false, 0x03, HOST_R9, HOST_RCX); /* add */
	emit_rm_reg(e, 0, true, false, 0x81, 7, HOST_R9); /* cmp */
	emit_32(e, PAGE_SIZE);
	other = emit_jcc(e, 3, 0); /* ae */
	emit_rm_mem(e, 0, true, 0x3b, HOST_RCX, &tag); /* cmp */
	same = emit_jcc(e, 4, 0);
	put_count(e);
	put_copy(e, write);
	emit_rm_reg(e, 0, true, false, 0x2b, HOST_R9, HOST_RCX); /* sub */
	emit_load(e, HOST_RAX, &rax);
	emit_load(e, HOST_RCX, &rcx);
	emit_rm_reg(e, 0, true, false, 0x3b, HOST_R9, HOST_R9); /* cmp */
	emit_8(e, 0xc3);
	emit_land_32(e, same);
	emit_land_32(e, other);
	emit_load(e, HOST_RAX, &rax);
	emit_load(e, HOST_RCX, &rcx);
	emit_rm_reg(e, 0, true, false, 0x83, 1, HOST_R9); /* or r9, 1 */
	emit_8(e, 1);
	emit_8(e, 0xc3);
	return here;
}

void rewrite_stub_find(struct rewriter *rw, struct emit *e)
{
	rw->find[false] = stub_find(e, false);
	rw->find[true] = stub_find(e, true);
}
