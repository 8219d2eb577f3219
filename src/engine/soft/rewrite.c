/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewriting a block: what is live, instruction by instruction, then the ways
 * out. The rules that host code keeps are in rewrite.h.
 */
#include "engine/soft/rewrite_impl.h"

#include "engine/soft/soft.h"
#include "vm/error.h"
#include "x86/access.h"
#include "x86/event.h"
#include "x86/flags.h"
#include "x86/fpu.h"

/* Instructions looked at behind a jump for what happens to the flags. */
#define LOOK_AHEAD 24

/* CPUID leaf 7: PEXT and RORX. */
#define BMI2 (1u << 8)

int rewrite_init(struct rewriter *rw, struct x86_cpu *cpu, size_t code_size)
{
	_Atomic uint64_t *word = cpu->fast.word;
	struct emit e = { 0 };
	int err;

	if (!(cpuid_host(7, 0).ebx & BMI2))
		return -VM_ENOTSUP;
	if (code_size > REWRITE_PLACES)
		code_size = REWRITE_PLACES;
	err = host_code_create(&rw->code, code_size);
	if (!err)
		err = rewrite_links_open(rw);
	if (!err)
		err = rewrite_events_open(rw);
	if (!err)
		err = rewrite_again_open(rw);
	if (err) {
		rewrite_fini(rw);
		return err;
	}
	e.p = rw->code.write;
	e.end = e.p + code_size;
	e.to_exec = rw->code.exec - rw->code.write;
	host_random(rw->secret, sizeof(rw->secret));
	rw->wide = cpu->cpuid->avx512;
	rewrite_stubs(rw, &e);
	rw->stubs = rewrite_round((size_t)(e.p - rw->code.write));
	word[WORD_SELF] = (uintptr_t)cpu;
	word[WORD_MASK_TLB] = (uint64_t)(X86_TLB_SIZE - 1) << PAGE_SHIFT;
	word[WORD_MASK_PAGE] = PAGE_MASK;
	word[WORD_MASK_16] = PAGE_MASK | 15;
	word[WORD_MASK_32] = PAGE_MASK | 31;
	word[WORD_MASK_64] = PAGE_MASK | 63;
	word[WORD_MASK_JUMP] = JUMP_MASK;
	word[WORD_MASK_TSD] = X86_CR4_TSD;
	rw->rdtscp = cpu->cpuid->rdtscp;
	word[WORD_MXCSR] = FPU_MXCSR_INIT;
	rewrite_flush(rw, cpu);
	return 0;
}

void rewrite_fini(struct rewriter *rw)
{
	if (rw->code.write)
		host_code_destroy(&rw->code);
	rewrite_links_close(rw);
	rewrite_events_close(rw);
	rewrite_again_close(rw);
}

void rewrite_flush(struct rewriter *rw, struct x86_cpu *cpu)
{
	rewrite_events_flush(rw);
	rewrite_again_flush(rw);
	rw->used = rw->stubs;
	rewrite_forget_lasts(rw, cpu);
	rewrite_count_anew(rw, cpu);
	rewrite_unlink(rw, cpu);
}

/* --- flags ------------------------------------------------------------------ */

static struct rewrite_class classify(const struct block *block,
				     const struct x86_insn *insn)
{
	struct rewrite_class class = rewrite_classify(insn, block->mode);

	return class.kind == REWRITE_NOT ? rewrite_vector_class(block, insn) :
					   class;
}

/*
 * Which arithmetic flags code at `rip` may read before it replaces them;
 * all, when that cannot be told from this page.
 */
