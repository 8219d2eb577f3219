/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparison of rewritten code with interpreted code: random programs of a
 * few blocks, the small machine that runs them both ways, and what it ends
 * with. Linear addresses below 2 MiB are physical ones; the same pages are
 * mapped at REWRITE_HIGH and at the top of the address space.
 */
#ifndef LODGE_TEST_REWRITE_H
#define LODGE_TEST_REWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "fake/random.h"
#include "vm/memory.h"
#include "x86/cpu.h"

#define REWRITE_IST	 0x8000u /* page of the exception stack */
#define REWRITE_HANDLERS 0x9000u /* 16 bytes a vector; never executed */
#define REWRITE_STOP	 0x9f00u /* where programs end */
#define REWRITE_CODE	 0x10000u
#define REWRITE_CODE_PAGES 5u /* the last one: functions */
#define REWRITE_WORDS	 0x1e000u /* counters and pointers */
#define REWRITE_CONTROL	 0x1e100u /* there: 16 MXCSR, 16 FCW, 4 bytes each */
#define REWRITE_DATA	 0x20000u
#define REWRITE_DATA_PAGES 10u
#define REWRITE_HIGH	 0xffff800000000000u

#define REWRITE_PIECES 128u

/* One instruction where it lies. */
struct piece {
	uint32_t at;
	uint8_t length;
	uint8_t block;
	uint16_t undefined; /* flags, where it starts */
	uint8_t bytes[16];
};

struct program {
	struct piece piece[REWRITE_PIECES];
	unsigned int count;
	/* All flags are live behind the block, whatever follows. */
	bool all_live[8];
	uint32_t undefined_out; /* at REWRITE_STOP */
	/* Where it starts from. */
	uint64_t gpr[16], rflags, fs, gs;
	uint64_t rip; /* linear */
	bool user, smap;
	bool host; /* may run on the host processor */
	uint64_t seed; /* of memory and vector registers */
	unsigned int bits; /* of the code: 64, 32 or 16 */
	/* Of 16- and 32-bit code, by enum x86_seg. */
	struct {
		uint32_t base, limit;
		uint16_t attr; /* without DPL */
	} seg[6];
};

/* x86_cpu.mode as far as decoding goes. */
static inline uint32_t rewrite_mode(const struct program *p)
{
	return X86_MODE_LONG | X86_MODE_PROT |
	       (p->bits == 64 ? X86_MODE_CODE64 :
		p->bits == 32 ? X86_MODE_CODE32 :
				0);
}

/* Pages that programs can write. */
#define REWRITE_SEEN (2u + REWRITE_DATA_PAGES)

/* What a program ends with. */
struct outcome {
	bool over; /* false: it took too long */
	unsigned int vector_number; /* of the host: why it ended */
	uint64_t gpr[16], rflags, cr2;
	uint64_t rip; /* linear */
	uint64_t mmio; /* digest of all accesses */
	uint8_t vector[X86_XSAVE_PKRU]; /* the XSAVE area */
	uint8_t page[REWRITE_SEEN][PAGE_SIZE];
};

enum way {
	INTERPRETED,
	REWRITTEN,
	MIXED, /* some blocks this way, some that */
};

void rewrite_machine_open(void);
void rewrite_machine_close(void);
void rewrite_machine_load(const struct program *p);
/* Runs the program that was loaded last. `cold`: with an empty TLB. */
void rewrite_machine_run(const struct program *p, enum way way, bool cold,
			 struct outcome *out);
bool rewrite_machine_avx512(void); /* the guest has it */
/* The processor, in 64-bit mode at ring 0, for code put into memory. */
struct x86_cpu *rewrite_machine_cpu(void);
/*
 * Flags for which a fault at `rip` may push anything: undefined ones, and
 * those that get a new value before they are read, as far as the block tells.
 */
uint32_t rewrite_machine_open_flags(const struct program *p, uint64_t rip);
/*
 * Makes the data pages what a process of the host can have: no devices, no
 * ROM, no copies of the low addresses.
 */
void rewrite_machine_like_host(void);
/* The processor and memory as the program finds them. */
const struct x86_state *rewrite_machine_start(const struct program *p);
const uint8_t *rewrite_machine_ram(uint64_t address);
/* How many blocks and instructions were rewritten. */
void rewrite_machine_stats(uint64_t *blocks, uint64_t *insns);

/* test_rewrite_draw.c */
/* `host`: 64-bit user code, and the addresses are those a process may have. */
void rewrite_draw(struct program *p, bool host);
/* Undefined flags anew; false when an instruction reads one. */
bool rewrite_analyse(struct program *p);

/* test_rewrite_host.c */
void rewrite_host_open(void);
void rewrite_host_close(void);
/* Runs the program that the machine has loaded; page[0] is left alone. */
void rewrite_host_run(const struct program *p, struct outcome *out);

#endif
