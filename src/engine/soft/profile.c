/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft engine's profile: counters of slow paths, and samples.
 *
 * A sample is taken in a signal handler on the vCPU's own thread, so whatever
 * it reads is this thread's, at some point between two instructions. It
 * changes nothing but its own tables, and those are read by the code that it
 * interrupts only when the vCPU has stopped.
 *
 * A host address is traced to its block by one index for each 16 bytes of
 * code memory, which is what blocks are aligned to.
 */
#include "engine/soft/profile.h"

#include <Zydis/Zydis.h>

#include "engine/soft/soft.h"
#include "vm/error.h"

#define GRAIN	   16u
#define CODES_MAX  (1u << 20) /* blocks rewritten; memory as far as used */
#define PLACES	   16384u
#define PROBES	   16u
#define KINDS	   4096u
#define MNEMONICS  (ZYDIS_MNEMONIC_MAX_VALUE + 1u)
#define MULTIPLIER 0x9e3779b97f4a7c15u

/* Instructions that look alike, and what they are called. */
struct kind {
	uint64_t key; /* 0: empty */
	uint16_t mnemonic;
};

struct soft_profile {
	struct soft_cpu *soft;
	struct engine_profile told;
	uint64_t start; /* host_monotonic_ns() */
	struct host_ram code_ram, index_ram;
	struct profile_code *code; /* CODES_MAX, from 1 on */
	uint32_t *index;	   /* of `code`, by grain; 0: none */
	uint32_t codes;
	struct profile_place place[PLACES];
	struct kind kind[KINDS];
	struct profile_insn insn[MNEMONICS];
	/* Counters of the processor before an instruction. */
	uint64_t walks, straddles, io, code_writes;
};

uint64_t soft_profile_clock(void)
{
	return host_monotonic_ns();
}

void soft_profile_free(struct soft_profile *profile)
{
	if (!profile)
		return;
	host_ram_destroy(&profile->code_ram);
	host_ram_destroy(&profile->index_ram);
	host_free(profile);
}

static int profile_start(struct x86_cpu *cpu)
{
	struct soft_cpu *soft = cpu->engine;
	uint64_t grains = soft->rewriter.code.size / GRAIN + 1;
	struct soft_profile *p = host_alloc(sizeof(*p));
	int err;

	if (!p)
		return -VM_ENOMEM;
	err = host_ram_create(&p->code_ram, CODES_MAX * sizeof(*p->code));
	if (!err)
		err = host_ram_create(&p->index_ram,
				      (grains * sizeof(*p->index) +
				       PAGE_SIZE - 1) & PAGE_MASK);
	if (err) {
		soft_profile_free(p);
		return err;
	}
	p->code = (void *)p->code_ram.base;
	p->index = (void *)p->index_ram.base;
	p->codes = 1;
	p->soft = soft;
	p->start = host_monotonic_ns();
	soft->profile = p;
	return 0;
}

/* --- samples --------------------------------------------------------------- */

static void found_at(struct soft_profile *p, uint64_t linear, bool in_code)
{
	unsigned int at = (unsigned int)(linear * MULTIPLIER >> 40);

	for (unsigned int i = 0; i < PROBES; i++) {
		struct profile_place *place = &p->place[(at + i) % PLACES];

		if (place->hits && place->linear != linear)
			continue;
		place->linear = linear;
		place->hits++;
		place->in_code += in_code;
		return;
	}
	p->told.count[PROFILE_LOST]++;
}

static const enum profile_work works[X86_WORKS] = {
	[X86_WORK_RUN] = PROFILE_INTERPRET,
	[X86_WORK_DECODE] = PROFILE_DECODE,
	[X86_WORK_REWRITE] = PROFILE_REWRITE,
	[X86_WORK_WALK] = PROFILE_WALK,
	[X86_WORK_DEVICE] = PROFILE_DEVICE,
	[X86_WORK_HALT] = PROFILE_HALT,
};

/* Part of a block, though of which is not known. */
static bool is_check(const struct rewriter *rw, uintptr_t pc)
{
	return pc >= rw->checks && pc < rw->checks_end;
}

