/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile as one JSON object (RFC 8259). Names are those of the text, with
 * underscores.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "vmm/profile/sum.h"

#define SPOTS 200u

static void set_named(json_t *object, const char *name, json_t *value)
{
	char key[64];

	snprintf(key, sizeof(key), "%s", name);
	for (char *p = key; *p; p++)
		if (*p == ' ')
			*p = '_';
	json_object_set_new(object, key, value);
}

static json_t *numbers(const char *const *names, const uint64_t *values,
		       unsigned int count)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < count; i++)
		set_named(object, names[i],
			  json_integer((json_int_t)values[i]));
	return object;
}

static json_t *times(const struct profile_sum *sum)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < PROFILE_WORKS; i++)
		set_named(object, profile_work_name[i],
			  json_real(sum->seconds[i]));
	return object;
}

static json_t *spots(const struct profile_spot *spot, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count && i < SPOTS; i++) {
		char address[24];

		snprintf(address, sizeof(address), "0x%" PRIx64,
			 spot[i].linear);
		json_array_append_new(
			array,
			json_pack("{s:s, s:s?, s:I, s:I, s:I}", "address",
				  address, "symbol", spot[i].name, "offset",
				  (json_int_t)spot[i].offset, "samples",
				  (json_int_t)spot[i].hits, "rewritten",
				  (json_int_t)spot[i].in_code));
	}
	return array;
}

static json_t *insns(const struct profile_sum *sum)
{
	json_t *object = json_object();

	for (size_t i = 0; i < sum->insns; i++)
		if (profile_insn_times(&sum->insn[i]))
			json_object_set_new(object, sum->insn[i].name,
					    numbers(profile_reason_name,
						    sum->insn[i].count,
						    PROFILE_REASONS));
	return object;
}

char *profile_json(const struct profile *profile,
		   const struct profile_sum *sum)
{
	json_t *json = json_pack(
		"{s:s, s:I, s:f, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "engine",
		profile->engine->name, "processors",
		(json_int_t)profile->vm->cpu_count, "processor_seconds",
		sum->all_seconds, "samples", (json_int_t)sum->samples,
		"seconds", times(sum), "counts",
		numbers(profile_count_name, sum->count, PROFILE_COUNTS),
		"interpreted_because",
		numbers(profile_reason_name, sum->reason, PROFILE_REASONS),
		"interpreted", insns(sum), "functions",
		spots(sum->function, sum->functions), "blocks",
		spots(sum->block, sum->blocks));
	char *text = json ? json_dumps(json, JSON_INDENT(2) |
						     JSON_REAL_PRECISION(9)) :
			    NULL;

	json_decref(json);
	return text;
}
