/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the rewriter share while a block is being rewritten.
 */
#ifndef LODGE_ENGINE_SOFT_REWRITE_IMPL_H
#define LODGE_ENGINE_SOFT_REWRITE_IMPL_H

#include "engine/soft/rewrite.h"

#include <stddef.h>

#define REWRITE_MISSES_MAX (BLOCK_INSNS_MAX * 6)
#define REWRITE_EXITS_MAX  31
#define REWRITE_ACCESS_MAX 2 /* of one instruction */
#define REWRITE_SHARES_MAX 8

/* What is known of registers that are loaded on demand. */
struct rewrite_live {
	uint8_t sets; /* REWRITE_VECTORS, .. */
	uint8_t placed; /* WORD_X87 tells of what is before this index */
	bool parked;  /* nothing is live */
};

/* A question that goes out of line when a set is not live. */
struct rewrite_load {
	uint8_t *at; /* its displacement */
	uint8_t *back;
	bool rcx; /* rcx is in r11 */
	uint8_t what;
	uint8_t index; /* of the instruction behind it */
};

/* WORD_X87, WORD_BRANCH: a block's place in code memory in units, times this,
 * and an instruction's index. */
#define REWRITE_PLACE 32u

/* More code memory than that has none. */
#define REWRITE_PLACES ((size_t)512 << 20)

_Static_assert(BLOCK_INSNS_MAX <= REWRITE_PLACE, "an index must fit");
_Static_assert(2 * (BLOCK_ROWS_MAX + 1) <= REWRITE_EXITS_MAX,
	       "a jump of each row and the end, and behind the block again");

#define REWRITE_LOADS_MAX 4 /* a set is asked for once; others are known */

/* A jump out of the straight path, to be given its target at the end. */
struct rewrite_out {
	uint8_t *at; /* its displacement; NULL: a call of rewriter.check */
	uint8_t *back; /* of that call: behind it */
	uint8_t rcx; /* host register that holds it; HOST_NONE: WORD_RCX */
	bool apart;  /* go on behind the block, see rewrite_share.c */
	uint8_t index;	   /* instruction to interpret */
	/* Of a check against struct x86_last, else NULL: where it begins once
	 * the entry has been filled, which that is, and by how much r9 is
	 * rotated. */
	uint8_t *again;
	uint8_t last, rotated;
	bool write;
};

/* A jump to another block, which is to be patched to lead there. */
struct rewrite_exit {
	uint8_t *at; /* displacement of the jump or call */
	uint8_t *back; /* behind the call of `event` */
	uint64_t target;
	bool in_line; /* it is that call until then */
	bool far; /* to another page */
	bool poll; /* to the polling entry */
	uint8_t live; /* sets that are live there */
};

/* A call of `event` to have an instruction interpreted. */
struct rewrite_slow {
	uint8_t *back; /* behind the call */
	uint8_t *behind; /* where to go on */
	uint8_t index;
	uint8_t more; /* instructions behind that one, with it */
};

/* Blocks begin in code memory at multiples of this. */
#define REWRITE_UNIT 4u

static inline size_t rewrite_round(size_t offset)
{
	return (offset + REWRITE_UNIT - 1) & ~(size_t)(REWRITE_UNIT - 1);
}

/* An access to guest memory that an instruction makes. */
struct rewrite_access {
	uint8_t base, index; /* guest registers, or X86_NO_REG */
	uint8_t scale;
	uint8_t seg;  /* 0: one without base and limit, if there are such */
	uint8_t adsize; /* bytes that the address is cut to */
	bool write;
	uint8_t size, align; /* align 1: none is needed */
	int8_t share; /* index, or -1 */
	int32_t at;   /* in the share, from the address of its first */
	int64_t disp; /* all of the address, when there is no register */
};

/* Accesses that one check covers, see rewrite_share.c. */
struct rewrite_share {
	uint8_t first, last; /* instructions */
	uint8_t members;
	uint8_t place; /* of the host address: 0 r11, n WORD_SHARED + n - 1 */
	uint8_t align;
	bool write;
	/* The range, and what the host address stands for, as `at` above. */
	int32_t low, origin;
	uint32_t size;
};

#define REWRITE_SCRATCH 3u /* r9-r11 */

/* Which guest register each holds, X86_NO_REG: none. */
struct rewrite_hold {
	uint8_t guest[REWRITE_SCRATCH];
};

