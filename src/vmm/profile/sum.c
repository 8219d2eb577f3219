/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds the profiles of the processors up.
 */
#include "vmm/profile/sum.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1e9

const char *const profile_work_name[PROFILE_WORKS] = {
	[PROFILE_CODE] = "rewritten code",
	[PROFILE_STUB] = "into and out of it",
	[PROFILE_INTERPRET] = "interpreter",
	[PROFILE_DECODE] = "decoding",
	[PROFILE_REWRITE] = "rewriting",
	[PROFILE_WALK] = "page walks",
	[PROFILE_DEVICE] = "devices",
	[PROFILE_HALT] = "halted",
};

const char *const profile_count_name[PROFILE_COUNTS] = {
	[PROFILE_NS] = "nanoseconds",
	[PROFILE_DECODED_BLOCKS] = "decoded blocks",
	[PROFILE_DECODED_INSNS] = "decoded instructions",
	[PROFILE_REWRITTEN_BLOCKS] = "rewritten blocks",
	[PROFILE_REWRITTEN_INSNS] = "rewritten instructions",
	[PROFILE_REWRITTEN_BYTES] = "rewritten bytes",
	[PROFILE_HOST_BYTES] = "host bytes",
	[PROFILE_REWRITE_NS] = "rewriting nanoseconds",
	[PROFILE_COLD_INSNS] = "cold instructions interpreted",
	[PROFILE_WALKS] = "page walks",
	[PROFILE_STRADDLES] = "accesses to two pages",
	[PROFILE_MMIO] = "device memory accesses",
	[PROFILE_PIO] = "port accesses",
	[PROFILE_FAULTS] = "exceptions",
	[PROFILE_INTERRUPTS] = "interrupts",
	[PROFILE_HALTS] = "halts",
	[PROFILE_TLB_FLUSHES] = "TLB flushes",
	[PROFILE_PAGE_FLUSHES] = "pages flushed from the TLB",
	[PROFILE_CODE_WRITES] = "writes to pages with code",
	[PROFILE_CACHE_FLUSHES] = "full caches",
	[PROFILE_NURSERY_FLUSHES] = "full nurseries",
	[PROFILE_CACHE_BYTES] = "cache bytes",
	[PROFILE_LOST] = "samples without a place",
};

const char *const profile_reason_name[PROFILE_REASONS] = {
	[PROFILE_UNKNOWN] = "not rewritten",
	[PROFILE_MISS] = "TLB miss",
	[PROFILE_STRADDLE] = "two pages",
	[PROFILE_IO] = "device",
	[PROFILE_CODE_PAGE] = "code page",
	[PROFILE_FAULT] = "exception",
};

uint64_t profile_insn_times(const struct profile_insn *insn)
{
	uint64_t times = 0;

	for (unsigned int r = 0; r < PROFILE_REASONS; r++)
		times += insn->count[r];
	return times;
}

static int by_linear(const void *a, const void *b)
{
	const struct profile_spot *x = a, *y = b;

	return (x->linear > y->linear) - (x->linear < y->linear);
}

static int by_hits(const void *a, const void *b)
{
	const struct profile_spot *x = a, *y = b;

	if (x->hits != y->hits)
		return x->hits > y->hits ? -1 : 1;
	return by_linear(a, b);
}

static int by_times(const void *a, const void *b)
{
	uint64_t x = profile_insn_times(a), y = profile_insn_times(b);

	return (x < y) - (x > y);
}

/* Joins neighbours that `same` holds to be one; how many remain. */
static size_t join(struct profile_spot *spot, size_t count,
		   bool (*same)(const struct profile_spot *,
				const struct profile_spot *))
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (used && same(&spot[used - 1], &spot[i])) {
			spot[used - 1].hits += spot[i].hits;
			spot[used - 1].in_code += spot[i].in_code;
		} else {
			spot[used++] = spot[i];
		}
	}
	return used;
}

