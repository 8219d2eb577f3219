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

/* Host code of one block at most; smaller room means that all is full. */
#define BLOCK_CODE_MAX 16384u

/* CPUID leaf 7: PEXT and RORX. */
#define BMI2 (1u << 8)

static void empty_table(struct x86_cpu *cpu, uint64_t leave)
{
	/* An entry that matches by accident leaves, which is always right. */
	for (unsigned int i = 0; i < X86_FAST_JUMPS; i++) {
		cpu->fast.from[i] = 0;
		cpu->fast.to[i] = leave;
	}
}

int rewrite_init(struct rewriter *rw, struct x86_cpu *cpu, size_t code_size)
{
	_Atomic uint64_t *word = cpu->fast.word;
	struct emit e = { 0 };
	int err;

	if (!(cpuid_host(7, 0).ebx & BMI2))
		return -VM_ENOTSUP;
	err = host_code_create(&rw->code, code_size);
	if (err)
		return err;
	e.p = rw->code.write;
	e.end = e.p + code_size;
	e.to_exec = rw->code.exec - rw->code.write;
	host_random(rw->secret, sizeof(rw->secret));
	rewrite_stubs(rw, &e);
	rw->stubs = (size_t)(e.p - rw->code.write);
	word[WORD_SELF] = (uintptr_t)cpu;
	word[WORD_MASK_TLB] = (uint64_t)(X86_TLB_SIZE - 1) << PAGE_SHIFT;
	word[WORD_MASK_PAGE] = PAGE_MASK;
	word[WORD_MASK_16] = PAGE_MASK | 15;
	word[WORD_MASK_32] = PAGE_MASK | 31;
	word[WORD_MASK_JUMP] = JUMP_MASK;
	rewrite_flush(rw, cpu);
	return 0;
}

void rewrite_fini(struct rewriter *rw)
{
	if (rw->code.write)
		host_code_destroy(&rw->code);
}

void rewrite_flush(struct rewriter *rw, struct x86_cpu *cpu)
{
	rw->used = rw->stubs;
	atomic_store(&cpu->fast.word[WORD_KEY], 0);
	rw->link_site = NULL;
	empty_table(cpu, rw->leave);
}

/* --- keys --------------------------------------------------------- */

/* SplitMix64's mixing, with secrets that the guest cannot know: a key that it
 * guessed would let it enter code of another mode. */
static uint64_t key_for(const struct rewriter *rw, uint64_t of)
{
	uint64_t z = of + rw->secret[0];

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = ((z ^ z >> 27) + rw->secret[1]) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) | 1;
}

void rewrite_set_key(struct rewriter *rw, struct x86_cpu *cpu, uint64_t of)
{
	_Atomic uint64_t *word = &cpu->fast.word[WORD_KEY];
	uint64_t key = key_for(rw, of);

	/* The store is a fence, and dear. */
	if (atomic_load_explicit(word, memory_order_acquire) != key)
		atomic_store(word, key);
}

/* --- flags ------------------------------------------------------------------ */

/* Flags that code at `linear` may need, as far as this page tells. */
static uint32_t needed_at(const struct rewrite *t, const uint8_t *page,
			  uint64_t linear)
{
	unsigned int offset = (unsigned int)(linear & 0xfff);

	if ((linear ^ t->block->linear) & PAGE_MASK)
		return X86_FLAGS_ARITH;
	return rewrite_flags_needed(page + offset, PAGE_SIZE - offset,
				    t->block->mode);
}