#define REWRITE_LASTS_MAX (BLOCK_INSNS_MAX * REWRITE_ACCESS_MAX)

/* An entry of struct x86_last that the block is to own. */
struct rewrite_last {
	uint8_t entry, offset;
	bool write;
};

enum rewrite_pass {
	PASS_NOTE,   /* every access checked, and noted */
	PASS_SHARED, /* those of a share once */
	PASS_APART,  /* behind the block: each one where others share */
};

struct rewrite {
	struct emit e;
	struct rewriter *rw;
	struct x86_cpu *cpu;
	struct block *block;
	/* Of the instruction being rewritten; counts on from turn to turn. */
	unsigned int index;
	unsigned int turns; /* of a loop that are emitted, else 1 */
	bool flags_live;    /* before it */
	struct rewrite_out miss[REWRITE_MISSES_MAX];
	unsigned int miss_count;
	struct rewrite_exit exit[REWRITE_EXITS_MAX];
	unsigned int exit_count;
	struct rewrite_live live;
	struct rewrite_load load[REWRITE_LOADS_MAX];
	unsigned int load_count;
	bool asks[BLOCK_INSNS_MAX]; /* the instruction makes sets live first */
	uint32_t place; /* for WORD_X87 and WORD_BRANCH */
	uint8_t *front; /* where the block begins */
	bool unfit;	/* it is too large */
	bool apart;	/* what shares stands behind the block once more */
	struct rewrite_slow slow[REWRITE_MISSES_MAX];
	unsigned int slow_count;
	uint32_t rows;	/* instructions that C code will ask for, a bit each */
	/* Where each instruction's host code ends in the block and behind
	 * it (PASS_APART), and what is live there. */
	uint8_t *behind[2][BLOCK_INSNS_MAX];
	struct rewrite_live after[BLOCK_INSNS_MAX];
	/* What is held now, and behind each instruction in the block. */
	struct rewrite_hold hold, held[BLOCK_INSNS_MAX];

	enum rewrite_pass pass;
	struct rewrite_access access[BLOCK_INSNS_MAX][REWRITE_ACCESS_MAX];
	uint8_t access_count[BLOCK_INSNS_MAX];
	unsigned int access_now; /* number of the next of this instruction */
	struct rewrite_share share[REWRITE_SHARES_MAX];
	unsigned int share_count;
	/* The share whose check for all is being emitted, or NULL. */
	const struct rewrite_share *leading;
	struct rewrite_out lead[REWRITE_SHARES_MAX];
	unsigned int lead_count;
	struct rewrite_last last[REWRITE_LASTS_MAX];
	unsigned int last_count;
};

/* Instructions that are emitted. */
static inline unsigned int rewrite_count(const struct rewrite *t)
{
	return t->block->count * t->turns;
}

/* The number of instruction `index` in the block, whatever its turn. */
static inline unsigned int rewrite_in_block(const struct rewrite *t,
					    unsigned int index)
{
	return index % t->block->count;
}

static inline const struct x86_insn *rewrite_insn_at(const struct rewrite *t,
						     unsigned int index)
{
	return &t->block->insn[rewrite_in_block(t, index)];
}

/* 16- or 32-bit code. */
static inline bool rewrite_narrow(const struct rewrite *t)
{
	return !(t->block->mode & X86_MODE_CODE64);
}

/* Accesses of 16- and 32-bit code through the segment may be those through
 * any other that is flat: ES. Writes to CS may not. */
