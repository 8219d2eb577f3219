/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine tells about where its time went, for `lodge run --profile`:
 * counters, what a processor's thread was found doing, and which guest code.
 * An engine without a profile leaves engine.profile NULL.
 */
#ifndef LODGE_ENGINE_PROFILE_H
#define LODGE_ENGINE_PROFILE_H

#include <stdint.h>

#include "x86/cpu.h"

/* What a sample may find. */
enum profile_work {
	PROFILE_CODE,	   /* rewritten guest code */
	PROFILE_STUB,	   /* the ways into it, out of it, between blocks */
	PROFILE_INTERPRET, /* handlers, run loop */
	PROFILE_DECODE,
	PROFILE_REWRITE,
	PROFILE_WALK, /* page tables */
	PROFILE_DEVICE,
	PROFILE_HALT,
	PROFILE_WORKS,
};

enum profile_count {
	PROFILE_NS, /* that the processor's thread ran or slept */
	PROFILE_DECODED_BLOCKS,
	PROFILE_DECODED_INSNS,
	PROFILE_REWRITTEN_BLOCKS,
	PROFILE_REWRITTEN_INSNS,
	PROFILE_REWRITTEN_BYTES, /* of the guest's code */
	PROFILE_HOST_BYTES,	 /* that they became */
	PROFILE_REWRITE_NS,
	PROFILE_COLD_INSNS, /* interpreted in blocks not yet rewritten */
	PROFILE_WALKS,	    /* of page tables */
	PROFILE_STRADDLES,  /* accesses to two pages */
	PROFILE_MMIO,
	PROFILE_PIO,
	PROFILE_FAULTS,
	PROFILE_INTERRUPTS,
	PROFILE_HALTS,
	PROFILE_TLB_FLUSHES,
	PROFILE_PAGE_FLUSHES, /* INVLPG and its like */
	PROFILE_CODE_WRITES,  /* to pages that hold decoded code */
	PROFILE_CACHE_FLUSHES, /* the cache was full */
	PROFILE_NURSERY_FLUSHES, /* the same for new blocks */
	PROFILE_CACHE_BYTES, /* that the engine may keep */
	PROFILE_LOST, /* samples whose place was not noted: too many places */
	PROFILE_COUNTS,
};

/* Why rewritten code had the interpreter execute an instruction. */
enum profile_reason {
	PROFILE_UNKNOWN,  /* the rewriter does not rewrite it */
	PROFILE_MISS,	  /* no entry in the software TLB */
	PROFILE_STRADDLE, /* an operand in two pages */
	PROFILE_IO,	  /* ports, memory of devices */
	PROFILE_CODE_PAGE, /* a write to a page that holds decoded code */
	PROFILE_FAULT,	  /* it raised an exception */
	PROFILE_REASONS,
};

/* A block of guest code that samples found. */
struct profile_place {
	uint64_t linear;
	uint32_t hits; /* 0: the slot is empty */
	uint32_t in_code; /* of them, rewritten */
};

struct profile_insn {
	const char *name;
	uint64_t count[PROFILE_REASONS];
};

/* Rewritten code that is in memory still. */
struct profile_code {
	uint64_t exec, linear;
	uint32_t size; /* 0: no longer there */
};

/* Of one processor. */
struct engine_profile {
	uint64_t count[PROFILE_COUNTS];
	uint64_t work[PROFILE_WORKS]; /* samples */
	const struct profile_place *place;
	unsigned int places; /* slots */
	const struct profile_insn *insn;
	unsigned int insns;
	const struct profile_code *code;
	unsigned int codes;
};

struct engine_profile_ops {
	/* Before the processor runs for the first time. -ENOMEM. */
	int (*start)(struct x86_cpu *cpu);

	/* On the processor's own thread, at any moment, in a signal handler:
	 * host code at `pc` was interrupted. `cpu` is a struct x86_cpu. */
	void (*sample)(void *cpu, uintptr_t pc);

	/* After its last run; valid until the processor is closed. */
	const struct engine_profile *(*get)(struct x86_cpu *cpu);
};

#endif
