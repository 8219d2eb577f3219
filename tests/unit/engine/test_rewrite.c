/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs random programs through the interpreter and as rewritten host code,
 * and compares registers, flags, vector registers, memory, MMIO accesses and
 * exception frames.
 *
 *   test-rewrite [--count N] [--seed N] [--host]
 *
 * With --host they are programs that a process can execute, and the host
 * processor is the third to run them: its exception, registers and memory at
 * the fault have to be those of the other two.
 *
 * The seed is printed. Of a failure the program is cut down to the
 * instructions that matter and printed with the seed that --count 1 repeats.
 */
#include "test_rewrite.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "x86/reg.h"
#include "x86/state.h"

#define REPORTS_MAX  10
#define STUCK_SECONDS 60
#define HOST_RUN      9

static volatile uint64_t current_seed;
static bool with_host;

static const char *const page_name[2] = { "exception frame", "words" };

struct difference {
	const char *what; /* NULL: none */
	uint64_t at, a, b;
};

static bool is_handler(uint64_t rip)
{
	return rip - REWRITE_HANDLERS < 0x1000 && rip != REWRITE_STOP;
}

/* Flags not to be compared, in RFLAGS and in the frame. */
static uint32_t masked_flags(const struct program *p, const struct outcome *o)
{
	uint64_t rip;

	if (o->rip == REWRITE_STOP)
		return p->undefined_out;
	if (!is_handler(o->rip))
		return X86_FLAGS_ARITH;
	memcpy(&rip, o->page[0] + PAGE_SIZE - 40, 8);
	return rewrite_machine_open_flags(p, rip);
}

static uint64_t word(const struct outcome *o, unsigned int page,
		     unsigned int at)
{
	uint64_t v;

	memcpy(&v, o->page[page] + at, 8);
	return v;
}

static struct difference compare_pages(const struct outcome *a,
				       const struct outcome *b, uint32_t mask)
{
	unsigned int i, at;

	for (i = 0; i < REWRITE_SEEN; i++) {
		if (!memcmp(a->page[i], b->page[i], PAGE_SIZE))
			continue;
		for (at = 0; at < PAGE_SIZE; at += 8) {
			uint64_t x = word(a, i, at), y = word(b, i, at);

			if (i == 0 && at == PAGE_SIZE - 24 &&
			    !((x ^ y) & ~(uint64_t)mask))
				continue;
			if (x != y)
				return (struct difference){
					i < 2 ? page_name[i] : "memory",
					i < 2 ? at :
						REWRITE_DATA + (i - 2) *
						PAGE_SIZE + at,
					x, y
				};
		}
	}
	return (struct difference){ 0 };
}

static struct difference compare(const struct outcome *a,
				 const struct outcome *b, uint32_t mask)
{
	unsigned int i;

	if (a->rip != b->rip)
		return (struct difference){ "rip", 0, a->rip, b->rip };
	for (i = 0; i < 16; i++)
		if (a->gpr[i] != b->gpr[i])
			return (struct difference){ "gpr", i, a->gpr[i],
						    b->gpr[i] };
	if ((a->rflags ^ b->rflags) & ~(uint64_t)mask)
		return (struct difference){ "rflags", mask, a->rflags,
					    b->rflags };
	if (a->cr2 != b->cr2)
		return (struct difference){ "cr2", 0, a->cr2, b->cr2 };
	if (a->mmio != b->mmio)
		return (struct difference){ "mmio", 0, a->mmio, b->mmio };
	for (i = 0; i < sizeof(a->vector); i++)
		if (a->vector[i] != b->vector[i])
			return (struct difference){ "vector", i, a->vector[i],
						    b->vector[i] };
	return compare_pages(a, b, mask);
}

/* The exception frame that the guest pushed, as if it had not been. */
static void take_back_frame(struct outcome *o)
{
	o->vector_number = (unsigned int)(o->rip - REWRITE_HANDLERS) / 16;
	o->rip = word(o, 0, PAGE_SIZE - 40);
	o->rflags = word(o, 0, PAGE_SIZE - 24) & ~(uint64_t)X86_FLAG_RF;
	o->gpr[X86_RSP] = word(o, 0, PAGE_SIZE - 16);
}

static uint32_t undefined_at(const struct program *p, uint64_t rip)
{
	for (unsigned int i = 0; i < p->count; i++)
		if (p->piece[i].at == rip)
			return p->piece[i].undefined;
	return p->undefined_out;
}

/* Of the XSAVE area FCW, FSW, FTW, MXCSR, ST, XMM, YMM and AVX-512. */
static bool is_compared(unsigned int i)
{
	return i < 5 || i - 24 < 4 || (i - 32 < 128 && i % 16 < 10) ||
	       i - 160 < 256 || (i >= X86_XSAVE_YMM && i < X86_XSAVE_PKRU);
}

/*
 * At the fault, or at the end, where the host has no page. CR2 of other
 * exceptions is the guest's alone.
 */
static struct difference compare_host(const struct program *p,
				      const struct outcome *interpreted,
				      struct outcome *host)
{
	static struct outcome a;