static uint32_t needed_at(const struct rewrite *t, const uint8_t *page,
			  uint64_t rip)
{
	uint32_t open = X86_FLAGS_ARITH, needed = 0;
	struct x86_insn insn;

	for (unsigned int i = 0; i < LOOK_AHEAD && open; i++) {
		uint64_t linear = rewrite_linear(t, rip);
		unsigned int offset = (unsigned int)(linear & 0xfff);
		struct rewrite_class class;

		if ((linear ^ t->block->linear) & PAGE_MASK ||
		    x86_decode(&insn, page + offset, PAGE_SIZE - offset,
			       t->block->mode) <= 0 ||
		    !rewrite_in_segment(t, rip + insn.length - 1))
			break;
		x86_bind(t->cpu, &insn);
		class = classify(t->block, &insn);
		needed |= class.flags_read & open;
		open &= ~(uint32_t)class.flags_killed;
		rip += insn.length;
		if (class.kind == REWRITE_JMP && !rewrite_narrow(t))
			rip += insn.imm;
		else if (class.kind >= REWRITE_JCC ||
			 class.kind == REWRITE_NOT)
			break;
	}
	return needed | open;
}

/* Flags needed behind the block's last instruction. */
static uint32_t needed_behind(const struct rewrite *t, const uint8_t *page,
			      const struct rewrite_class *last)
{
	const struct block *b = t->block;
	const struct x86_insn *insn = &b->insn[b->count - 1];
	uint64_t next = rewrite_next(t, insn);

	/* In a checked page other code may change unnoticed. */
	if (b->source)
		return X86_FLAGS_ARITH;
	switch (last->kind) {
	case REWRITE_JCC:
	case REWRITE_LOOP:
		return needed_at(t, page, next) |
		       needed_at(t, page, rewrite_target(t, insn));
	case REWRITE_JMP:
	case REWRITE_CALL:
		return needed_at(t, page, rewrite_target(t, insn));
	case REWRITE_RET:
	case REWRITE_JMP_RM:
	case REWRITE_CALL_RM:
	case REWRITE_NOT:
		return X86_FLAGS_ARITH;
	default:
		return needed_at(t, page, next);
	}
}

/* --- a block ------------------------------------------------------------------ */

struct rewrite_out *rewrite_miss(struct rewrite *t, uint8_t *at,
				 unsigned int rcx)
{
	struct rewrite_out *out = t->leading ? &t->lead[t->lead_count++] :
					       &t->miss[t->miss_count++];

	*out = (struct rewrite_out){
		.at = at,
		.rcx = (uint8_t)rcx,
		.index = (uint8_t)t->index,
		.apart = t->pass == PASS_APART ||
			 (t->pass == PASS_SHARED &&
			  rewrite_shares_beyond(t, t->index)),
	};
	return out;
}

/* The sets that are needed before C is called, if it is. */
static unsigned int needed_at_front(const struct block *block,
				    const struct rewrite_class *class)
{
	unsigned int needs = 0;

	for (unsigned int i = 0;
	     i < block->count && class[i].kind != REWRITE_NOT; i++)
		needs |= class[i].needs;
	return needs;
}

/* What scratch registers hold is known behind it. */
static bool keeps_holds(const struct rewrite_class *class)
{
	switch (class->kind) {
	case REWRITE_RM:
	case REWRITE_PLAIN:
	case REWRITE_OPCODE_REG:
	case REWRITE_EXCHANGE:
	case REWRITE_LEA:
	case REWRITE_NOP:
	case REWRITE_PUSH:
	case REWRITE_PUSH_IMM:
	case REWRITE_PUSH_MEM:
	case REWRITE_POP:
	case REWRITE_LEAVE:
	case REWRITE_JCC:
		return true;
	default:
		return false;
	}
}

