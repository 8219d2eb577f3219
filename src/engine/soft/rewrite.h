/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rewriter: turns hot blocks of guest code into host code. Guest and host
 * speak the same instruction set, so an instruction keeps its operation and
 * its flags; only registers, memory operands and control flow are replaced.
 * What it does not rewrite, it hands to the interpreter's handler, one
 * instruction at a time. Code of 16 and 32 bits becomes 64-bit host code like
 * any other (rewrite_narrow.c, rewrite_seg.c).
 *
 * While host code runs:
 *   - rax rcx rdx rbx rbp rsi rdi r12-r15 hold the guest's; r8 holds the
 *     guest's rsp; the guest's r8-r11 live in state.gpr; r9-r11 are scratch;
 *   - RFLAGS holds the guest's arithmetic flags;
 *   - gs: is the processor's struct x86_cpu, rsp a return stack (rewrite_link.c)
 *     that holds nothing but return addresses;
 *   - vector and x87 registers are the guest's from where a block first uses
 *     them until C is called; rewrite_live.c.
 *
 * A memory operand goes through the software TLB inline. A miss calls the
 * interpreter for the whole instruction, which takes the page walk, MMIO,
 * page-straddling and every fault as it always does, and fills the TLB. The
 * check changes the flags; where they are live, a longer form that leaves them
 * alone is used.
 *
 * The key names the translation (TLB flush) and the mode. Direct jumps are
 * patched to lead from block to block, those to other pages under one key.
 * Indirect ones look the target up in a table in x86_cpu.fast, whose entries
 * are valid under one key each. A guest call is a host call, and a return a
 * host return to behind that; what is on the return stack belongs to one key
 * too. So whatever the processor thinks of the next instruction's address,
 * rewrite_set_key() decides whether old ways are still open: its argument must
 * change whenever mode, translation or code did.
 *
 * A request from another thread zeroes the key and WORD_POLL, so that no
 * look-up succeeds and every backward jump and call leaves: that is how host
 * code is interrupted. A store of this processor to decoded code makes such a
 * request too; the interpreter, which executes it, then leaves at once.
 */
#ifndef LODGE_ENGINE_SOFT_REWRITE_H
#define LODGE_ENGINE_SOFT_REWRITE_H

#include "engine/soft/block.h"
#include "engine/soft/emit.h"
#include "x86/insn.h"

/* Times that a block is interpreted before it is rewritten. */
#define REWRITE_HEAT 32

/* The same where code was rewritten before: all was forgotten, or the page was
 * found at another linear address, as a library's in each process. */
#define REWRITE_HEAT_AGAIN 4

/* Bytes of host code of one block at most; smaller room means that all is
 * full. */
#define REWRITE_CODE_MAX 16384u

/* Host addresses that shared checks keep beside that in r11. */
#define REWRITE_SHARE_WORDS 4

/* x86_cpu.fast.word */
enum rewrite_word {
	WORD_SELF,	/* struct x86_cpu * */
	WORD_FLAGS,	/* arithmetic flags as LAHF and SETO give them */
	WORD_KEY,	/* of valid table entries; 0: leave */
	WORD_RCX,	/* rcx while a flag-free check borrows it */
	WORD_TARGET,	/* an indirect call's target across its push */
	WORD_SOUGHT,	/* what was not found in the table of targets, or 0 */
	WORD_COUNT,	/* far entries that fail until one is made anew */
	WORD_POLL,	/* bit of rsp: return stack not full; 0: leave */
	WORD_RETURN,	/* rsp while C code runs: top of the return stack */
	WORD_BOTTOM,	/* rsp when that is empty */
	WORD_STACK,	/* rsp of C code while host code runs */
	WORD_BACK,	/* way back into a block from C code */
	WORD_MASK_TLB,	/* PEXT masks: TLB index, */
	WORD_MASK_PAGE, /* page number, */
	WORD_MASK_16,	/* page number and the bits that are clear when */
	WORD_MASK_32,	/* aligned to 16, to 32, */
	WORD_MASK_64,	/* to 64, */
	WORD_MASK_JUMP, /* index of the jump table */
	WORD_MASK_TSD,	/* CR4.TSD */
	WORD_LIVE,	/* bytes: the host holds the vectors, x87, all of ZMM */
	WORD_X87,	/* where the last x87 instruction is to be found, or 0 */
	WORD_MXCSR,	/* of C code */
	WORD_BRANCH,	/* the last indirect branch, as WORD_X87, or 0 */
	WORD_UNDER,	/* what a call's return address has overwritten */
	WORD_AWAY,	/* last pages to find until WORD_TIRED is set */
	WORD_TIRED,	/* struct x86_last_entry that one more was found for */
	WORD_RAX,	/* as WORD_RCX */
	WORD_CHECKS,	/* calls of rewriter.check until WORD_HOT is set */
	WORD_HOT,	/* where the last one of these returned to, or 0 */
	WORD_SHARED,	/* host addresses of shared checks */
	WORD_SHARED_END = WORD_SHARED + REWRITE_SHARE_WORDS,
};

