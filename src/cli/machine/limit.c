/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge limit: shows and sets how much a running machine's disk or network card
 * may do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/run/limits.h"
#include "vmm/machine.h"

#define PATIENCE 30 /* seconds for an answer */

struct request {
	const char *disk, *net;
	bool json;
};

static int take_disk(void *config, const char *value)
{
	((struct request *)config)->disk = value;
	return 0;
}

static int take_net(void *config, const char *value)
{
	((struct request *)config)->net = value;
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
	{ .name = "net",
	  .value = "CARD",
	  .help = "a network card instead: its address or its number,\n"
		  "from 0 on",
	  .take = take_net },
	{ .name = "json", .help = "print a JSON object", .take = take_json },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* What a word sets: 0, 1: it is none of them, or -1 after an error. */
static int value_of(const struct request *request, const char *word,
		    uint64_t *value)
{
	struct disk_limits disk = { 0 };
	struct net_limits net = { 0 };
	int taken = request->net ? limits_take_net("limit", &net, word)
				 : limits_take("limit", &disk, word);

	*value = disk.iops + disk.bps + disk.burst_ms + net.burst_ms;
	for (unsigned int i = 0; i < NET_WAYS; i++)
		*value += net.rate[i].pps + net.rate[i].bps;
	return taken;
}

/* The object of the request; NULL after an error has been told. */
static json_t *subject_of(const struct request *request)
{
	char *disk = request->disk && strchr(request->disk, '/')
			     ? target_path(request->disk)
			     : NULL;
	json_t *more = request->net
			       ? json_pack("{ss}", "net", request->net)
			       : json_pack("{ss*}", "disk",
					   disk ? disk : request->disk);

	free(disk);
	if (!more)
		cli_error("limit: names are written in UTF-8");
	return more;
}

/* What the words set; NULL after an error has been told. */
static json_t *members_of(const struct request *request, char **word,
			  int count)
{
	json_t *more = subject_of(request);

	for (int i = 0; i < count && more; i++) {
		char name[10];
		uint64_t value;
		int taken = value_of(request, word[i], &value);

		if (taken > 0)
			cli_error("limit: unknown word \"%s\"; there are %s",
				  word[i], request->net
				  ? "pps-out=, bps-out=, pps-in=, bps-in= and "
				    "burst="
				  : "iops=, bps= and burst=");
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

static void print_count(const char *head, const json_t *limits,
			const char *name)
{
	json_int_t n = json_integer_value(json_object_get(limits, name));

	if (n)
		printf("%-11s%lld a second\n", head, (long long)n);
	else
		printf("%-11sno limit\n", head);
}

static void print_size(const char *head, const json_t *limits,
		       const char *name)
{
	json_int_t n = json_integer_value(json_object_get(limits, name));
	char bytes[CLI_BYTES];

	printf("%-11s%s%s\n", head,
	       n ? cli_bytes(bytes, (uint64_t)n) : "no limit",
	       n ? " a second" : "");
}

static void print_limits(const json_t *limits, bool net)
{
	if (net) {
		print_count("frames out", limits, "pps-out");
		print_size("bytes out", limits, "bps-out");
		print_count("frames in", limits, "pps-in");
		print_size("bytes in", limits, "bps-in");
	} else {
		print_count("requests", limits, "iops");
		print_size("bytes", limits, "bps");
	}
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
	int status = command_take(NULL, &command_limit, argc, argv, &request,
				  &target.words);

	if (status >= 0)
		return status;
	if (request.disk && request.net) {
		cli_error("limit: give --disk or --net");
		return MACHINE_USAGE;
	}
	more = members_of(&request, argv + 1, target.words - 1);
	if (!more)
		return MACHINE_USAGE;
	result = target_call(&target, request.net ? "limit-net" : "limit", more,
			     PATIENCE, NULL);
	if (result && request.json)
		target_print_json(result);
	else if (result && target.words == 1)
		print_limits(result, request.net);
	json_decref(result);
	target_close(&target);
	return result ? MACHINE_OK : MACHINE_FAILED;
}

const struct command command_limit = {
	.name = "limit",
	.summary = "show or set how much a machine's disk or card may do",
	.run = run_limit,
	.synopsis = "[OPTIONS] NAME [iops=N] [bps=SIZE] [burst=TIME]",
	.about = "Shows how many requests and bytes a disk of a running machine may do in a second,\n"
		 "or sets it; 0 is no limit. After a rest a disk may make up for TIME, such as 500ms\n"
		 "or 2s (100ms).\n"
		 "\n"
		 "Of a network card they are pps-out=N, bps-out=SIZE (frames and bytes that the guest\n"
		 "sends), pps-in=N and bps-in=SIZE.",
	.examples = "lodge limit web\n"
		    "lodge limit web iops=500 bps=50M\n"
		    "lodge limit --net 0 web bps-out=10M",
	.options = options,
	.option_count = OPTIONS,
	.words = "running limit",
	.words_min = 1,
	.words_max = COMMAND_MANY,
};
