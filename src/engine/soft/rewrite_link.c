/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leads from block to block at run time: the key that says which mode
 * and translation are the present ones, the table of indirect targets, patched
 * jumps, and the return stacks.
 *
 * A return stack holds host addresses behind the host calls that guest calls
 * have become. It is the stack that rsp points to while host code runs, so
 * the host predicts the guest's returns. There is one for each kind of mode.
 * What lies on it belongs to one key; under another it starts empty. At its
 * bottom is the address of a look-up, which an empty stack thus leads to.
 */
#include "engine/soft/rewrite_impl.h"

#include "engine/soft/soft.h"
#include "vm/error.h"
#include "x86/access.h"
#include "x86/flags.h"
#include "x86/reg.h"
#include "x86/segment.h"

/* Bytes of a return stack. The lower half is room for what a signal needs. */
#define STACK_SIZE 0x8000u
#define STACK_OK   ((uint64_t)STACK_SIZE / 2) /* bit of rsp: not full */
#define BOTTOM	   (STACK_SIZE - 16)

/* A jump with another key is made anew every so many times. */
#define LINK_AGAIN 64u

static void set_word(struct x86_cpu *cpu, enum rewrite_word word, uint64_t v)
{
	atomic_store_explicit(&cpu->fast.word[word], v, memory_order_relaxed);
}

static uint64_t get_word(struct x86_cpu *cpu, enum rewrite_word word)
{
	return atomic_load_explicit(&cpu->fast.word[word],
				    memory_order_acquire);
}

bool rewrite_asked(struct x86_cpu *cpu)
{
	return !get_word(cpu, WORD_KEY);
}

void rewrite_ask(struct x86_cpu *cpu)
{
	atomic_store(&cpu->fast.word[WORD_KEY], 0);
	atomic_store(&cpu->fast.word[WORD_POLL], 0);
}

/* --- return stacks -------------------------------------------------------- */

int rewrite_links_open(struct rewriter *rw)
{
	uintptr_t base;

	rw->stack_memory = host_alloc(STACK_SIZE * (REWRITE_STACKS + 1));
	if (!rw->stack_memory)
		return -VM_ENOMEM;
	base = ((uintptr_t)rw->stack_memory + STACK_SIZE - 1) &
	       ~(uintptr_t)(STACK_SIZE - 1);
	for (unsigned int i = 0; i < REWRITE_STACKS; i++)
		rw->stack[i].bottom = base + i * STACK_SIZE + BOTTOM;
	return 0;
}

void rewrite_links_close(struct rewriter *rw)
{
	host_free(rw->stack_memory);
}

/* SplitMix64's mixing. */
static uint64_t mix(uint64_t z, uint64_t secret)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = ((z ^ z >> 27) + secret) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* With secrets that the guest cannot know: a key that it guessed would let it
 * enter code of another mode. */
static uint64_t key_for(const struct rewriter *rw, uint64_t of,
			uint64_t segment)
{
	uint64_t z = mix(of + rw->secret[0], rw->secret[1]);

	return (segment ? mix(z + segment, rw->secret[1]) : z) | 1;
}

static void clear_stack(struct rewriter *rw, struct rewrite_stack *stack,
			uint64_t of, uint64_t segment)
{
	*(uint64_t *)stack->bottom = rw->return_miss;
	stack->top = stack->bottom;
	stack->of = of;
	stack->segment = segment;
	stack->key = key_for(rw, of, segment);
}

static void ready_stack(struct rewriter *rw, unsigned int i, uint64_t of,
			uint64_t segment)
{
	struct rewrite_stack *stack = &rw->stack[i];

	if (stack->of != of || stack->segment != segment)
		clear_stack(rw, stack, of, segment);
}

/* 64-bit host code goes from one kind of mode to another by itself: each
 * one's stack and key are those of the present translations. */
static void ready_stacks(struct rewriter *rw, struct x86_cpu *cpu)
{
	static const uint32_t kind[REWRITE_STACKS] = {
		[REWRITE_STACK_USER] = X86_MODE_USER,
		[REWRITE_STACK_AC] = X86_MODE_SUPER_AC,
	};
	const struct soft_cpu *soft = cpu->engine;
	uint32_t others = cpu->mode &
			  ~(X86_MODE_USER | X86_MODE_AC | X86_MODE_SUPER_AC);

	for (unsigned int i = 0; i < REWRITE_STACKS; i++)
		ready_stack(rw, i,
			    block_key_of(&soft->cache, others | kind[i]), 0);
}