	a = *interpreted;
	a.vector_number = X86_PF;
	if (is_handler(a.rip))
		take_back_frame(&a);
	else
		a.cr2 = a.rip;
	/* One signal for both, with an x87 exception pending either way. */
	if (a.vector_number == X86_XM && host->vector_number == X86_MF)
		host->vector_number = X86_XM;
	if (a.vector_number != host->vector_number)
		return (struct difference){ "exception", 0, a.vector_number,
					    host->vector_number };
	host->mmio = a.mmio;
	host->rflags &= ~(uint64_t)X86_FLAG_RF;
	memcpy(host->page[0], a.page[0], PAGE_SIZE);
	/* A fetch may be for more than the instruction's first bytes. */
	if (a.vector_number != X86_PF || a.cr2 == a.rip)
		host->cr2 = a.cr2;
	/* Which flags an unmasked exception leaves beside its own varies. */
	if (a.vector_number == X86_XM)
		host->vector[24] = a.vector[24];
	for (unsigned int i = 0; i < sizeof(a.vector); i++)
		if (!is_compared(i))
			host->vector[i] = a.vector[i];
	return compare(&a, host, undefined_at(p, a.rip));
}

/*
 * Interpreted, rewritten with what the TLB then holds, once more through the
 * links of the first time, and mixed.
 */
static struct difference try(const struct program *p, unsigned int *which)
{
	static const enum way ways[] = { REWRITTEN, REWRITTEN, REWRITTEN,
					 MIXED };
	static struct outcome a, b;
	struct difference d = { 0 };

	rewrite_machine_load(p);
	rewrite_machine_run(p, INTERPRETED, p->seed & 1, &a);
	if (!a.over)
		return d;
	if (p->host) {
		rewrite_host_run(p, &b);
		d = compare_host(p, &a, &b);
		*which = HOST_RUN;
		if (d.what)
			return d;
	}
	for (*which = 0; *which < 4 && !d.what; ++*which) {
		rewrite_machine_run(p, ways[*which],
				    *which == (p->seed >> 1) % 4, &b);
		d = compare(&a, &b, masked_flags(p, &a));
	}
	return d;
}

static void print_program(const struct program *p)
{
	for (unsigned int i = 0; i < p->count; i++) {
		const struct piece *piece = &p->piece[i];

		if (piece->bytes[0] == 0x90)
			continue;
		printf("    %05x:", piece->at);
		for (unsigned int k = 0; k < piece->length; k++)
			printf(" %02x", piece->bytes[k]);
		printf("\n");
	}
	for (unsigned int i = 0; i < 16; i++)
		printf("    r%-2u %016" PRIx64 "%s", i, p->gpr[i],
		       i % 4 == 3 ? "\n" : "");
	printf("    rip %" PRIx64 " rflags %" PRIx64 " fs %" PRIx64
	       " gs %" PRIx64 "%s%s\n", p->rip, p->rflags, p->fs, p->gs,
	       p->user ? " user" : "", p->smap ? " smap" : "");
	for (unsigned int i = 0; i < 6 && p->bits != 64; i++)
		printf("    segment %u base %x limit %x attr %x%s\n", i,
		       p->seg[i].base, p->seg[i].limit, p->seg[i].attr,
		       i ? "" : p->bits == 32 ? ", 32-bit code" :
						", 16-bit code");
}

/* Replaces by NOPs what the difference does not need. */
static void minimise(struct program *p, unsigned int which)
{
	for (unsigned int i = 0; i < p->count; i++) {
		struct piece keep = p->piece[i];
		unsigned int now;

		memset(p->piece[i].bytes, 0x90, keep.length);
		if (!rewrite_analyse(p) || !try(p, &now).what ||
		    (now == HOST_RUN) != (which == HOST_RUN))
			p->piece[i] = keep;
	}
	rewrite_analyse(p);
}

static bool run_program(uint64_t seed, bool print)
{
	static struct program p;
	struct difference d;
	unsigned int which;

	random_state = seed;
	rewrite_draw(&p, with_host);
	d = try(&p, &which);
	if (!d.what)
		return true;
	if (!print)
		return false;
	printf("%s %" PRIx64 ": interpreted %" PRIx64 ", %s %" PRIx64
	       " (run %u, --count 1 --seed %" PRIu64 "%s)\n",
	       d.what, d.at, d.a, which == HOST_RUN ? "host" : "rewritten",
	       d.b, which, current_seed, with_host ? " --host" : "");
	minimise(&p, which);
	print_program(&p);
	return false;
}

static void stuck(int signal)
{
	printf("signal %d: --count 1 --seed %" PRIu64 "\n", signal,
	       current_seed);
	_exit(1);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 's' },
		{ "host", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t seed = (uint64_t)time(NULL) << 20, count = 40000, bad = 0;
	uint64_t blocks, insns;
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'c')
			count = strtoull(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'h')
			with_host = true;
		else
			return 2;
	}
	signal(SIGALRM, stuck);
	signal(SIGSEGV, stuck);
	signal(SIGILL, stuck);
	rewrite_machine_open();
	if (with_host) {
		rewrite_machine_like_host();
		rewrite_host_open();
	}
	printf("%" PRIu64 " programs, seed %" PRIu64 "\n", count, seed);
	for (uint64_t i = 0; i < count; i++) {
		if (i % 1024 == 0)
			alarm(STUCK_SECONDS);
		current_seed = seed + i;
		bad += !run_program((seed + i) * 0x9e3779b97f4a7c15u | 1,
				    bad < REPORTS_MAX);
	}
	rewrite_machine_stats(&blocks, &insns);
	printf("%" PRIu64 " differ; %" PRIu64 " blocks, %" PRIu64
	       " instructions rewritten\n", bad, blocks, insns);
	if (with_host)
		rewrite_host_close();
	rewrite_machine_close();
	return bad != 0;
}