static void put_insn(struct rewrite *t, struct rewrite_class *class,
		     const uint32_t *live)
{
	const struct x86_insn *insn = rewrite_insn_at(t, t->index);
	unsigned int misses = t->miss_count, loads = t->load_count;
	unsigned int slow = t->slow_count;
	unsigned int lasts = t->last_count;
	unsigned int in_block = rewrite_in_block(t, t->index);
	struct rewrite_class *c = &class[in_block];
	struct rewrite_slow *called;
	uint8_t *start;

	t->flags_live = live[in_block] != 0;
	t->access_now = 0;
	if (t->pass == PASS_APART || !keeps_holds(c))
		rewrite_hold_nothing(t);
	start = t->e.p;
	if (!rewrite_insn(t, insn, c) && !rewrite_branch(t, insn, c)) {
		t->e.p = start;
		t->miss_count = misses;
		t->load_count = loads;
		t->last_count = lasts;
		t->slow_count = slow;
		t->access_count[t->index] = 0;
		c->kind = REWRITE_NOT;
		t->rows |= (uint32_t)1 << in_block;
		called = rewrite_put_slow(t, t->index);
		called->behind = t->e.p;
		rewrite_parked(t);
	}
	/* Decoded once more, it would take another place in native.c. */
	if (c->kind == REWRITE_VECTOR)
		t->rows |= (uint32_t)1 << in_block;
	if (!keeps_holds(c))
		rewrite_hold_nothing(t);
	if (t->pass != PASS_APART)
		rewrite_note_holds(t);
	t->behind[t->pass == PASS_APART][t->index] = t->e.p;
	t->after[t->index] = t->live;
}

static void put_insns(struct rewrite *t, struct rewrite_class *class,
		      const uint32_t *live)
{
	rewrite_hold_nothing(t);
	for (t->index = 0; t->index < rewrite_count(t); t->index++)
		put_insn(t, class, live);
	t->index = rewrite_count(t) - 1;
}

/* The block's host code, where accesses share checks if they can. */
static void put_block(struct rewrite *t, struct rewrite_class *class,
		      const uint32_t *live)
{
	const struct rewrite_live front = t->live;
	unsigned int loads = t->load_count;
	uint8_t *start = t->e.p;

	memset(t->asks, 0, sizeof(t->asks));
	put_insns(t, class, live);
	if (!rewrite_share_turns(t, class))
		return;
	t->e.p = start;
	t->live = front;
	t->load_count = loads;
	t->miss_count = t->exit_count = t->last_count = 0;
	t->slow_count = 0;
	t->pass = PASS_SHARED;
	put_insns(t, class, live);
}

/* Puts rcx back into its place. */
static void restore_rcx(struct rewrite *t, const struct rewrite_out *out)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);

	if (out->rcx == HOST_NONE)
		emit_load(&t->e, HOST_RCX, &rcx);
	else
		emit_mov(&t->e, HOST_RCX, out->rcx);
}

/* Whatever the turn. */
static bool is_here(const struct rewrite *t, const struct rewrite_out *out)
{
	return rewrite_in_block(t, out->index) == t->index;
}

/* There is something to be done before it gets here. */
static bool goes_by_way(const struct rewrite_out *out)
{
	return out->rcx != HOST_RCX || out->again;
}

/* Lets the checks of shares that begin here lead here. */
static void land_leads(struct rewrite *t)
{
	for (unsigned int i = 0; i < t->lead_count; i++) {
		const struct rewrite_out *out = &t->lead[i];
		uint8_t *over;

		if (!is_here(t, out) || !goes_by_way(out))
			continue;
		over = emit_jmp(&t->e, 0);
		emit_land_32(&t->e, out->at);
		restore_rcx(t, out);
		rewrite_find(t, out);
		emit_land_32(&t->e, over);
	}
	for (unsigned int i = 0; i < t->lead_count; i++)
		if (is_here(t, &t->lead[i]) && !goes_by_way(&t->lead[i]))
			emit_land_32(&t->e, t->lead[i].at);
}

/* Behind the block: the instructions among which there are shares, each with
 * its own check. Of a loop that is one turn, which leads to its front. */
