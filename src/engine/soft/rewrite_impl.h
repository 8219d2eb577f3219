/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the rewriter share while a block is being rewritten.
 */
#ifndef LODGE_ENGINE_SOFT_REWRITE_IMPL_H
#define LODGE_ENGINE_SOFT_REWRITE_IMPL_H

#include "engine/soft/rewrite.h"

#include <stddef.h>

#define REWRITE_MISSES_MAX (BLOCK_INSNS_MAX * 4 + 2)
#define REWRITE_EXITS_MAX  4

/* Guest vector registers that the host's hold, a bit each. */
struct rewrite_vectors {
	uint16_t low, high; /* lower and upper 128 bits are valid */
	uint16_t dirty_low, dirty_high;
};

/* A jump out of the straight path, to be given its target at the end. */
struct rewrite_out {
	uint8_t *at; /* its displacement */
	bool rcx;    /* rcx is in WORD_RCX */
	uint8_t index;	   /* instruction to interpret */
	struct rewrite_vectors before; /* to be stored for the interpreter */
};

/* A jump to another block, which is to be patched to lead there. */
struct rewrite_exit {
	uint8_t *at;	   /* displacement of the jump or call */
	uint8_t *key;	   /* NULL, or the negated key that it compares, */
	uint8_t *miss;	   /* and displacement of the jump if it differs */
	uint64_t target;
	bool poll; /* to the polling entry */
};

/* What is left of that in the code, by distance from itself; 0: none. */
struct rewrite_link {
	int32_t jump, key, miss; /* `miss` is to lead to link_miss */
	uint32_t poll;
};

struct rewrite {
	struct emit e;
	const struct rewriter *rw;
	struct block *block;
	uint64_t interpret; /* call: r10d: index */
	unsigned int index; /* of the instruction being rewritten */
	bool flags_live;    /* before it */
	struct rewrite_out miss[REWRITE_MISSES_MAX];
	unsigned int miss_count;
	struct rewrite_exit exit[REWRITE_EXITS_MAX];
	unsigned int exit_count;
	struct rewrite_vectors vectors; /* now */
	/* Where each instruction's host code ends, and what it leaves. */
	uint8_t *behind[BLOCK_INSNS_MAX];
	struct rewrite_vectors after[BLOCK_INSNS_MAX];
};

/* 16- or 32-bit code. */
static inline bool rewrite_narrow(const struct rewrite *t)
{
	return !(t->block->mode & X86_MODE_CODE64);
}

/* The linear address of `rip` in the block's code segment. */
static inline uint64_t rewrite_linear(const struct rewrite *t, uint64_t rip)
{
	if (!rewrite_narrow(t))
		return rip;
	return (uint32_t)(rip - t->block->rip + t->block->linear);
}

/* rip behind an instruction. */
static inline uint64_t rewrite_next(const struct rewrite *t,
				    const struct x86_insn *insn)
{
	uint64_t rip = t->block->rip + insn->offset + insn->length;

	return rewrite_narrow(t) ? (uint32_t)rip : rip;
}

/* Where a direct jump or call leads. */
static inline uint64_t rewrite_target(const struct rewrite *t,
				      const struct x86_insn *insn)
{
	uint64_t rip = rewrite_next(t, insn) + insn->imm;

	if (!rewrite_narrow(t))
		return rip;
	return insn->opsize == 2 ? (uint16_t)rip : (uint32_t)rip;
}

/* True when the block's code segment has `rip`. */
static inline bool rewrite_in_segment(const struct rewrite *t, uint64_t rip)
{
	return t->block->mode & (X86_MODE_CODE64 | X86_MODE_FLAT) ||
	       rip <= t->block->segment >> 32;
}

/* Host register of each guest register; HOST_NONE: in state.gpr. */
extern const uint8_t rewrite_host[16];

static inline struct emit_mem rewrite_home(unsigned int guest)
{
	return emit_gs(offsetof(struct x86_state, gpr) + guest * 8);
}

static inline size_t rewrite_word_offset(enum rewrite_word word)
{
	return offsetof(struct x86_cpu, fast) +
	       offsetof(struct x86_fast, word) + (size_t)word * 8;
}

static inline struct emit_mem rewrite_word(enum rewrite_word word)
{
	return emit_gs(rewrite_word_offset(word));
}

/* Notes that the jump at `at` goes to the interpreter. */
void rewrite_miss(struct rewrite *t, uint8_t *at, bool rcx);

/* rewrite_mem.c: effective address into r9; uses r10. */
void rewrite_address(struct rewrite *t, const struct x86_insn *insn);