static inline bool rewrite_is_flat(const struct rewrite *t, unsigned int seg)
{
	return t->block->mode & X86_MODE_FLAT && seg < X86_FS && seg != X86_CS;
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

/*
 * rewrite_hold.c: the host register that holds a guest register: its own, or
 * `scratch`, into which one that lives in memory is brought.
 */
unsigned int rewrite_in_host(struct rewrite *t, unsigned int guest,
			     unsigned int scratch);

/* The same in any register, to be read only; for the base of an address with
 * r9, then its index with r10. */
unsigned int rewrite_to_read(struct rewrite *t, unsigned int guest,
			     unsigned int scratch);

/* A guest register that lives in memory gets its value from `scratch`. */
void rewrite_store_home(struct rewrite *t, unsigned int guest,
			unsigned int scratch);

/* It was changed in memory; `scratch` has its value still. */
void rewrite_home_changed(struct rewrite *t, unsigned int guest);
void rewrite_still_holds(struct rewrite *t, unsigned int guest,
			 unsigned int scratch);
void rewrite_hold_nothing(struct rewrite *t);

/* Behind an instruction: what is held there; out of line, where host code
 * comes back to there: it is so again. */
void rewrite_note_holds(struct rewrite *t);
bool rewrite_holds_at(const struct rewrite *t, unsigned int index);
void rewrite_hold_again(struct rewrite *t, unsigned int index);

/* The offset of an address's entry in a table of the TLB: rotated right, and
 * masked. */
#define REWRITE_TLB_SHIFT  4 /* sizeof(struct x86_tlb_entry) */
#define REWRITE_TLB_ROTATE (PAGE_SHIFT - REWRITE_TLB_SHIFT)
#define REWRITE_TLB_MASK   ((X86_TLB_SIZE - 1) << REWRITE_TLB_SHIFT)

static inline size_t rewrite_word_offset(enum rewrite_word word)
{
	return offsetof(struct x86_cpu, fast) +
	       offsetof(struct x86_fast, word) + (size_t)word * 8;
}

static inline struct emit_mem rewrite_word(enum rewrite_word word)
{
	return emit_gs(rewrite_word_offset(word));
}

/* Notes that the jump at `at` goes to the interpreter; from a check for all
 * of a share, to the instruction's place behind the block. `rcx` as in struct
 * rewrite_out. */
struct rewrite_out *rewrite_miss(struct rewrite *t, uint8_t *at,
				 unsigned int rcx);

/*
 * rewrite_share.c: finds shares among the accesses that were noted. False:
 * there are none.
 */
bool rewrite_share(struct rewrite *t, const struct rewrite_class *class);

/*
 * rewrite_loop.c: the same for a block that jumps back to its front, several
 * turns of it, where they need fewer checks so. Sets `turns`.
 */
bool rewrite_share_turns(struct rewrite *t, const struct rewrite_class *class);

/* The instruction lies in a share; and not as its last one. */
bool rewrite_shares_at(const struct rewrite *t, unsigned int index);
bool rewrite_shares_beyond(const struct rewrite *t, unsigned int index);

/* rewrite_mem.c: effective address into r9; uses r10. */
void rewrite_address(struct rewrite *t, const struct x86_insn *insn);

/* LEA of 32 or 64 bits into a host register; uses r9 and r10. */
void rewrite_lea(struct rewrite *t, const struct x86_insn *insn,
		 unsigned int to);

/*
 * The host operand of an instruction's memory operand, behind the check that
 * leads to the interpreter if need be; `align` 1, or 16, 32 or 64 with that
 * size: others go to the interpreter too. r9 and r10 belong to it until it is
 * used. r11 may hold a share's address: see rewrite_spare().
 */
__attribute__((warn_unused_result)) struct emit_mem
rewrite_operand(struct rewrite *t, const struct x86_insn *insn,
		unsigned int size, unsigned int align, bool write);

/* A scratch register beside an operand, which may be changed for it. */
unsigned int rewrite_spare(struct rewrite *t, struct emit_mem *at);

/* The same as rewrite_operand() for any access. */
struct emit_mem rewrite_reach(struct rewrite *t,
			      const struct rewrite_access *a);

/* The same for eight bytes at a guest register (not r8-r11) + disp. r9 is
 * free. */
struct emit_mem rewrite_word_at(struct rewrite *t, unsigned int guest,
				int32_t disp, bool write);

/* CALL's and RET's part of the stack; RET's drops `more` bytes too. Use r9
 * and r10. */
/* `keep`: what lies there goes to WORD_UNDER first. */
void rewrite_push_const(struct rewrite *t, uint64_t value, bool keep);
void rewrite_pop_r9(struct rewrite *t, uint32_t more);

/*
 * rewrite_last.c: whether the access goes by the page that it found last; an
 * entry for it; where the entry lies, relative to gs.
 */
bool rewrite_wants_last(const struct rewrite *t);
unsigned int rewrite_add_last(struct rewrite *t, bool write);
size_t rewrite_last_offset(unsigned int entry, bool write);

/* Out of line: fills the entry and goes back, or goes on. */
void rewrite_find(struct rewrite *t, const struct rewrite_out *out);

/* The block is done: it owns its entries. */
void rewrite_own_lasts(struct rewrite *t);

/* Host code was left: takes the entry away from who changes pages too often. */
void rewrite_tired(struct rewriter *rw, struct x86_cpu *cpu);

/* rewrite.c: the block's host code is to be made anew. */
void rewrite_renew(struct rewriter *rw, struct x86_cpu *cpu,
		   struct block *block);
void rewrite_stub_find(struct rewriter *rw, struct emit *e);
void rewrite_forget_lasts(struct rewriter *rw, struct x86_cpu *cpu);

/*
 * rewrite_called.c: whether the access is checked by a routine for all blocks;
 * a call of that routine. r9: linear address -> r10: host address, or what
 * rewriter.event does. Uses r9; keeps the flags where they are live.
 */
bool rewrite_wants_call(const struct rewrite *t, unsigned int align);
bool rewrite_is_hot(const struct rewrite *t); /* the block; it does not call */
void rewrite_call_check(struct rewrite *t, unsigned int size, bool write);
/* rewriter.push, .pop: as PUSH of r9 and POP to r9; use r10. */
void rewrite_call_routine(struct rewrite *t, uint64_t routine);
void rewrite_stub_checks(struct rewriter *rw, struct emit *e);

/* Host code was left: the block that called such a routine last is to have its
 * checks inline, if that is due. */
void rewrite_heat_up(struct rewriter *rw, struct x86_cpu *cpu);
/* Forgets who called; which blocks are hot is remembered. */
void rewrite_count_anew(struct rewriter *rw, struct x86_cpu *cpu);

/* rewrite_seg.c: effective address in r9 -> linear address in r9, or the
 * interpreter where the segment does not reach; uses r10. Only in 16- and
 * 32-bit code. */
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
uint32_t rewrite_vector_written(const struct x86_insn *insn); /* GPRs */

/* rewrite_x87.c: control and status words. */
struct rewrite_class rewrite_state_class(const struct block *block,
					 const struct x86_insn *insn);
bool rewrite_state_insn(struct rewrite *t, const struct x86_insn *insn);

/* Behind an x87 instruction: what the pointers to it will say. */
void rewrite_x87_note(struct rewrite *t, const struct x86_insn *insn);
void rewrite_x87_place(struct rewrite *t, unsigned int last);

/*
 * In C code, before the state is looked at: the pointers, when host code was
 * left at instruction `index` of the block `at`, or elsewhere (NULL).
 */
void rewrite_x87_settle(struct rewriter *rw, struct x86_cpu *cpu,
			const struct block *at, unsigned int index);

/* rewrite_live.c: makes sets of registers live. */
void rewrite_need(struct rewrite *t, unsigned int what);

/* C was called: nothing is live. Something else was run: who knows. */
void rewrite_parked(struct rewrite *t);
void rewrite_unknown(struct rewrite *t);

/* Out of line, behind the interpreter's call for instruction `index`: makes
 * live what its host code leaves live. */
void rewrite_load_again(struct rewrite *t, unsigned int index);

/* The other ends of what rewrite_need() asks. */
void rewrite_put_loads(struct rewrite *t);

/*
 * For stubs that call or return to C, once registers and flags have been
 * stored: parks what is live. Uses rcx, rdx and rsi.
 */
void rewrite_park(const struct rewriter *rw, struct emit *e);

/* The stubs; `load` leaves by rw->leave. */
void rewrite_stub_park(struct rewriter *rw, struct emit *e);
void rewrite_stub_load(struct rewriter *rw, struct emit *e);

/* False: the block computes, and an exception is unmasked. */
bool rewrite_may_run(const struct x86_cpu *cpu, const struct block *block);

/* rewrite_system.c: false when the instruction is the interpreter's. */
bool rewrite_system(struct rewrite *t, const struct x86_insn *insn);

/* rewrite_check.c: the host's flags to WORD_FLAGS, and back; rax is kept in
 * WORD_TARGET meanwhile. */
void rewrite_save_flags(struct emit *e);
void rewrite_restore_flags(struct emit *e);

/* rewrite_check.c: leaves when the block's bytes are not what they were. */
void rewrite_check_source(struct rewrite *t);
void rewrite_stub_source(struct rewriter *rw, struct emit *e);

/* rewrite_insn.c: false when the instruction is the interpreter's. */
bool rewrite_insn(struct rewrite *t, const struct x86_insn *insn,
		  const struct rewrite_class *class);

/* rewrite_flow.c: entries; `flags`: the block needs some of those that it is
 * entered with. Gives the one for who knows nothing of it. Then instructions
 * that end a block, its plain end, and what the exits lead to. */
const uint8_t *rewrite_entries(struct rewrite *t, bool flags,
			       const struct rewrite_class *end);
uint8_t *rewrite_put_poll(struct emit *e, bool flags);
bool rewrite_branch(struct rewrite *t, const struct x86_insn *insn,
		    const struct rewrite_class *class);
void rewrite_go(struct rewrite *t, uint64_t target);

/*
 * rewrite_event.c: the head of a block; a call by which instruction `index` is
 * interpreted, and where to go on is to be set in what it gives; what is
 * behind a block.
 */
void rewrite_put_head(struct rewrite *t);
struct rewrite_slow *rewrite_put_slow(struct rewrite *t, unsigned int index);
/* The same for a call that is there; it returns to `back`. */
struct rewrite_slow *rewrite_add_slow(struct rewrite *t, unsigned int index,
				      uint8_t *back);
void rewrite_put_end(struct rewrite *t);

int rewrite_events_open(struct rewriter *rw);
void rewrite_events_close(struct rewriter *rw);
void rewrite_events_flush(struct rewriter *rw);
/* A block begins there. */
void rewrite_events_mark(struct rewriter *rw, size_t offset);

/* The block of which a call returns to `back`. */
struct block *rewrite_called_by(const struct x86_cpu *cpu, uint64_t back);

/* The block of a WORD_X87 or WORD_BRANCH. */
struct block *rewrite_placed(struct x86_cpu *cpu, uint64_t place);

/* Leads the exit by which host code was left to the block; its far entry is
 * for this key. */
/* In front of the other entries: the one that the block is made because of. */
void rewrite_put_entries(struct rewrite *t);

/* There is such a one; the exit by which host code was left polls. */
bool rewrite_is_sought(const struct rewrite *t);
bool rewrite_link_polls(const struct rewriter *rw);

/* False: there is no room for an indirect entry. */
bool rewrite_make_indirect(struct rewriter *rw, struct block *block);
void rewrite_link_exit(struct rewriter *rw, struct block *block);
void rewrite_link_far(struct rewriter *rw, const struct block *block,
		      uint64_t key);

/* rewrite.c: interprets them; as rewrite_event(). */
uintptr_t rewrite_interpret(struct x86_cpu *cpu, struct block *block,
			    const struct rewrite_span *span);

/*
 * rewrite_again.c: the instruction, from its row, or decoded once more. NULL:
 * the code may have changed since.
 */
const struct x86_insn *rewrite_again(struct x86_cpu *cpu, struct block *block,
				     unsigned int index, unsigned int offset);
int rewrite_again_open(struct rewriter *rw);
void rewrite_again_close(struct rewriter *rw);
void rewrite_again_flush(struct rewriter *rw);

/* Whether what shares a check is to stand behind the block once more. */
bool rewrite_wants_apart(const struct rewriter *rw, const struct block *block);
void rewrite_want_apart(struct rewriter *rw, const struct block *block);

/* rewrite.c: flags as host code left them, to struct x86_cpu. */
void rewrite_flags_out(struct x86_cpu *cpu);

/* Turns the front of a block that is out of date into an exit to whatever block
 * is found there next. */
void rewrite_lead_away(struct rewriter *rw, struct block *block);

/* Jump or call to the guest address in r9, by the table; uses r10. */
void rewrite_look_up(struct emit *e, bool call);

/*
 * No look-up finds a target that is not canonical, so host code is left
 * behind the branch, which should have faulted. True: it has been taken back,
 * and cpu->fault raised.
 */
bool rewrite_take_back(struct x86_cpu *cpu);
/* From here on another than WORD_BRANCH decides on rip. */
void rewrite_forget_branch(struct x86_cpu *cpu);

/* rewrite_link.c: -ENOMEM; forgets all jumps, table and returns. */
int rewrite_links_open(struct rewriter *rw);
void rewrite_links_close(struct rewriter *rw);
void rewrite_unlink(struct rewriter *rw, struct x86_cpu *cpu);

/* Before host code of `block` is entered: makes it known to the table, and to
 * the exit by which host code was left. */
void rewrite_link_to(struct rewriter *rw, struct x86_cpu *cpu,
		     struct block *block, uint64_t of);

/* A request waits for host code to be left. */
bool rewrite_asked(struct x86_cpu *cpu);

/* rewrite_stub.c: the entries at the front of code memory. */
void rewrite_stubs(struct rewriter *rw, struct emit *e);

#endif