#define JUMP_SHIFT 2
#define JUMP_MASK  ((uint64_t)(X86_FAST_JUMPS - 1) << JUMP_SHIFT)

/* Sets of registers that the host's hold on demand. */
#define REWRITE_VECTORS 1u /* XMM, YMM and MXCSR */
#define REWRITE_X87	2u /* x87 and MMX; never without the vectors */
#define REWRITE_WIDE	4u /* all of ZMM, and opmasks; likewise */

/* What the rewriter can do with an instruction, and how it uses flags. */
enum rewrite_kind {
	REWRITE_NOT,	   /* the interpreter's */
	REWRITE_RM,	   /* ModRM operands renamed, opcode kept */
	REWRITE_PLAIN,	   /* no operand to rename: bytes kept */
	REWRITE_OPCODE_REG, /* register in the opcode */
	REWRITE_EXCHANGE,  /* 90-97 */
	REWRITE_LEA,
	REWRITE_DIVIDE, /* F7 /6 and /7 */
	REWRITE_NOP,
	REWRITE_PUSH,
	REWRITE_PUSH_IMM,
	REWRITE_POP,
	REWRITE_LEAVE,
	/* Of 16- and 32-bit code alone: */
	REWRITE_INC_DEC, /* 40-4F */
	REWRITE_OFFSET,	 /* A0-A3 */
	REWRITE_STRING,	 /* MOVS, STOS, LODS, not repeated */
	REWRITE_PUSH_RM,
	REWRITE_VECTOR,
	REWRITE_VZERO,
	REWRITE_PUSH_MEM, /* FF /6 in 64-bit code */
	REWRITE_SYSTEM,	 /* rewrite_system.c; goes on behind it */
	REWRITE_JCC,
	REWRITE_JMP,
	REWRITE_CALL,
	REWRITE_RET,
	REWRITE_JMP_RM,
	REWRITE_CALL_RM,
	REWRITE_LOOP, /* E3; of 16- and 32-bit code E2, too */
	REWRITE_ENTER, /* SYSCALL, SYSRET */
};

/* What becomes of the registers in ModRM, see rewrite_modrm_use(). */
#define MODRM_READS_REG	 1u
#define MODRM_WRITES_REG 2u
#define MODRM_READS_RM	 4u
#define MODRM_WRITES_RM	 8u

struct rewrite_class {
	uint8_t kind; /* enum rewrite_kind */
	bool writes_memory;
	uint8_t needs; /* REWRITE_VECTORS, .. */
	uint16_t flags_read;  /* X86_FLAG_* that the result depends on */
	uint16_t flags_killed; /* X86_FLAG_* replaced whatever they were */
};

/* rewrite_system.c */
struct rewrite_class rewrite_system_class(const struct x86_insn *insn,
					  uint32_t mode);

/* rewrite_class.c */
struct rewrite_class rewrite_classify(const struct x86_insn *insn,
				       uint32_t mode);

/*
 * MODRM_* bits of a REWRITE_RM instruction: which of its two operands it reads
 * and writes. One that is replaced in part (AX of RAX) counts as read.
 */
unsigned int rewrite_modrm_use(const struct x86_insn *insn);

/* Kinds of mode that have a return stack each. */
enum {
	REWRITE_STACK_SUPER,
	REWRITE_STACK_USER,
	REWRITE_STACK_AC, /* X86_MODE_SUPER_AC */
	REWRITE_STACKS,
};

struct rewrite_stack {
	/* block_key() and block_segment() that what is on it belongs to */
	uint64_t of, segment;
	uint64_t key;
	uintptr_t top, bottom;
};

/* Who uses an entry of struct x86_last. */
struct rewrite_owner {
	struct block *block; /* NULL: nobody */
	uint8_t offset; /* of the instruction, as in struct x86_insn */
};

/* Bits for accesses that change pages too often, by hash. */
#define REWRITE_WILD 8192u

/* The same for blocks whose shared checks fail too often. */
#define REWRITE_APART 8192u

/* An instruction that was decoded once more. */
struct rewrite_again {
	const struct block *block;
	struct x86_insn insn;
};

#define REWRITE_AGAINS 512u

/* Some instructions of a block. */
struct rewrite_span {
	unsigned int index, more; /* the first, and how many behind it */
	unsigned int offset; /* of the first */
};

/* A call by which they come to be interpreted, and what was found of it. */
struct rewrite_call {
	uint64_t back; /* where it returns to, 0: none */
	uint64_t behind; /* where host code goes on */
	struct block *block;
	struct rewrite_span span;
};

#define REWRITE_CALLS 512u

/* A block's bytes, by eight, may be less. */
#define REWRITE_SOURCES 32u

/* Bits for blocks that run often, by hash. */
#define REWRITE_HOT 32768u

