/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of disks, as users write them; and lodge limit, which shows and sets
 * those of a running machine's disk.
 */
#include "cli/limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/option.h"
#include "cli/target.h"
#include "vmm/machine.h"

#define PATIENCE  30	/* seconds for an answer */
#define BURST_MAX 60000 /* ms */

static bool take_number(const char *value, uint64_t *number, char **end)
{
	errno = 0;
	*number = strtoull(value, end, 10);
	return isdigit((unsigned char)*value) && !errno &&
	       *number <= INT64_MAX;
}

static int take_iops(const char *what, struct disk_limits *limits,
		     const char *value)
{
	char *end;

	if (take_number(value, &limits->iops, &end) && !*end)
		return 0;
	cli_error("%s: iops=%s: give a number of requests a second", what,
		  value);
	return -1;
}

static int take_bps(const char *what, struct disk_limits *limits,
		    const char *value)
{
	if (!strcmp(value, "0")) {
		limits->bps = 0;
		return 0;
	}
	if (cli_parse_bytes(value, true, &limits->bps))
		return 0;
	cli_error("%s: bps=%s: give a number of bytes a second, as 100M",
		  what, value);
	return -1;
}

static int take_burst(const char *what, struct disk_limits *limits,
		      const char *value)
{
	uint64_t number;
	char *end;

	if (take_number(value, &number, &end) && number <= BURST_MAX) {
		if (!strcmp(end, "s"))
			number *= 1000;
		if ((!strcmp(end, "s") || !strcmp(end, "ms")) && number &&
		    number <= BURST_MAX) {
			limits->burst_ms = (uint32_t)number;
			return 0;
		}
	}
	cli_error("%s: burst=%s: give a time such as 500ms or 2s, %ds at most",
		  what, value, BURST_MAX / 1000);
	return -1;
}

static const struct {
	const char *name; /* with = behind */
	int (*take)(const char *what, struct disk_limits *limits,
		    const char *value);
} words[] = {
	{ "iops=", take_iops },
	{ "bps=", take_bps },
	{ "burst=", take_burst },
};

int limits_take(const char *what, struct disk_limits *limits,
		const char *word)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i].name);

		if (!strncmp(word, words[i].name, length))
			return words[i].take(what, limits, word + length);
	}
	return 1;
}

/* --- lodge limit ------------------------------------------------------------ */

struct request {
	const char *disk;
	bool json;
};

static int take_disk(void *config, const char *value)
{
	((struct request *)config)->disk = value;
	return 0;
}

static int take_json(void *config, const char *value)
{
	((struct request *)config)->json = true;
	return 0;
}

static const struct option_spec options[] = {
	{ .name = "disk",
	  .value = "DISK",
	  .help = "which one: its path, or the name that lodge attach\n"
		  "gave (the only one)",
	  .take = take_disk },
	{ .name = "json", .help = "print a JSON object", .take = take_json },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void help_limit(void)
{
	printf("usage: lodge limit [OPTIONS] NAME [iops=N] [bps=SIZE] "
	       "[burst=TIME]\n\n"
	       "Shows how many requests and bytes a disk of a running machine "
	       "may do in a second,\nor sets it; 0 is no limit. After a rest a "
	       "disk may make up for TIME, such as 500ms\nor 2s (100ms).\n\n");
	option_print(options, OPTIONS);
}

/* What the words set; NULL after an error has been told. */
static json_t *members_of(const struct request *request, char **word,
			  int count)
{
	char *disk = request->disk && strchr(request->disk, '/')
			     ? target_path(request->disk)
			     : NULL;
	json_t *more = json_pack("{ss*}", "disk", disk ? disk : request->disk);

	free(disk);
	if (!more)
		cli_error("limit: names are written in UTF-8");
	for (int i = 0; i < count && more; i++) {
		struct disk_limits limits = { 0 };
		char name[8];
		int taken = limits_take("limit", &limits, word[i]);
		uint64_t value = limits.iops + limits.bps + limits.burst_ms;

		if (taken > 0)
			cli_error("limit: unknown word \"%s\"; there are "
				  "iops=, bps= and burst=", word[i]);
		if (taken) {
			json_decref(more);
			return NULL;
		}
		snprintf(name, sizeof(name), "%.*s",
			 (int)strcspn(word[i], "="), word[i]);
		json_object_set_new(more, name,
				    json_integer((json_int_t)value));
	}
	return more;
}

static void print_limits(const json_t *limits)
{
	json_int_t iops = json_integer_value(json_object_get(limits, "iops"));
	json_int_t bps = json_integer_value(json_object_get(limits, "bps"));
	char bytes[CLI_BYTES];

	if (iops)
		printf("requests   %lld a second\n", (long long)iops);
	else
		printf("requests   no limit\n");
	printf("bytes      %s%s\n",
	       bps ? cli_bytes(bytes, (uint64_t)bps) : "no limit",
	       bps ? " a second" : "");
	printf("burst      %lld ms\n",
	       (long long)json_integer_value(json_object_get(limits,
							     "burst")));
}

static int run_limit(const struct command_context *context, int argc,
		     char **argv)
{
	struct target target = { .command = "limit", .word = argv };
	struct request request = { 0 };
	json_t *more, *result;
	int status = option_take_words("limit", options, OPTIONS, argc, argv,
				       &request, &target.words, help_limit);

	if (status >= 0)
		return status;
	if (!target.words) {
		cli_error("limit: usage: lodge limit [OPTIONS] NAME [iops=N] "
			  "[bps=SIZE] [burst=TIME]");
		return MACHINE_USAGE;
	}
	more = members_of(&request, argv + 1, target.words - 1);
	if (!more)
		return MACHINE_USAGE;
	result = target_call(&target, "limit", more, PATIENCE, NULL);
	if (result && request.json)
		target_print_json(result);
	else if (result && target.words == 1)
		print_limits(result);
	json_decref(result);
	target_close(&target);
	return result ? MACHINE_OK : MACHINE_FAILED;
}

const struct command command_limit = {
	.name = "limit",
	.summary = "show or set how much a machine's disk may do",
	.run = run_limit,
	.help = help_limit,
};
