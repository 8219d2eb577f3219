/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge events: what happened to kept machines, and what happens.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "cli/managed.h"
#include "cli/option.h"
#include "cli/target.h"
#include "vmm/machine.h"

#define PAGE "1000"
#define WAIT "3600" /* seconds that an answer may wait */

struct events {
	bool json, follow;
	const char *vm; /* NULL: all */
};

static int take_json(void *config, const char *value)
{
	((struct events *)config)->json = true;
	return 0;
}

static int take_follow(void *config, const char *value)
{
	((struct events *)config)->follow = true;
	return 0;
}

static const struct option_spec events_options[] = {
	{ "follow", NULL, "wait for more, and tell them as they come", false,
	  take_follow },
	{ "json", NULL, "print a JSON object a line", false, take_json },
};

static const char *text_of(const json_t *event, const char *name)
{
	const char *text = json_string_value(json_object_get(event, name));

	return text ? text : "";
}

static void print_event(const struct events *events, const json_t *event)
{
	double at = json_real_value(json_object_get(event, "time"));
	time_t seconds = (time_t)at;
	char when[32];
	struct tm tm;

	if (events->json) {
		json_dumpf(event, stdout, JSON_COMPACT);
		printf("\n");
		return;
	}
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S",
		 localtime_r(&seconds, &tm));
	printf("%s  %-20s %-12s %s\n", when, text_of(event, "name"),
	       text_of(event, "kind"), text_of(event, "detail"));
}

static int tell(struct api_client *client, const struct events *events)
{
	json_int_t since = 0, last;
	bool wait = false;

	for (;;) {
		struct vmm_error error;
		json_t *answer, *event;
		char path[160];
		size_t i;
		int status;

		snprintf(path, sizeof(path), "/v1/events?limit=" PAGE "&since=%lld%s",
			 (long long)since, wait ? "&wait=" WAIT : "");
		answer = api_call(client, "GET", path, NULL, &status, &error);
		if (!answer) {
			cli_error("events: %s", error.text);
			return MACHINE_FAILED;
		}
		json_array_foreach(json_object_get(answer, "events"), i, event)
			if (!events->vm ||
			    !strcmp(text_of(event, "name"), events->vm))
				print_event(events, event);
		last = json_integer_value(json_object_get(answer, "last"));
		json_decref(answer);
		if (fflush(stdout))
			return MACHINE_FAILED;
		if (last == since && !events->follow)
			return MACHINE_OK;
		wait = last == since;
		since = last;
	}
}

static int run(const struct command_context *context, int argc, char **argv)
{
	struct events events = { 0 };
	struct api_client client;
	int words, status;

	status = command_take(NULL, &command_events, argc, argv, &events,
			      &words);
	if (status >= 0)
		return status;
	events.vm = words ? argv[0] : NULL;
	status = managed_open(&client, "events", API_START);
	if (status == MACHINE_OK)
		status = tell(&client, &events);
	api_close(&client);
	return status;
}

const struct command command_events = {
	.name = "events",
	.summary = "tell what happened to kept machines",
	.run = run,
	.synopsis = "[OPTIONS] [NAME]",
	.about = "Tells what happened to the machines that are kept, or to one, the oldest first.",
	.examples = "lodge events web\n"
		    "lodge events --follow --json",
	.options = events_options,
	.option_count = OPTION_COUNT(events_options),
	.words = "kept",
	.words_max = 1,
	.missing = "",
};