static void profile_sample(void *ctx, uintptr_t pc)
{
	const struct x86_cpu *cpu = ctx;
	struct soft_cpu *soft = cpu->engine;
	struct soft_profile *p = soft->profile;
	uint64_t offset = pc - (uintptr_t)soft->rewriter.code.exec;
	enum profile_work work = works[cpu->work];
	uint32_t code;

	if (offset < soft->rewriter.code.size) {
		code = p->index[offset / GRAIN];
		work = code || is_check(&soft->rewriter, pc) ? PROFILE_CODE :
							       PROFILE_STUB;
		if (code)
			found_at(p, p->code[code].linear, true);
	} else if (work != PROFILE_HALT) {
		found_at(p, cpu->block_rip, false);
	}
	p->told.work[work]++;
}

/* --- blocks ----------------------------------------------------------------- */

void soft_profile_decoded(struct soft_profile *profile,
			  const struct block *block)
{
	uint64_t *count = profile->told.count;

	count[PROFILE_DECODED_BLOCKS]++;
	count[PROFILE_DECODED_INSNS] += block->count;
}

void soft_profile_rewritten(struct soft_profile *p, const struct block *block,
			    uint64_t start, uint64_t from)
{
	const struct rewriter *rw = &p->soft->rewriter;
	uint64_t *count = p->told.count;

	count[PROFILE_REWRITE_NS] += host_monotonic_ns() - start;
	if (!block->code)
		return;
	count[PROFILE_REWRITTEN_BLOCKS]++;
	count[PROFILE_REWRITTEN_INSNS] += block->count;
	count[PROFILE_REWRITTEN_BYTES] += block->bytes;
	if (p->codes == CODES_MAX)
		return;
	p->code[p->codes] = (struct profile_code){
		.exec = (uintptr_t)rw->code.exec + from,
		.linear = block->linear,
		.size = (uint32_t)(rw->used - from),
	};
	for (uint64_t at = from; at < rw->used; at += GRAIN)
		p->index[at / GRAIN] = p->codes;
	p->codes++;
}

void soft_profile_flushed(struct soft_profile *p)
{
	memset(p->index, 0,
	       (p->soft->rewriter.code.size / GRAIN + 1) * sizeof(*p->index));
}

/* --- slow paths ------------------------------------------------------------- */

static void take_counters(struct soft_profile *p)
{
	const struct x86_cpu *cpu = p->soft->cpu;

	p->walks = cpu->stat_walk;
	p->straddles = cpu->stat_straddle;
	p->io = cpu->stat_mmio + cpu->stat_pio;
	p->code_writes = cpu->stat_code_write;
}

void soft_profile_before(struct soft_profile *profile)
{
	take_counters(profile);
}

/* The first that applies; a walk goes with most of the others. */
static enum profile_reason reason_of(const struct soft_profile *p,
				     enum x86_result result)
{
	const struct x86_cpu *cpu = p->soft->cpu;

	if (result == X86_FAULT)
		return PROFILE_FAULT;
	if (cpu->stat_mmio + cpu->stat_pio != p->io)
		return PROFILE_IO;
	if (cpu->stat_code_write != p->code_writes)
		return PROFILE_CODE_PAGE;
	if (cpu->stat_straddle != p->straddles)
		return PROFILE_STRADDLE;
	if (cpu->stat_walk != p->walks)
		return PROFILE_MISS;
	return PROFILE_UNKNOWN;
}

/* The instruction's bytes; false: they are not in memory any more. */
static bool read_bytes(const struct x86_cpu *cpu, const struct block *block,
		       const struct x86_insn *insn, uint8_t *bytes)
{
	const struct memory *mem = &cpu->vm->memory;
	uint64_t address = block->address + insn->offset;
	uint32_t left = PAGE_SIZE - (uint32_t)(address & (PAGE_SIZE - 1));
	uint32_t first = insn->length < left ? insn->length : left;

	if (memory_read(mem, gpa(address), bytes, first))
		return false;
	return first == insn->length ||
	       !memory_read(mem, gpa(block_second(block)->address),
			    bytes + first, insn->length - first);
}

