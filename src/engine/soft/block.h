/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded code, kept: each vCPU has a cache of basic blocks, found by the
 * guest-physical address of their first byte and the processor's mode.
 *
 * A block is a row of decoded instructions that lie in one page and end
 * behind the first one that may go elsewhere. When it is kept, it goes on
 * behind up to three conditional jumps forward that are seldom taken. The row
 * ends with a marker whose handler leaves the block. Blocks never outlive
 * their bytes: every page of guest memory has a state in struct soft_vm, a
 * block remembers the one that it was decoded in, and a write to a page that holds decoded code
 * (MEM_PAGE_CODE) moves the page on to the next. Where code is written again
 * and again, blocks compare their bytes instead: change.c.
 *
 * An instruction that ends in the page behind is a block of its own, which
 * remembers both pages and their states. Its first byte says too little of
 * where it ends: that page's translation is asked for whenever it is looked
 * up, and a jump to the last bytes of a page counts as one to another page.
 *
 * A vCPU that decodes the first block of a page withdraws its own write tags
 * for it and asks the other vCPUs to do the same (soft_open_page()). They
 * comply between two blocks and move the page's state on, so that what they
 * wrote before is seen by a second decoding.
 *
 * Memory is bounded. Blocks begin in a small nursery that is emptied when it
 * is full: most code runs once or twice. Those that are rewritten into host
 * code move to an arena of their own; when that is full everything is
 * forgotten. Of a block that is host code there is no row but for those of its
 * instructions that the interpreter may be asked for (block_thin()).
 */
#ifndef LODGE_ENGINE_SOFT_BLOCK_H
#define LODGE_ENGINE_SOFT_BLOCK_H

#include "engine/soft/block_table.h"
#include "vm/bytes.h"
#include "x86/insn.h"

#define BLOCK_INSNS_MAX 32 /* struct block.rows has a bit for each */
#define BLOCK_ROWS_MAX  8
#define BLOCK_NEW_SIZE	2048u
#define BLOCK_JUMP_SIZE 4096u
#define BLOCK_HEAT_SIZE 32768u
#define BLOCK_PAGES_SIZE 8192u

/* Code of either kind has translations of its own: those of the user's end
 * with a CR3 write, those of the supervisor outlive it. */
enum block_side {
	BLOCK_SUPER,
	BLOCK_USER,
	BLOCK_SIDES,
};

struct soft_cpu;

struct block {
	/* What tells whether it is the one that is looked for. */
	struct block *next; /* in its chain, while in the nursery */
	uint64_t address;   /* guest-physical, of the first byte */
	uint64_t linear;    /* as it was reached: aliases are other blocks */
	uint64_t segment;   /* block_segment() */
	const _Atomic uint64_t *page; /* its state, */
	uint64_t state;		      /* and what that was when decoded */
	const uint8_t *source; /* in a checked page: the bytes; else NULL */
	uint32_t mode; /* x86_cpu.mode */
	bool crosses;  /* it is one instruction, which block_second() ends */
	uint8_t bytes;
	uint8_t count; /* instructions, the end marker not counted */
	uint8_t needs; /* sets that must be live, once it is rewritten */

	uint64_t rip;	     /* linear without the segment's base */
	const uint8_t *code; /* rewritten; NULL: interpreted */
	/* The same for who has these sets of registers live (REWRITE_*). */
	const uint8_t *live_code;
	bool flags; /* it needs some of those that it is entered with */
	bool away; /* its front leads to another, see rewrite_lead_away() */
	uint8_t failed; /* checks for a whole share, where there is no copy */
	uint32_t rows; /* block_insn(): which instructions `insn` has */
	/* Where in code memory its other entries are, or 0: for jumps that
	 * have to look for requests, far and indirect ones. */
	uint32_t poll, far, indirect;
	struct x86_insn insn[];
};

/* Of a block, what is behind its row included. */
#define BLOCK_SIZE_MAX                                              \
	(sizeof(struct block) +                                     \
	 (BLOCK_INSNS_MAX + 1) * sizeof(struct x86_insn) + UINT8_MAX)

/* The page where an instruction ends that began in another. */
struct block_second {
	uint64_t address; /* guest-physical */
	const _Atomic uint64_t *page; /* as in struct block */
	uint64_t state;
};

/* Where a linear address was last seen to lead. */
struct block_jump {
	uint64_t linear;
	uint64_t key; /* mode and translation generation; 0: empty */
	struct block *block;
};

/* Memory that blocks are taken from, one behind the other. */
struct block_arena {
	uint8_t *base;
	size_t size, used;
};

struct block_cache {
	struct block_jump jump[BLOCK_JUMP_SIZE];
	struct block *new[BLOCK_NEW_SIZE]; /* of the nursery, in chains */
	struct block_table table;	   /* of those that are kept */
	struct block_arena nursery, kept;
	/* Times interpreted, by hash: outlasts the nursery. */
	uint8_t heat[BLOCK_HEAT_SIZE];
	/* What `jump` says about a side's translations holds while this is
	 * the same; `translations` is the latest of all. */
	uint64_t translation[BLOCK_SIDES];
	uint64_t translations;
	/* `jump` speaks of supervisor code in pages that are not global. */
	bool local_super;
	/* Linear pages (hashed, a bit each) that `jump` speaks of, by half
	 * of the address space. */
	uint64_t pages[BLOCK_SIDES][2][BLOCK_PAGES_SIZE / 64];
	struct block *running; /* being executed, or NULL */
	uint64_t decoded;      /* instructions, for statistics */
	uint64_t flushes;      /* times the arena was full */
	uint64_t nursery_flushes;
};

