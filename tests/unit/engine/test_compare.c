/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs every instruction form with random operands on the host processor and
 * on the software CPU, and compares registers, flags, memory and exceptions.
 *
 *   test-compare [--count N] [--seed N] [--only MNEMONIC] [--list]
 *
 * N is samples a form. The seed is printed; each failure gives the sample's
 * own seed, which --only with --count 1 repeats.
 */
#include "compare.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FORMS_WANTED  400
#define REPORTS_MAX   40
#define FPU_LAST_FROM 6 /* FOP, FIP, FDP: not compared */
#define FPU_LAST_TO   24

struct options {
	unsigned int count;
	uint64_t seed;
	const char *only;
	bool list;
};

static void print_bytes(const char *name, const uint8_t *p, unsigned int n)
{
	printf("    %-6s", name);
	while (n--)
		printf(" %02x", *p++);
	printf("\n");
}

/* DPPS and DPPD multiply, then add: which step raised #XM shows in MXCSR. */
static bool is_dot_product(const struct sample *s)
{
	return s->zi.mnemonic == ZYDIS_MNEMONIC_DPPS ||
	       s->zi.mnemonic == ZYDIS_MNEMONIC_DPPD ||
	       s->zi.mnemonic == ZYDIS_MNEMONIC_VDPPS ||
	       s->zi.mnemonic == ZYDIS_MNEMONIC_VDPPD;
}

/*
 * Left out: the precision flag beside an unmasked overflow or underflow. It
 * tells whether the scaled result was inexact, which the software CPU cannot
 * see.
 */
static bool same_mxcsr(const struct sample *s, const struct machine *a,
		       const struct machine *b)
{
	uint32_t x, y;

	memcpy(&x, a->xsave + 24, 4);
	memcpy(&y, b->xsave + 24, 4);
	if (a->vector == 19 && is_dot_product(s))
		return true;
	if (a->vector == 19 && x & 0x18)
		y = (y & ~0x20u) | (x & 0x20);
	return x == y;
}

/* What differs first, as text; NULL when nothing does. */
static const char *difference(const struct sample *s, const struct machine *a,
			      const struct machine *b, unsigned int *at)
{
	uint64_t seen = FLAGS_SEEN & ~(uint64_t)s->undefined;
	unsigned int i;

	*at = 0;
	if (a->vector != b->vector)
		return "exception";
	for (*at = 0; *at < 16; ++*at)
		if (a->gpr[*at] != b->gpr[*at])
			return "gpr";
	for (*at = 0; *at < 16; ++*at)
		if (memcmp(a->xsave + 160 + 16 * *at, b->xsave + 160 + 16 * *at,
			   16) ||
		    memcmp(a->xsave + 576 + 16 * *at, b->xsave + 576 + 16 * *at,
			   16))
			return "vector";
	for (*at = 0; *at < 8; ++*at)
		if (memcmp(a->xsave + X86_XSAVE_OPMASK + 8 * *at,
			   b->xsave + X86_XSAVE_OPMASK + 8 * *at, 8))
			return "opmask";
	for (*at = 0; *at < 16; ++*at)
		if (memcmp(a->xsave + X86_XSAVE_ZMM_HI256 + 32 * *at,
			   b->xsave + X86_XSAVE_ZMM_HI256 + 32 * *at, 32))
			return "upper half";
	for (*at = 16; *at < 32; ++*at)
		if (memcmp(a->xsave + X86_XSAVE_HI16_ZMM + 64 * (*at - 16),
			   b->xsave + X86_XSAVE_HI16_ZMM + 64 * (*at - 16), 64))
			return "high vector";
	*at = 0;
	if (a->vector == NO_VECTOR && (a->flags ^ b->flags) & seen)
		return "flags";
	if (!same_mxcsr(s, a, b))
		return "mxcsr";
	for (i = 0; i < FPU_LAST_FROM; i++)
		if (a->xsave[i] != b->xsave[i])
			return "x87 control";
	for (*at = 0; *at < 8; ++*at)
		if (memcmp(a->xsave + 32 + 16 * *at, b->xsave + 32 + 16 * *at,
			   10))
			return "x87 register";
	for (*at = 0; *at < DATA_SIZE; ++*at)
		if (a->data[*at] != b->data[*at])
			return "memory";
	return NULL;
}