static ZydisMnemonic mnemonic_of(const struct x86_cpu *cpu,
				 const struct block *block,
				 const struct x86_insn *insn)
{
	uint8_t bytes[X86_INSN_MAX];
	ZydisDecodedInstruction zi;
	ZydisDecoder decoder;

	if (block->mode & X86_MODE_CODE64)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
				 ZYDIS_STACK_WIDTH_64);
	else if (block->mode & X86_MODE_CODE32)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32,
				 ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16,
				 ZYDIS_STACK_WIDTH_16);
	if (!read_bytes(cpu, block, insn, bytes) ||
	    ZYAN_FAILED(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes,
						      insn->length, &zi)))
		return ZYDIS_MNEMONIC_INVALID;
	return zi.mnemonic;
}

/* What tells instructions of different names apart. Never 0. */
static uint64_t kind_key(const struct block *block,
			 const struct x86_insn *insn)
{
	const uint8_t prefixes = X86_PFX_REP | X86_PFX_REPNE | X86_PFX_OPSIZE |
				 X86_PFX_REXW;
	uint8_t modrm = insn->mem ? insn->modrm & 0x38 : insn->modrm;

	return (uint64_t)insn->opcode << 48 | (uint64_t)insn->map << 40 |
	       (uint64_t)insn->encoding << 32 |
	       (uint64_t)(insn->prefix & prefixes) << 24 |
	       (uint64_t)insn->adsize << 18 | (uint64_t)insn->mem << 17 |
	       (uint64_t)!!(block->mode & X86_MODE_CODE64) << 16 |
	       (uint64_t)modrm << 8 | 1;
}

void soft_profile_after(struct soft_profile *p, const struct block *block,
			const struct x86_insn *insn, enum x86_result result)
{
	uint64_t key = kind_key(block, insn);
	struct kind *kind = &p->kind[key * MULTIPLIER >> 52];

	if (kind->key != key)
		*kind = (struct kind){
			.key = key,
			.mnemonic = (uint16_t)mnemonic_of(p->soft->cpu, block,
							  insn),
		};
	p->insn[kind->mnemonic].count[reason_of(p, result)]++;
}

/* --- the end ---------------------------------------------------------------- */

static void copy_counters(struct soft_profile *p)
{
	const struct soft_cpu *soft = p->soft;
	const struct x86_cpu *cpu = soft->cpu;
	uint64_t *count = p->told.count;

	count[PROFILE_NS] = host_monotonic_ns() - p->start;
	count[PROFILE_COLD_INSNS] = cpu->instructions;
	count[PROFILE_WALKS] = cpu->stat_walk;
	count[PROFILE_STRADDLES] = cpu->stat_straddle;
	count[PROFILE_MMIO] = cpu->stat_mmio;
	count[PROFILE_PIO] = cpu->stat_pio;
	count[PROFILE_FAULTS] = cpu->stat_fault;
	count[PROFILE_INTERRUPTS] = cpu->stat_interrupt;
	count[PROFILE_HALTS] = cpu->stat_halt;
	count[PROFILE_TLB_FLUSHES] = cpu->stat_tlb_flush;
	count[PROFILE_PAGE_FLUSHES] = cpu->stat_page_flush;
	count[PROFILE_CODE_WRITES] = cpu->stat_code_write;
	count[PROFILE_CACHE_FLUSHES] = soft->cache.flushes;
	count[PROFILE_NURSERY_FLUSHES] = soft->cache.nursery_flushes;
	count[PROFILE_HOST_BYTES] = soft->rewriter.bytes;
	count[PROFILE_CACHE_BYTES] = soft->room.size;
}

static const struct engine_profile *profile_get(struct x86_cpu *cpu)
{
	struct soft_cpu *soft = cpu->engine;
	struct soft_profile *p = soft->profile;

	copy_counters(p);
	for (unsigned int i = 0; i < MNEMONICS; i++)
		p->insn[i].name = ZydisMnemonicGetString((ZydisMnemonic)i);
	/* Code that others have taken the place of is gone. */
	for (uint32_t i = 1; i < p->codes; i++)
		if (p->index[(p->code[i].exec -
			      (uintptr_t)soft->rewriter.code.exec) / GRAIN] !=
		    i)
			p->code[i].size = 0;
	p->told.place = p->place;
	p->told.places = PLACES;
	p->told.insn = p->insn;
	p->told.insns = MNEMONICS;
	p->told.code = p->code;
	p->told.codes = p->codes;
	return &p->told;
}

const struct engine_profile_ops soft_profile_ops = {
	.start = profile_start,
	.sample = profile_sample,
	.get = profile_get,
};
