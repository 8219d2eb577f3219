/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile as text, in tables that fit a terminal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/profile/sum.h"

#define SPOTS 25u /* of each table */

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static double per(const struct profile_sum *sum, enum profile_count a,
		  enum profile_count b)
{
	return ratio((double)sum->count[a], (double)sum->count[b]);
}

static void put_times(FILE *file, const struct profile_sum *sum)
{
	fprintf(file, "%-28s %9s %6s\n", "time", "seconds", "%");
	for (unsigned int i = 0; i < PROFILE_WORKS; i++)
		fprintf(file, "  %-26s %9.3f %6.1f\n", profile_work_name[i],
			sum->seconds[i],
			100 * ratio(sum->seconds[i], sum->all_seconds));
}

static void put_code(FILE *file, const struct profile_sum *sum)
{
	const uint64_t *count = sum->count;

	fprintf(file, "\n%-12s %10s %13s %9s %15s\n", "code", "blocks",
		"instructions", "seconds", "ns/instruction");
	fprintf(file, "  %-10s %10" PRIu64 " %13" PRIu64 " %9.3f %15.0f\n",
		"decoded", count[PROFILE_DECODED_BLOCKS],
		count[PROFILE_DECODED_INSNS],
		sum->seconds[PROFILE_DECODE],
		ratio(sum->seconds[PROFILE_DECODE] * 1e9,
		      (double)count[PROFILE_DECODED_INSNS]));
	fprintf(file, "  %-10s %10" PRIu64 " %13" PRIu64 " %9.3f %15.0f\n",
		"rewritten", count[PROFILE_REWRITTEN_BLOCKS],
		count[PROFILE_REWRITTEN_INSNS],
		(double)count[PROFILE_REWRITE_NS] / 1e9,
		per(sum, PROFILE_REWRITE_NS, PROFILE_REWRITTEN_INSNS));
	fprintf(file,
		"  rewritten: %" PRIu64 " bytes became %" PRIu64
		", growth %.1f\n",
		count[PROFILE_REWRITTEN_BYTES], count[PROFILE_HOST_BYTES],
		per(sum, PROFILE_HOST_BYTES, PROFILE_REWRITTEN_BYTES));
}

static void put_events(FILE *file, const struct profile_sum *sum)
{
	static const enum profile_count shown[] = {
		PROFILE_COLD_INSNS,   PROFILE_WALKS,
		PROFILE_STRADDLES,    PROFILE_MMIO,
		PROFILE_PIO,	      PROFILE_FAULTS,
		PROFILE_INTERRUPTS,   PROFILE_HALTS,
		PROFILE_TLB_FLUSHES,  PROFILE_PAGE_FLUSHES,
		PROFILE_CODE_WRITES,  PROFILE_CACHE_FLUSHES,
		PROFILE_NURSERY_FLUSHES,
	};

	fprintf(file, "\nevents\n");
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		fprintf(file, "  %-30s %12" PRIu64 "\n",
			profile_count_name[shown[i]], sum->count[shown[i]]);
}

/* Instructions of rewritten code that went to the interpreter. */
static void put_insns(FILE *file, const struct profile_sum *sum)
{
	fprintf(file, "\ninterpreted");
	for (unsigned int r = 0; r < PROFILE_REASONS; r++)
		fprintf(file, " %13s", profile_reason_name[r]);
	fprintf(file, "\n  %-9s", "all");
	for (unsigned int r = 0; r < PROFILE_REASONS; r++)
		fprintf(file, " %13" PRIu64, sum->reason[r]);
	for (size_t i = 0; i < sum->insns && i < SPOTS; i++) {
		if (!profile_insn_times(&sum->insn[i]))
			break;
		fprintf(file, "\n  %-9s", sum->insn[i].name);
		for (unsigned int r = 0; r < PROFILE_REASONS; r++)
			fprintf(file, " %13" PRIu64, sum->insn[i].count[r]);
	}
	fprintf(file, "\n");
}

static void put_spots(FILE *file, const char *title,
		      const struct profile_spot *spot, size_t count,
		      uint64_t all, bool offsets)
{
	fprintf(file, "\n%-20s %8s %6s %11s  %s\n", title, "samples", "%",
		"rewritten %", "symbol");
	for (size_t i = 0; i < count && i < SPOTS; i++) {
		fprintf(file, "  %016" PRIx64 "   %8" PRIu64 " %6.1f %11.0f",
			offsets ? spot[i].linear :
				  spot[i].linear - spot[i].offset,
			spot[i].hits,
			100 * ratio((double)spot[i].hits, (double)all),
			100 * ratio((double)spot[i].in_code,
				    (double)spot[i].hits));
		if (spot[i].name)
			fprintf(file, "  %s", spot[i].name);
		if (spot[i].name && offsets)
			fprintf(file, "+0x%" PRIx64, spot[i].offset);
		fprintf(file, "\n");
	}
}

char *profile_text(const struct profile *profile,
		   const struct profile_sum *sum)
{
	unsigned int cpus = profile->vm->cpu_count;
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fprintf(file,
		"engine %s, %u processor%s for %.2f s, %" PRIu64
		" samples\n\n",
		profile->engine->name, cpus, cpus > 1 ? "s" : "",
		sum->all_seconds / cpus, sum->samples);
	put_times(file, sum);
	put_code(file, sum);
	put_events(file, sum);
	put_insns(file, sum);
	put_spots(file, profile->symbols ? "functions" : "pages",
		  sum->function, sum->functions, sum->samples, false);
	put_spots(file, "blocks", sum->block, sum->blocks, sum->samples, true);
	if (fclose(file)) {
		free(text);
		return NULL;
	}
	return text;
}
