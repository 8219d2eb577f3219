/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge balloon: how much of its memory a running machine's guest has, and
 * how much it should have.
 */
#include <stdio.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "vmm/machine.h"

#define PATIENCE 30 /* seconds for an answer */

static void print_size(const char *title, const json_t *value)
{
	printf("%-11s%lld MiB\n", title,
	       (long long)(json_integer_value(value) >> 20));
}

static void print_stats(const json_t *stats)
{
	static const struct {
		const char *name, *title;
	} lines[] = {
		{ "total", "known" },
		{ "free", "free" },
		{ "available", "available" },
		{ "caches", "caches" },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const json_t *value = json_object_get(stats, lines[i].name);

		if (value)
			print_size(lines[i].title, value);
	}
}

static void print_balloon(const char *name, const json_t *result)
{
	const json_t *target = json_object_get(result, "target");

	print_size("target", target);
	print_size("has", json_object_get(result, "size"));
	print_size("on host", json_object_get(result, "touched"));
	print_stats(json_object_get(result, "statistics"));
	if (!json_is_true(json_object_get(result, "driver")))
		fprintf(stderr, "lodge: %s: its guest has no balloon driver, "
				"or not yet\n", name);
}

/* The request's members; -1 when what is wrong with the size has been told. */
static int take_size(const char *text, json_t **more)
{
	uint64_t bytes;

	if (!cli_parse_size(text, &bytes) || !bytes || bytes > INT64_MAX) {
		cli_error("balloon: %s: give a size such as 256M or 2G", text);
		return -1;
	}
	*more = json_pack("{sI}", "size", (json_int_t)bytes);
	return 0;
}

static int run(const struct command_context *context, int argc, char **argv)
{
	struct target target;
	int status;
	json_t *result, *more = NULL;

	if (target_take(&target, &command_balloon, argc, argv, &status))
		return status;
	if (target.words > 1 && take_size(target.word[1], &more))
		return MACHINE_USAGE;
	result = target_call(&target, "balloon", more, PATIENCE, NULL);
	target_close(&target);
	if (!result)
		return MACHINE_FAILED;
	if (target.json)
		target_print_json(result);
	else
		print_balloon(target.word[0], result);
	json_decref(result);
	return MACHINE_OK;
}

const struct command command_balloon = {
	.name = "balloon",
	.summary = "show or set how much memory a guest has",
	.run = run,
	.synopsis = "[--json] NAME [SIZE]",
	.about = "Shows how much of its memory a machine's guest has, or asks it to get by with\n"
		 "SIZE, such as 256M: what it does not need goes back to the host. A SIZE of\n"
		 "its whole memory gives all of it back. The guest needs a balloon driver.",
	.examples = "lodge balloon web\n"
		    "lodge balloon web 256M",
	.options = target_json_option,
	.option_count = 1,
	.words = "running -",
	.words_min = 1,
	.words_max = 2,
	.missing = "a machine's name",
};