static void print_side(const char *name, const struct machine *m,
		       const char *what, unsigned int at)
{
	printf("   %s: exception %d flags %03" PRIx64 "\n", name, m->vector,
	       m->flags & FLAGS_SEEN);
	if (!strcmp(what, "gpr"))
		printf("    r%u %016" PRIx64 "\n", at, m->gpr[at]);
	if (!strcmp(what, "vector")) {
		print_bytes("xmm", m->xsave + 160 + 16 * at, 16);
		print_bytes("high", m->xsave + 576 + 16 * at, 16);
	}
	if (!strcmp(what, "opmask"))
		print_bytes("k", m->xsave + X86_XSAVE_OPMASK + 8 * at, 8);
	if (!strcmp(what, "upper half"))
		print_bytes("zmm", m->xsave + X86_XSAVE_ZMM_HI256 + 32 * at,
			    32);
	if (!strcmp(what, "high vector"))
		print_bytes("zmm",
			    m->xsave + X86_XSAVE_HI16_ZMM + 64 * (at - 16), 64);
	if (!strcmp(what, "x87 register"))
		print_bytes("st", m->xsave + 32 + 16 * at, 10);
	if (!strcmp(what, "memory"))
		print_bytes("data", m->data + (at & ~15u), 32);
	print_bytes("mxcsr", m->xsave + 24, 4);
	print_bytes("x87", m->xsave, FPU_LAST_FROM);
}

static void report(const struct form *f, const struct sample *s,
		   const struct machine *in, const struct machine *host,
		   const struct machine *soft, const char *what,
		   unsigned int at, uint64_t seed)
{
	printf("%s: %s %u differs (sample seed %" PRIu64 ")\n",
	       ZydisMnemonicGetString(f->mnemonic), what, at, seed);
	print_bytes("code", s->bytes, s->length);
	print_side("before", in, what, at);
	print_side("host", host, what, at);
	print_side("soft", soft, what, at);
}

/* True when both sides agree on the sample that `seed` gives. */
static bool run_sample(const struct form *f, uint64_t seed, bool print)
{
	static struct machine in, host, soft;
	struct sample s;
	const char *what;
	unsigned int at;

	random_state = seed;
	machine_randomise(&in);
	if (!forms_draw(f, &s, &in)) {
		printf("%s: no sample\n", ZydisMnemonicGetString(f->mnemonic));
		return false;
	}
	on_host_run(&s, &in, &host);
	on_soft_run(&s, &in, &soft);
	what = difference(&s, &host, &soft, &at);
	if (what && print)
		report(f, &s, &in, &host, &soft, what, at, seed);
	return !what;
}

static int run(const struct options *o)
{
	static struct form forms[FORMS_MAX];
	unsigned int count = forms_find(forms), i, k;
	unsigned int samples = 0, bad = 0, bad_forms = 0;
	uint64_t seeds = o->seed;

	printf("%u forms, %u samples each, seed %" PRIu64 "\n", count, o->count,
	       o->seed);
	for (i = 0; i < count; i++) {
		const char *name = ZydisMnemonicGetString(forms[i].mnemonic);
		unsigned int bad_before = bad;

		if (o->only && strcmp(o->only, name))
			continue;
		if (o->list)
			printf("%s\n", name);
		for (k = 0; k < o->count; k++, samples++) {
			uint64_t seed =
				o->count == 1 && o->only ? o->seed : seeds++;

			seed = seed * 0x9e3779b97f4a7c15ull | 1;
			if (!run_sample(&forms[i], seed,
					bad_forms < REPORTS_MAX &&
						bad == bad_before))
				bad++;
		}
		bad_forms += bad > bad_before;
	}
	printf("%u samples, %u differ, in %u forms\n", samples, bad, bad_forms);
	if (!o->only && count < FORMS_WANTED)
		printf("fewer than %d forms\n", FORMS_WANTED);
	return bad || (!o->only && count < FORMS_WANTED);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "list", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .count = 20, .seed = (uint64_t)time(NULL) };
	int c, status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'c')
			o.count = (unsigned int)strtoul(optarg, NULL, 0);
		else if (c == 's')
			o.seed = strtoull(optarg, NULL, 0);
		else if (c == 'o')
			o.only = optarg;
		else if (c == 'l')
			o.list = true;
		else
			return 2;
	}
	on_host_open();
	on_soft_open();
	status = run(&o);
	on_soft_close();
	return status;
}