static void put_apart(struct rewrite *t, struct rewrite_class *class,
		      const uint32_t *live, struct rewrite_live front)
{
	t->pass = PASS_APART;
	for (unsigned int i = 0; i < t->block->count; i++) {
		if (t->turns == 1 && !rewrite_shares_at(t, i))
			continue;
		t->index = i;
		t->live = i ? t->after[i - 1] : front;
		land_leads(t);
		put_insn(t, class, live);
		if (t->turns > 1 || class[i].kind >= REWRITE_JCC ||
		    rewrite_shares_beyond(t, i))
			continue;
		rewrite_hold_again(t, i);
		emit_jmp(&t->e, (uint64_t)((intptr_t)t->behind[0][i] +
					   t->e.to_exec));
	}
}

/* The last instruction among those that share when this one does. */
static unsigned int last_beside(const struct rewrite *t, unsigned int index)
{
	while (rewrite_shares_beyond(t, index))
		index++;
	return index;
}

/* It leads elsewhere, whoever executes it. */
static bool leads_away(const struct x86_insn *insn)
{
	unsigned int op = insn->opcode, number = insn->modrm >> 3 & 7;

	return insn->map == X86_MAP_ONE &&
	       (op == 0xe8 || op == 0xc2 || op == 0xc3 ||
		(op == 0xff && (number == 2 || number == 4)));
}

/*
 * A call for a TLB miss and such. Behind it, what the host code of the last
 * instruction leaves live, or held, is loaded again. `all`: C code has all of those that
 * share, as the host code of the others relies on the check.
 */
static void put_miss(struct rewrite *t, const struct rewrite_out *miss,
		     bool all)
{
	bool apart = miss->apart && !all;
	unsigned int index = apart ? rewrite_in_block(t, miss->index) :
				     miss->index;
	unsigned int last = all ? last_beside(t, index) : index;
	const struct rewrite_live *after = &t->after[last];
	uint8_t *behind = t->behind[apart][last];
	bool holds = !apart && rewrite_holds_at(t, last);
	struct rewrite_slow *slow;

	if (miss->at) {
		emit_land_32(&t->e, miss->at);
		restore_rcx(t, miss);
		rewrite_find(t, miss);
		slow = rewrite_put_slow(t, index);
	} else {
		slow = rewrite_add_slow(t, index, miss->back);
	}
	slow->more = (uint8_t)(last - index);
	slow->behind = behind;
	if (leads_away(rewrite_insn_at(t, last))) {
		slow->behind = slow->back;
		return;
	}
	if (!after->sets && !after->placed && !holds)
		return;
	slow->behind = t->e.p;
	rewrite_load_again(t, last);
	if (holds)
		rewrite_hold_again(t, last);
	emit_jmp(&t->e, (uint64_t)((intptr_t)behind + t->e.to_exec));
}

static void put_misses(struct rewrite *t)
{
	for (unsigned int i = 0; i < t->miss_count; i++)
		put_miss(t, &t->miss[i], t->miss[i].apart && !t->apart);
	for (unsigned int i = 0; i < t->lead_count && !t->apart; i++)
		put_miss(t, &t->lead[i], true);
}

static bool ends_by_itself(const struct rewrite_class *last)
{
	return last->kind >= REWRITE_JCC || last->kind == REWRITE_NOT;
}

static bool is_indirect(const struct rewrite_class *class)
{
	return class->kind == REWRITE_RET || class->kind == REWRITE_JMP_RM ||
	       class->kind == REWRITE_CALL_RM;
}

static void begin(struct rewrite *t)
{
	t->e.p = t->rw->code.write + t->rw->used;
	t->e.end = t->rw->code.write + t->rw->code.size;
	t->e.to_exec = t->rw->code.exec - t->rw->code.write;
}

static void end(struct rewrite *t)
{
	struct rewriter *rw = t->rw;

	rewrite_events_mark(rw, rw->used);
	rw->bytes -= rw->used;
	rw->used = rewrite_round((size_t)(t->e.p - rw->code.write));
	rw->bytes += rw->used;
}