static bool same_block(const struct profile_spot *a,
		       const struct profile_spot *b)
{
	return a->linear == b->linear;
}

/* Code without a name: one for each page. */
static bool same_function(const struct profile_spot *a,
			  const struct profile_spot *b)
{
	if (a->name || b->name)
		return a->name == b->name;
	return a->linear >> 12 == b->linear >> 12;
}

static void add_counts(struct profile_sum *sum,
		       const struct engine_profile *one)
{
	double seconds = (double)one->count[PROFILE_NS] / NS_PER_S;
	uint64_t samples = 0;

	for (unsigned int i = 0; i < PROFILE_COUNTS; i++)
		sum->count[i] += one->count[i];
	for (unsigned int i = 0; i < PROFILE_WORKS; i++)
		samples += one->work[i];
	for (unsigned int i = 0; i < PROFILE_WORKS && samples; i++)
		sum->seconds[i] += seconds * (double)one->work[i] /
				   (double)samples;
	sum->samples += samples;
	sum->all_seconds += seconds;
}

static int add_insns(struct profile_sum *sum, const struct engine_profile *one)
{
	if (!sum->insn) {
		sum->insn = calloc(one->insns, sizeof(*sum->insn));
		if (!sum->insn)
			return -1;
		sum->insns = one->insns;
		memcpy(sum->insn, one->insn,
		       one->insns * sizeof(*sum->insn));
		return 0;
	}
	for (unsigned int i = 0; i < one->insns; i++)
		for (unsigned int r = 0; r < PROFILE_REASONS; r++)
			sum->insn[i].count[r] += one->insn[i].count[r];
	return 0;
}

static int add_places(const struct profile *profile, struct profile_sum *sum,
		      const struct engine_profile *one)
{
	struct profile_spot *more =
		realloc(sum->block,
			(sum->blocks + one->places) * sizeof(*more));

	if (!more)
		return -1;
	sum->block = more;
	for (unsigned int i = 0; i < one->places; i++) {
		const struct profile_place *place = &one->place[i];
		struct profile_spot *spot = &sum->block[sum->blocks];

		if (!place->hits)
			continue;
		*spot = (struct profile_spot){
			.linear = place->linear,
			.hits = place->hits,
			.in_code = place->in_code,
		};
		spot->name = symbols_find(profile->symbols, place->linear,
					  &spot->offset);
		sum->blocks++;
	}
	return 0;
}

int profile_sum_up(const struct profile *profile, struct profile_sum *sum)
{
	*sum = (struct profile_sum){ 0 };
	for (unsigned int i = 0; i < profile->vm->cpu_count; i++) {
		const struct engine_profile *one =
			profile->engine->profile->get(profile->vm->cpu[i]);

		add_counts(sum, one);
		if (add_insns(sum, one) || add_places(profile, sum, one))
			return -1;
	}
	qsort(sum->block, sum->blocks, sizeof(*sum->block), by_linear);
	sum->blocks = join(sum->block, sum->blocks, same_block);
	sum->function = calloc(sum->blocks + 1, sizeof(*sum->function));
	if (!sum->function)
		return -1;
	memcpy(sum->function, sum->block,
	       sum->blocks * sizeof(*sum->function));
	sum->functions = join(sum->function, sum->blocks, same_function);
	qsort(sum->block, sum->blocks, sizeof(*sum->block), by_hits);
	qsort(sum->function, sum->functions, sizeof(*sum->function), by_hits);
	qsort(sum->insn, sum->insns, sizeof(*sum->insn), by_times);
	for (size_t i = 0; i < sum->insns; i++)
		for (unsigned int r = 0; r < PROFILE_REASONS; r++)
			sum->reason[r] += sum->insn[i].count[r];
	return 0;
}

void profile_sum_free(struct profile_sum *sum)
{
	free(sum->block);
	free(sum->function);
	free(sum->insn);
}