/* Flags needed behind the block's last instruction. */
static uint32_t needed_behind(const struct rewrite *t, const uint8_t *page,
			      const struct rewrite_class *last)
{
	const struct block *b = t->block;
	const struct x86_insn *insn = &b->insn[b->count - 1];
	uint64_t next = b->linear + b->bytes;

	switch (last->kind) {
	case REWRITE_JCC:
		return needed_at(t, page, next) |
		       needed_at(t, page, next + insn->imm);
	case REWRITE_JMP:
	case REWRITE_CALL:
		return needed_at(t, page, next + insn->imm);
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

void rewrite_miss(struct rewrite *t, uint8_t *at, bool rcx)
{
	t->miss[t->miss_count++] = (struct rewrite_out){
		.at = at,
		.rcx = rcx,
		.index = (uint8_t)t->index,
		.before = t->vectors,
	};
}

/* Has an instruction interpreted; host code goes on behind the call. */
static void call_interpreter(struct rewrite *t, unsigned int index)
{
	emit_const(&t->e, HOST_R10, index);
	emit_call(&t->e, t->interpret);
}

static void put_insns(struct rewrite *t, const struct rewrite_class *class,
		      const uint32_t *live)
{
	for (t->index = 0; t->index < t->block->count; t->index++) {
		const struct x86_insn *insn = &t->block->insn[t->index];
		unsigned int misses = t->miss_count;
		uint8_t *start;

		t->flags_live = live[t->index] != 0;
		if (class[t->index].kind >= REWRITE_JCC ||
		    class[t->index].kind == REWRITE_NOT)
			rewrite_vectors_forget(t);
		start = t->e.p;
		if (!rewrite_insn(t, insn, &class[t->index]) &&
		    !rewrite_branch(t, insn, &class[t->index])) {
			t->e.p = start;
			t->miss_count = misses;
			rewrite_vectors_forget(t);
			call_interpreter(t, t->index);
		}
		t->behind[t->index] = t->e.p;
		t->after[t->index] = t->vectors;
	}
	t->index = t->block->count - 1u;
}

/* The calls for TLB misses, and the exits that may be patched. */
static void put_ways_out(struct rewrite *t)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);

	for (unsigned int i = 0; i < t->miss_count; i++) {
		emit_land_32(&t->e, t->miss[i].at);
		if (t->miss[i].rcx)
			emit_load(&t->e, HOST_RCX, &rcx);
		rewrite_vectors_store(t, &t->miss[i].before);
		call_interpreter(t, t->miss[i].index);
		rewrite_vectors_load(t, &t->after[t->miss[i].index]);
		emit_jmp(&t->e, (uint64_t)((intptr_t)
			t->behind[t->miss[i].index] + t->e.to_exec));
	}
	for (unsigned int i = 0; i < t->exit_count; i++) {
		emit_land_32(&t->e, t->exit[i].at);
		emit_const(&t->e, HOST_R9, t->exit[i].target);
		emit_const(&t->e, HOST_R10,
			   (uint64_t)(uintptr_t)t->exit[i].at);
		emit_jmp(&t->e, t->rw->leave_link);
	}
}

static struct rewrite_class classify(const struct block *block,
				     const struct x86_insn *insn)
{
	struct rewrite_class class = rewrite_classify(insn, block->mode);

	return class.kind == REWRITE_NOT ? rewrite_vector_class(block, insn) :
					   class;
}

static bool ends_by_itself(const struct rewrite_class *last)
{
	return last->kind >= REWRITE_JCC || last->kind == REWRITE_NOT;
}

bool rewrite_block(struct rewriter *rw, struct x86_cpu *cpu,
		   struct block *block)
{
	struct rewrite_class class[BLOCK_INSNS_MAX];
	uint32_t live[BLOCK_INSNS_MAX], needed;
	struct rewrite t = { .rw = rw, .block = block };
	const uint8_t *page = memory_for_read(&cpu->vm->memory,
					      gpa(block->address & PAGE_MASK),
					      PAGE_SIZE);
	const struct x86_insn *last = &block->insn[block->count - 1];
	const uint8_t *code;

	t.e.p = rw->code.write + rw->used;
	t.e.end = rw->code.write + rw->code.size;
	t.e.to_exec = rw->code.exec - rw->code.write;
	if (!page)
		return true; /* stays interpreted */
	if (rw->code.size - rw->used < BLOCK_CODE_MAX)
		return false;
	/* In front of the block: its own way to the interpreter. */
	t.interpret = emit_here(&t.e);
	emit_const(&t.e, HOST_R9, (uint64_t)(uintptr_t)block);
	emit_jmp(&t.e, rw->interpret);
	code = t.e.p;
	for (unsigned int i = 0; i < block->count; i++)
		class[i] = classify(block, &block->insn[i]);
	needed = needed_behind(&t, page, &class[block->count - 1]);
	for (unsigned int i = block->count; i-- > 0;) {
		needed = (needed & ~(uint32_t)class[i].flags_killed) |
			 class[i].flags_read;
		live[i] = needed;
	}
	put_insns(&t, class, live);
	/* Behind a slow handler nothing is reached. */
	if (!ends_by_itself(&class[block->count - 1]) ||
	    (class[block->count - 1].kind == REWRITE_NOT &&
	     !x86_ends_block(last))) {
		rewrite_vectors_forget(&t);
		rewrite_go(&t, block->linear + block->bytes);
	}
	put_ways_out(&t);
	if (t.e.full)
		return false;
	block->code = code + t.e.to_exec;
	rw->blocks++;
	rw->insns += block->count;
	rw->bytes += (uint64_t)(t.e.p - (rw->code.write + rw->used));
	rw->used = ((size_t)(t.e.p - rw->code.write) + 15) & ~(size_t)15;
	return true;
}

/* --- running ------------------------------------------------------------------ */

static void flags_in(struct x86_cpu *cpu)
{
	uint64_t f = x86_flags(cpu);

	atomic_store_explicit(&cpu->fast.word[WORD_FLAGS],
			      (f & 0xd5) << 8 | (f >> 11 & 1),
			      memory_order_relaxed);
}