/* Flags needed before each instruction; gives those at the front. */
static uint32_t find_live(const struct rewrite *t, const uint8_t *page,
			  const struct rewrite_class *class, uint32_t *live)
{
	const struct block *block = t->block;
	uint32_t needed = needed_behind(t, page, &class[block->count - 1]);

	for (unsigned int i = block->count; i-- > 0;) {
		if (class[i].kind == REWRITE_JCC)
			needed |= needed_at(t, page, rewrite_target(
						     t, &block->insn[i]));
		needed = (needed & ~(uint32_t)class[i].flags_killed) |
			 class[i].flags_read;
		live[i] = needed;
	}
	/* Where other bytes are found instead, these may need other flags;
	 * and a debugger sees them all. */
	return block->source || t->cpu->debug ? X86_FLAGS_ARITH : needed;
}

/* All of a block's host code; gives its entry. */
static const uint8_t *put_all(struct rewrite *t, struct rewrite_class *class,
			      const uint8_t *page)
{
	struct block *block = t->block;
	const struct rewrite_class *end = &class[block->count - 1];
	const struct x86_insn *last = &block->insn[block->count - 1];
	uint32_t live[BLOCK_INSNS_MAX];
	struct rewrite_live front;
	const uint8_t *code;

	if (is_indirect(end))
		t->rows = (uint32_t)1 << (block->count - 1u);
	block->needs = (uint8_t)needed_at_front(block, class);
	code = rewrite_entries(t, find_live(t, page, class, live), end);
	front = t->live;
	if (block->source)
		rewrite_check_source(t);
	put_block(t, class, live);
	/* Behind a slow handler nothing is reached. */
	if (!ends_by_itself(end) ||
	    (end->kind == REWRITE_NOT && !x86_ends_block(last)))
		rewrite_go(t, rewrite_next(t, last));
	t->apart = t->turns > 1 || rewrite_wants_apart(t->rw, block);
	if (t->apart)
		put_apart(t, class, live, front);
	put_misses(t);
	rewrite_put_loads(t);
	rewrite_put_end(t);
	return code;
}

bool rewrite_block(struct rewriter *rw, struct x86_cpu *cpu,
		   struct block *block)
{
	struct rewrite t = { .rw = rw, .cpu = cpu, .block = block,
			     .turns = 1 };
	struct rewrite_class class[BLOCK_INSNS_MAX];
	struct soft_cpu *soft = cpu->engine;
	const uint8_t *page = memory_for_read(&cpu->vm->memory,
					      gpa(block->address & PAGE_MASK),
					      PAGE_SIZE);
	unsigned int sets = 0;
	const uint8_t *code;

	if (!page)
		return true; /* stays interpreted */
	if (rw->code.size - rw->used < REWRITE_CODE_MAX)
		return false;
	begin(&t);
	for (unsigned int i = 0; i < block->count; i++) {
		class[i] = classify(block, &block->insn[i]);
		sets |= class[i].needs;
	}
	code = put_all(&t, class, page);
	if (t.e.full)
		return false;
	if (t.unfit)
		return true;
	block->code = code + t.e.to_exec;
	rewrite_own_lasts(&t);
	/* What x87 instructions did is looked up in their rows. */
	block_thin(&soft->cache, block,
		   sets & REWRITE_X87 ? BLOCK_ROWS_ALL : t.rows);
	rw->blocks++;
	rw->insns += block->count;
	end(&t);
	return true;
}

void rewrite_renew(struct rewriter *rw, struct x86_cpu *cpu,
		   struct block *block)
{
	struct soft_cpu *soft = cpu->engine;

	if (block->away || !block_is_current(block))
		return;
	rewrite_lead_away(rw, block);
	block_drop(&soft->cache, block);
}

/* --- running ------------------------------------------------------------------ */

static void flags_in(struct x86_cpu *cpu)
{
	uint64_t f = x86_flags(cpu);

	atomic_store_explicit(&cpu->fast.word[WORD_FLAGS],
			      (f & 0xd5) << 8 | (f >> 11 & 1),
			      memory_order_relaxed);
}