/* Sizes that checks are made for: up to 8, then multiples of 8 to 512. */
#define REWRITE_CHECK_SIZES 71u

/* Code memory and the entries into it. One a vCPU. */
struct rewriter {
	struct host_code code;
	size_t used;
	size_t stubs; /* bytes of the entries at the front */
	uint32_t (*enter)(struct x86_cpu *cpu, const void *code);
	uint64_t leave;	    /* r9: rip; flags and registers live */
	uint64_t sought; /* the same, from a look-up */
	uint64_t sought_r11; /* the same, rcx is in r11 */
	uint64_t far_miss; /* r9: rip; rcx is in r11 */
	uint64_t return_miss; /* r9: rip */
	uint64_t return_miss_r10; /* the same; rcx is in r10 */
	uint64_t event; /* call: something is for C code, see rewrite_event.c */
	uint64_t *start; /* where blocks begin, a bit each */
	struct rewrite_again *again; /* by hash */
	struct rewrite_call *call; /* by `back` */
	uint64_t apart[REWRITE_APART / 64];
	void *stack_memory;
	struct rewrite_stack stack[REWRITE_STACKS];
	uint32_t stack_now; /* the one in WORD_RETURN */
	bool rdtscp; /* the guest may use it */
	uint64_t park;	    /* call: see rewrite_park() */
	/* call: r9: rip to leave to when it cannot be; uses r9-r11 */
	uint64_t load_vectors, load_x87, load_wide;
	uint64_t move_wide; /* call: from memory what is beyond the vectors */
	bool wide; /* there are such registers */
	uint64_t secret[2]; /* what keys are made of, beside block_key() and
			     * block_segment() */
	uint64_t segment; /* block_segment() of the host code being run */
	/* The exit by which host code was left last: the displacement to be
	 * patched, or NULL; where it wanted to go, and under which block_key()
	 * and block_segment(). */
	uint8_t *link_site;
	uint64_t link_target, link_of, link_segment;
	unsigned int link_flags; /* what exit */
	uint8_t link_live; /* sets of registers that are live there */
	/* rewrite_last.c. Call: r10: gs: offset of the entry, r9: its tag and
	 * the address; ZF when it has been filled, then r9: the address. By
	 * struct x86_last.entry's first index. */
	uint64_t find[2];
	/* rewrite_called.c. Call: by whether it keeps flags, is for writing,
	 * and by size. These lie between two places in code memory. */
	uint64_t check[2][2][REWRITE_CHECK_SIZES];
	uint64_t checks, checks_end;
	uint64_t check_source[REWRITE_SOURCES]; /* call: rewrite_check.c */
	uint64_t push, pop, came_back; /* call: likewise, see there */
	uint64_t hot[REWRITE_HOT / 64];
	/* Calls until the next block is met; `blocks` when the last one was. */
	uint64_t hot_count, blocks_met;
	struct rewrite_owner owner[2][X86_LAST_SIZE];
	uint32_t owners[2]; /* ever, the next one's index modulo the size */
	uint64_t tired_at; /* host's TSC */
	uint64_t wild[REWRITE_WILD / 64];
	uint64_t blocks, insns, bytes; /* rewritten; bytes of host code */
};

/* -ENOMEM and such; -ENOTSUP when the host lacks BMI2. */
int rewrite_init(struct rewriter *rw, struct x86_cpu *cpu, size_t code_size);
void rewrite_fini(struct rewriter *rw);

/* Forgets all host code (the blocks are forgotten with it). */
void rewrite_flush(struct rewriter *rw, struct x86_cpu *cpu);

/*
 * Rewrites a block and sets block->code. False: there is no room, everything
 * is to be flushed.
 */
bool rewrite_block(struct rewriter *rw, struct x86_cpu *cpu,
		   struct block *block);

/* Makes host code leave soon. Any thread. */
void rewrite_ask(struct x86_cpu *cpu);

/* Sets the key for the processor's present mode and translation. Requests
 * that come later zero it. */
void rewrite_set_key(struct rewriter *rw, struct x86_cpu *cpu, uint64_t of);

/*
 * Runs a block's host code, and what it leads to, until something else is
 * due. `of` is block_key(). X86_NEXT: nothing was run, the block computes and
 * the guest has an exception unmasked; it is to be interpreted.
 */
enum x86_result rewrite_run(struct rewriter *rw, struct x86_cpu *cpu,
			    struct block *block, uint64_t of);

/*
 * Readies the processor for going on in a block's host code. False: it is to
 * be interpreted.
 */
bool rewrite_enter(struct rewriter *rw, struct x86_cpu *cpu,
		   struct block *block, uint64_t of);

/*
 * Called by host code; the address behind its call is in WORD_BACK. 0: go on
 * at what is in WORD_BACK now; host code's address: go on there; else leave
 * with this enum x86_result.
 */
uintptr_t rewrite_event(struct x86_cpu *cpu);

#endif