static void flags_out(struct x86_cpu *cpu)
{
	uint64_t w = atomic_load_explicit(&cpu->fast.word[WORD_FLAGS],
					  memory_order_relaxed);

	x86_set_arith(cpu, (w >> 8 & 0xd5) | (w & 1) << 11);
}

/*
 * The guest's MXCSR into the host's. False when an exception is unmasked: it
 * would strike the host.
 */
static bool mxcsr_in(const struct x86_cpu *cpu)
{
	uint32_t mxcsr = fpu_get32(&cpu->state, FPU_MXCSR);

	if ((mxcsr & FPU_MXCSR_MASKS) != FPU_MXCSR_MASKS)
		return false;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	return true;
}

/* Keeps the exception flags that host code raised; C code gets its own. */
static void mxcsr_out(struct x86_cpu *cpu)
{
	uint32_t mxcsr = fpu_get32(&cpu->state, FPU_MXCSR), now;
	const uint32_t host = FPU_MXCSR_MASKS;

	__asm__ volatile("stmxcsr %0" : "=m"(now));
	fpu_set32(&cpu->state, FPU_MXCSR, mxcsr | (now & FPU_EXCEPT));
	__asm__ volatile("ldmxcsr %0" : : "m"(host));
}

/* Enters the block in the jump table, where look-ups find it. */
static void enter_table(struct x86_cpu *cpu, const struct block *block)
{
	uint64_t slot = (block->linear & JUMP_MASK) >> 1;
	uint64_t key = atomic_load_explicit(&cpu->fast.word[WORD_KEY],
					    memory_order_relaxed);

	if (!key)
		return;
	cpu->fast.from[slot] = 0 - (block->linear + key);
	cpu->fast.to[slot] = (uint64_t)(uintptr_t)block->code;
}

/*
 * Patches the jump by which host code was left last, when this block is
 * where it led and nothing about translations or mode has changed since.
 */
static void link_jump(struct rewriter *rw, const struct block *block,
		      uint64_t of)
{
	uint8_t *site = rw->link_site;
	const uint8_t *next;
	int32_t away;

	rw->link_site = NULL;
	if (!site || rw->link_target != block->linear || rw->link_of != of)
		return;
	next = site + 4 + (rw->code.exec - rw->code.write);
	away = (int32_t)(block->code - next);
	memcpy(site, &away, sizeof(away));
}

bool rewrite_enter(struct rewriter *rw, struct x86_cpu *cpu,
		   struct block *block, uint64_t of)
{
	if (!mxcsr_in(cpu))
		return false;
	enter_table(cpu, block);
	link_jump(rw, block, of);
	flags_in(cpu);
	rw->of = of;
	return true;
}

enum x86_result rewrite_run(struct rewriter *rw, struct x86_cpu *cpu,
			    struct block *block, uint64_t of)
{
	_Atomic uint64_t *site = &cpu->fast.word[WORD_SITE];
	enum x86_result r;

	if (!rewrite_enter(rw, cpu, block, of))
		return X86_NEXT;
	atomic_store_explicit(site, 0, memory_order_relaxed);
	r = (enum x86_result)rw->enter(cpu, block->code);
	flags_out(cpu);
	mxcsr_out(cpu);
	rw->link_site = (uint8_t *)(uintptr_t)atomic_load_explicit(
		site, memory_order_relaxed);
	rw->link_target = cpu->state.rip;
	rw->link_of = rw->of;
	return r;
}

uintptr_t rewrite_interpret(struct x86_cpu *cpu, struct block *block,
			    unsigned int index)
{
	struct soft_cpu *soft = cpu->engine;
	const struct x86_insn *insn = &block->insn[index];
	uint64_t rip = block->linear + insn->offset;
	const uint8_t *code;
	enum x86_result r;

	flags_out(cpu);
	mxcsr_out(cpu);
	cpu->block_rip = block->linear;
	cpu->block_page = block->address >> PAGE_SHIFT;
	soft->cache.running = block;
	if (soft->profile)
		soft_profile_before(soft->profile);
	r = insn->handler(cpu, insn);
	if (soft->profile)
		soft_profile_after(soft->profile, block, insn, r);
	if (r == X86_NEXT && (!soft->cache.running || !mxcsr_in(cpu))) {
		/* It wrote to its own page, or unmasked an exception. */
		cpu->state.rip = rip + insn->length;
		r = X86_BRANCH;
	}
	soft->cache.running = NULL;
	if (r == X86_FAULT) {
		cpu->state.rip = rip;
		x86_flags(cpu);
		r = x86_deliver_fault(cpu);
	}
	if (r == X86_BRANCH && (code = soft_resume(soft)))
		return (uintptr_t)code;
	flags_in(cpu);
	return r;
}