void rewrite_flags_out(struct x86_cpu *cpu)
{
	uint64_t w = atomic_load_explicit(&cpu->fast.word[WORD_FLAGS],
					  memory_order_relaxed);

	x86_set_arith(cpu, (w >> 8 & 0xd5) | (w & 1) << 11);
}

bool rewrite_enter(struct rewriter *rw, struct x86_cpu *cpu,
		   struct block *block, uint64_t of)
{
	if (!rewrite_may_run(cpu, block))
		return false;
	rewrite_link_to(rw, cpu, block, of);
	flags_in(cpu);
	rw->segment = block->segment;
	return true;
}

enum x86_result rewrite_run(struct rewriter *rw, struct x86_cpu *cpu,
			    struct block *block, uint64_t of)
{
	enum x86_result r;

	if (!rewrite_enter(rw, cpu, block, of))
		return X86_NEXT;
	r = (enum x86_result)rw->enter(cpu, block->code);
	rewrite_flags_out(cpu);
	rewrite_tired(rw, cpu);
	rewrite_heat_up(rw, cpu);
	rewrite_x87_settle(rw, cpu, NULL, 0);
	if (rewrite_take_back(cpu))
		return x86_deliver_fault(cpu);
	return r;
}

static enum x86_result run_handler(struct x86_cpu *cpu, struct block *block,
				   const struct x86_insn *insn)
{
	struct soft_cpu *soft = cpu->engine;
	enum x86_result r;

	if (soft->profile)
		soft_profile_before(soft->profile);
	cpu->in_block = true;
	r = insn->handler(cpu, insn);
	cpu->in_block = false;
	if (soft->profile)
		soft_profile_after(soft->profile, block, insn, r);
	return r;
}

/* Sets state.rip to `offset` in the block. */
static void set_rip(struct x86_cpu *cpu, const struct block *block,
		    unsigned int offset)
{
	uint64_t rip = block->rip + offset;

	cpu->state.rip = block->mode & X86_MODE_CODE64 ? rip : (uint32_t)rip;
}

/* X86_NEXT: all were executed. */
static enum x86_result run_span(struct x86_cpu *cpu, struct block *block,
				const struct rewrite_span *span)
{
	struct soft_cpu *soft = cpu->engine;
	unsigned int offset = span->offset;

	for (unsigned int i = 0; i <= span->more; i++) {
		unsigned int index = span->index + i;
		const struct x86_insn *insn =
			rewrite_again(cpu, block, index, offset);
		enum x86_result r = X86_BRANCH;

		if (insn)
			r = run_handler(cpu, block, insn);
		else
			set_rip(cpu, block, offset);
		if (r == X86_FAULT)
			set_rip(cpu, block, offset);
		if (r != X86_NEXT)
			return r;
		offset += insn->length;
		/* It wrote to code, or what comes next is another block. */
		if (rewrite_asked(cpu) || !soft->cache.running ||
		    (span->more && index + 1u == block->count &&
		     x86_ends_block(insn))) {
			set_rip(cpu, block, offset);
			return X86_BRANCH;
		}
	}
	return X86_NEXT;
}

uintptr_t rewrite_interpret(struct x86_cpu *cpu, struct block *block,
			    const struct rewrite_span *span)
{
	struct soft_cpu *soft = cpu->engine;
	const uint8_t *code;
	enum x86_result r;

	rewrite_flags_out(cpu);
	rewrite_forget_branch(cpu);
	rewrite_x87_settle(&soft->rewriter, cpu, block, span->index);
	cpu->block_rip = block->rip;
	cpu->block_page = block->address >> PAGE_SHIFT;
	soft->cache.running = block;
	r = run_span(cpu, block, span);
	soft->cache.running = NULL;
	if (r == X86_FAULT) {
		x86_flags(cpu);
		r = soft_deliver(cpu);
	}
	if (r == X86_BRANCH && (code = soft_resume(soft)))
		return (uintptr_t)code;
	flags_in(cpu);
	return r;
}