/*
 * The host operand of an instruction's memory operand, behind the check that
 * leads to the interpreter if need be; `align` 1, or 16 or 32 with that size:
 * others go to the interpreter too. r9 and r10 belong to it until it is used;
 * uses r11.
 */
__attribute__((warn_unused_result)) struct emit_mem
rewrite_operand(struct rewrite *t, const struct x86_insn *insn,
		unsigned int size, unsigned int align, bool write);

/* The same from a linear address: r9, or a host register and a displacement. */
struct emit_mem rewrite_translate(struct rewrite *t, struct emit_mem at,
				  unsigned int size, unsigned int align,
				  bool write);

/* The same for eight bytes at a guest register (not r8-r11) + disp. r9 is
 * free. */
struct emit_mem rewrite_word_at(struct rewrite *t, unsigned int guest,
				int32_t disp, bool write);

/* CALL's and RET's part of the stack; RET's drops `more` bytes too. Use r9,
 * r10 and r11. */
void rewrite_push_const(struct rewrite *t, uint64_t value);
void rewrite_pop_r9(struct rewrite *t, uint32_t more);

/* rewrite_seg.c: effective address in r9 -> linear address in r9, or the
 * interpreter where the segment does not reach; uses r10 and r11. Only in 16-
 * and 32-bit code. */
void rewrite_segment(struct rewrite *t, unsigned int seg, unsigned int size,
		     bool write);

/* A jump target in r9 beyond the code segment goes to the interpreter. */
void rewrite_check_target(struct rewrite *t, unsigned int opsize);

/* rewrite_narrow.c: what 16- and 32-bit code has of its own, and what it does
 * otherwise. False as below. */
bool rewrite_narrow_insn(struct rewrite *t, const struct x86_insn *insn,
			 const struct rewrite_class *class);
bool rewrite_loop(struct rewrite *t, const struct x86_insn *insn);

/* The same for CALL and RET of `size` bytes, and for the operand of an
 * indirect jump or call into r9; with the code segment's limit. */
void rewrite_narrow_push(struct rewrite *t, unsigned int size, uint64_t value);
void rewrite_narrow_pop_r9(struct rewrite *t, unsigned int size,
			   uint32_t more);
void rewrite_narrow_target(struct rewrite *t, const struct x86_insn *insn);

/* rewrite_vector.c: what is known of a native instruction. */
struct rewrite_class rewrite_vector_class(const struct block *block,
					  const struct x86_insn *insn);
bool rewrite_vector(struct rewrite *t, const struct x86_insn *insn);
void rewrite_vzeroupper(struct rewrite *t);

/* Stores what is dirty; loads what is valid; stores and counts as unknown. */
void rewrite_vectors_store(struct rewrite *t, const struct rewrite_vectors *v);
void rewrite_vectors_load(struct rewrite *t, const struct rewrite_vectors *v);
void rewrite_vectors_forget(struct rewrite *t);

/* rewrite_insn.c: false when the instruction is the interpreter's. */
bool rewrite_insn(struct rewrite *t, const struct x86_insn *insn,
		  const struct rewrite_class *class);

/* rewrite_flow.c: entries; `flags`: the block needs some of those that it is
 * entered with. Then instructions that end a block, its plain end, and what
 * the exits lead to. */
void rewrite_entries(struct rewrite *t, bool flags);
bool rewrite_branch(struct rewrite *t, const struct x86_insn *insn,
		    const struct rewrite_class *class);
void rewrite_go(struct rewrite *t, uint64_t target);
void rewrite_exits(struct rewrite *t);

/* Jump or call to the guest address in r9, by the table; uses r10. */
void rewrite_look_up(struct emit *e, bool call);

/* rewrite_link.c: -ENOMEM; forgets all jumps, table and returns. */
int rewrite_links_open(struct rewriter *rw);
void rewrite_links_close(struct rewriter *rw);
void rewrite_unlink(struct rewriter *rw, struct x86_cpu *cpu);

/* Before host code of `block` is entered, and after it was left: patches the
 * jump by which it was left. */
void rewrite_link_to(struct rewriter *rw, struct x86_cpu *cpu,
		     const struct block *block, uint64_t of);
void rewrite_link_from(struct rewriter *rw, struct x86_cpu *cpu);

/* A request waits for host code to be left. */
bool rewrite_asked(struct x86_cpu *cpu);

/* rewrite_stub.c: the entries at the front of code memory. */
void rewrite_stubs(struct rewriter *rw, struct emit *e);

#endif