static inline unsigned int block_slot(uint64_t linear)
{
	return (unsigned int)(linear ^ linear >> 12) & (BLOCK_JUMP_SIZE - 1);
}

/* -ENOMEM. Sizes in bytes; `room`: of what is kept at first, host code
 * included. */
int block_cache_init(struct block_cache *cache, size_t nursery, size_t kept,
		     size_t room);

/* There may be that much now. */
void block_cache_grow(struct block_cache *cache, size_t room);

void block_cache_fini(struct block_cache *cache);

/* Forgets which linear address leads where (a TLB flush). */
void block_forget_linear(struct block_cache *cache);

/* The same, but for global pages (a CR3 write). */
void block_forget_local(struct block_cache *cache);

/* The same for what lies in [first, first + size), whole pages (INVLPG). */
void block_forget_pages(struct block_cache *cache, uint64_t first,
			uint64_t size);

/* Forgets everything. */
void block_cache_flush(struct block_cache *cache);

#define BLOCK_ROWS_ALL UINT32_MAX

/* An instruction that `rows` says is there. */
static inline struct x86_insn *block_insn(struct block *b, unsigned int index)
{
	uint32_t before = b->rows & (((uint32_t)1 << index) - 1);

	return &b->insn[__builtin_popcount(before)];
}

/*
 * Drops what the interpreter will not be asked for from the block that was
 * kept last, now that it is host code. `rows`: a bit for each instruction to
 * stay. A block that may yet be interpreted as a whole stays as it is.
 */
void block_thin(struct block_cache *cache, struct block *b, uint32_t rows);

/* Behind the row: the bytes that a block of a checked page was made from. */
static inline uint8_t *block_bytes(struct block *b)
{
	return (uint8_t *)&b->insn[b->count + 1u];
}

/* Behind the row of a block that crosses. */
static inline const struct block_second *block_second(const struct block *b)
{
	return (const struct block_second *)&b->insn[b->count + 1u];
}

/* True where an instruction may begin that ends in the page behind. */
static inline bool block_may_cross(uint64_t linear)
{
	return (linear & (PAGE_SIZE - 1)) > PAGE_SIZE - X86_INSN_MAX;
}

static inline bool block_second_is_current(const struct block *b)
{
	const struct block_second *second = block_second(b);

	return atomic_load_explicit(second->page, memory_order_acquire) ==
	       second->state;
}

/* True while the block is what its bytes in guest memory say. */
static inline bool block_is_current(struct block *b)
{
	return atomic_load_explicit(b->page, memory_order_acquire) ==
		       b->state &&
	       (!b->source || !memcmp(b->source, block_bytes(b), b->bytes)) &&
	       (!b->crosses || block_second_is_current(b));
}

/*
 * The code segment where code depends on it: base, and limit in the upper
 * half. 0 in 64-bit code and in flat segments.
 */
static inline uint64_t block_segment(const struct x86_cpu *cpu)
{
	const struct x86_segment *cs = &cpu->state.seg[X86_CS];

	if (__builtin_expect(cpu->mode & (X86_MODE_CODE64 | X86_MODE_FLAT), 1))
		return 0;
	return (uint32_t)cs->base | (uint64_t)cs->limit << 32;
}

/* The linear address of cs:rip. */
static inline uint64_t block_linear(const struct x86_cpu *cpu)
{
	if (__builtin_expect(cpu->mode & X86_MODE_CODE64, 1))
		return cpu->state.rip;
	return (uint32_t)(cpu->state.rip + cpu->state.seg[X86_CS].base);
}

static inline uint64_t block_key_of(const struct block_cache *cache,
				    uint32_t mode)
{
	unsigned int side = mode & X86_MODE_USER ? BLOCK_USER : BLOCK_SUPER;

	return cache->translation[side] << X86_MODE_BITS | mode;
}

static inline uint64_t block_key(const struct block_cache *cache,
				 const struct x86_cpu *cpu)
{
	return block_key_of(cache, cpu->mode);
}

/* The block at cs:rip, when it was found there before; else NULL. */
static inline struct block *block_known(struct block_cache *cache,
					const struct x86_cpu *cpu)
{
	uint64_t linear = block_linear(cpu);
	const struct block_jump *j = &cache->jump[block_slot(linear)];

	if (__builtin_expect(j->linear == linear &&
				     j->key == block_key(cache, cpu) &&
				     j->block->segment == block_segment(cpu) &&
				     block_is_current(j->block), 1))
		return j->block;
	return NULL;
}

/* Counts that the block is interpreted; true when that was often enough for
 * it to be rewritten. */
bool block_heats_up(struct block_cache *cache, const struct block *block);

/* The block is out of date, but hot. */
void block_drop(struct block_cache *cache, struct block *block);

/*
 * Moves a block out of the nursery; the old one is found no more. NULL: there
 * is no room, everything is to be flushed.
 */
struct block *block_keep(struct block_cache *cache, struct x86_cpu *cpu,
			 struct block *block);

/*
 * The block at cs:rip: X86_NEXT and *block. *block is NULL when the code
 * there cannot be kept (not in memory, cut by the segment's limit, across
 * pages one of which is checked): then one x86_step() is due. X86_FAULT: the fetch
 * faults.
 */
enum x86_result block_find(struct soft_cpu *soft, struct x86_cpu *cpu,
			   struct block **block);

/* change.c: true unless the instruction surely leaves memory alone. */
bool block_may_write(const struct x86_insn *insn);

/*
 * The running block's page was written by its own vCPU: makes it end behind
 * the instruction that is being executed.
 */
void block_cut(struct block_cache *cache);

#endif
