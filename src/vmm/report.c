/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a run, in JSON (RFC 8259).
 */
#include "vmm/report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


void report_add_stats(struct engine_stats *sum,
		      const struct engine_stats *stats)
{
	sum->instructions += stats->instructions;
	sum->pio += stats->pio;
	sum->mmio += stats->mmio;
	sum->halt += stats->halt;
	sum->interrupt += stats->interrupt;
	sum->fault += stats->fault;
	sum->emulated += stats->emulated;
	sum->kick += stats->kick;
}

/* Largest resident size of this process so far (proc(5), VmHWM). */
static json_t *memory_peak(void)
{
	unsigned long long kib;
	json_t *value = NULL;
	char line[128];
	FILE *status = fopen("/proc/self/status", "re");

	while (status && !value && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmHWM: %llu", &kib) == 1)
			value = json_integer((json_int_t)(kib * 1024));
	if (status)
		fclose(status);
	return value ? value : json_null();
}

/*
 * Resident bytes of what is mapped within `ram` but is not its own file
 * (proc(5), smaps): a line of addresses and a name starts each mapping.
 */
static uint64_t resident_over(const struct host_ram *ram)
{
	unsigned long long base = (uintptr_t)ram->base, from, to, kib;
	uint64_t sum = 0;
	bool counts = false;
	char line[512];
	FILE *maps = fopen("/proc/self/smaps", "re");

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			counts = from >= base && to <= base + ram->size &&
				 !strstr(line, "/memfd:");
		else if (counts && sscanf(line, "Rss: %llu kB", &kib) == 1)
			sum += kib * 1024;
	}
	if (maps)
		fclose(maps);
	return sum;
}

uint64_t report_touched(const struct host_ram *ram)
{
	return host_ram_touched_most(ram) + resident_over(ram);
}

static json_t *known(uint64_t count)
{
	return count ? json_integer((json_int_t)count) : json_null();
}

static json_t *seconds(double value)
{
	return value >= 0 ? json_real(value) : json_null();
}

static json_t *exits_json(const struct engine_stats *exits)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "pio",
			 (json_int_t)exits->pio, "mmio",
			 (json_int_t)exits->mmio, "halt",
			 (json_int_t)exits->halt, "interrupt",
			 (json_int_t)exits->interrupt, "fault",
			 (json_int_t)exits->fault, "emulated",
			 (json_int_t)exits->emulated, "kick",
			 (json_int_t)exits->kick);
}

static json_t *report_json(const struct report *report)
{
	return json_pack(
		"{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:I}", "engine",
		report->engine, "engine_reason", report->engine_reason,
		"seconds_to_first_instruction",
		seconds(report->seconds_to_first_instruction), "seconds",
		seconds(report->seconds), "exit_reason", report->exit_reason,
		"exits", exits_json(&report->exits), "instructions",
		known(report->exits.instructions), "host_memory_peak_bytes",
		memory_peak(), "guest_memory_touched_bytes",
		(json_int_t)report->guest_memory_touched);
}

int report_write(const struct report *report, struct outfile *file,
		 struct vmm_error *error)
{
	json_t *json = report_json(report);
	char *text = NULL;
	size_t size;
	int rc;

	if (json)
		text = json_dumps(json, JSON_INDENT(2) |
						JSON_REAL_PRECISION(9));
	json_decref(json);
	if (!text)
		return vmm_error_set(error, "report %s: out of memory",
				     file->path);
	size = strlen(text);
	text[size++] = '\n'; /* in place of the NUL */
	rc = outfile_write(file, text, size, error);
	free(text);
	return rc;
}