/* Makes the stack of the present mode what rsp will point to. */
static void set_stack(struct rewriter *rw, struct x86_cpu *cpu, uint64_t of)
{
	struct rewrite_stack *stack;
	unsigned int i = REWRITE_STACK_SUPER;

	if (cpu->mode & X86_MODE_USER)
		i = REWRITE_STACK_USER;
	else if (cpu->mode & X86_MODE_SUPER_AC)
		i = REWRITE_STACK_AC;
	stack = &rw->stack[i];
	rw->stack[rw->stack_now].top = get_word(cpu, WORD_RETURN);
	if (cpu->mode & X86_MODE_CODE64)
		ready_stacks(rw, cpu);
	else
		ready_stack(rw, i, of, block_segment(cpu));
	if (!(stack->top & STACK_OK))
		clear_stack(rw, stack, stack->of, stack->segment);
	rw->stack_now = i;
	set_word(cpu, WORD_RETURN, stack->top);
	set_word(cpu, WORD_BOTTOM, stack->bottom);
}

/* --- keys ----------------------------------------------------------------- */

void rewrite_set_key(struct rewriter *rw, struct x86_cpu *cpu, uint64_t of)
{
	uint64_t key;

	set_stack(rw, cpu, of);
	key = rw->stack[rw->stack_now].key;
	/* The stores are fences, and dear. */
	if (get_word(cpu, WORD_KEY) != key)
		atomic_store(&cpu->fast.word[WORD_KEY], key);
	if (get_word(cpu, WORD_POLL) != STACK_OK)
		atomic_store(&cpu->fast.word[WORD_POLL], STACK_OK);
}

/* --- table and jumps -------------------------------------------------------- */

void rewrite_unlink(struct rewriter *rw, struct x86_cpu *cpu)
{
	/* An entry that matches by accident leaves, which is always right. */
	for (unsigned int i = 0; i < X86_FAST_JUMPS; i++) {
		cpu->fast.from[i] = 0;
		cpu->fast.to[i] = rw->sought;
	}
	for (unsigned int i = 0; i < REWRITE_STACKS; i++)
		clear_stack(rw, &rw->stack[i], 0, 0);
	set_word(cpu, WORD_RETURN, rw->stack[rw->stack_now].top);
	rw->link_site = NULL;
	rewrite_ask(cpu);
}

/* Enters the block in the table, where look-ups find it. */
static void enter_table(struct rewriter *rw, struct x86_cpu *cpu,
			struct block *block, uint64_t key)
{
	uint64_t slot = (block->rip & JUMP_MASK) >> JUMP_SHIFT;

	if (!block->indirect && !rewrite_make_indirect(rw, block))
		return;
	cpu->fast.from[slot] = 0 - (block->rip + key);
	cpu->fast.to[slot] = (uint64_t)(uintptr_t)rw->code.exec +
			     block->indirect;
}

/* This block is where the exit led by which host code was left last, and
 * nothing about translations or mode has changed since. */
static bool leads_to(const struct rewriter *rw, const struct block *block,
		     uint64_t of)
{
	return rw->link_site && rw->link_target == block->rip &&
	       rw->link_of == of && rw->link_segment == block->segment;
}

void rewrite_link_to(struct rewriter *rw, struct x86_cpu *cpu,
		     struct block *block, uint64_t of)
{
	uint64_t key = get_word(cpu, WORD_KEY);

	if (key) {
		if (get_word(cpu, WORD_SOUGHT) == block->rip)
			enter_table(rw, cpu, block, key);
		if (leads_to(rw, block, of))
			rewrite_link_exit(rw, block);
		if (block->far) {
			rewrite_link_far(rw, block, key);
			set_word(cpu, WORD_COUNT, LINK_AGAIN);
		}
	}
	rw->link_site = NULL;
	set_word(cpu, WORD_SOUGHT, 0);
	rewrite_forget_branch(cpu);
}

/* --- branches to nowhere --------------------------------------------------- */

void rewrite_forget_branch(struct x86_cpu *cpu)
{
	set_word(cpu, WORD_BRANCH, 0);
}

/* Undoes what RET or CALL did to the stack. */
static void take_back_stack(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t *rsp = &cpu->state.gpr[X86_RSP];
	uint64_t under = get_word(cpu, WORD_UNDER);

	if (insn->opcode != 0xff) {
		*rsp -= 8 + (uint32_t)insn->imm;
	} else if ((insn->modrm >> 3 & 7) == 2) {
		/* It was just written there: nothing can fail. */
		x86_write(cpu, *rsp, &under, sizeof(under));
		*rsp += 8;
	}
}

bool rewrite_take_back(struct x86_cpu *cpu)
{
	uint64_t place = get_word(cpu, WORD_BRANCH);
	const struct x86_insn *insn;
	struct block *block;

	if (x86_is_canonical(cpu->state.rip) || !place)
		return false;
	block = rewrite_placed(cpu, place);
	insn = block_insn(block, place % REWRITE_PLACE);
	take_back_stack(cpu, insn);
	cpu->state.rip = block->rip + insn->offset;
	x86_flags(cpu);
	x86_raise_error(cpu, X86_GP, 0);
	return true;
}
