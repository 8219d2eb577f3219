/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge events: what happened to kept machines, and what happens.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/managed.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/table.h"
#include "vmm/machine.h"

#define PAGE "1000"
#define WAIT "3600" /* seconds that an answer may wait */

struct events {
	bool json, wide, follow;
	bool told; /* some */
	const char *vm; /* NULL: all */
	char id[40];	/* that it has now; " ": there is none */
};

static int take_json(void *config, const char *value)
{
	((struct events *)config)->json = true;
	return 0;
}

static int take_wide(void *config, const char *value)
{
	((struct events *)config)->wide = true;
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
	{ "wide", NULL, "cut nothing to the terminal's width", false,
	  take_wide },
};

static const char *text_of(const json_t *event, const char *name)
{
	const char *text = json_string_value(json_object_get(event, name));

	return text ? text : "";
}

static void add_event(struct table *table, const json_t *event)
{
	char text[CLI_TIME];

	table_cell(table, TABLE_PLAIN, "%s",
		   cli_time(text, (int64_t)json_real_value(
					  json_object_get(event, "time"))));
	table_cell(table, TABLE_PLAIN, "%s", text_of(event, "name"));
	table_cell(table, TABLE_PLAIN, "%s", text_of(event, "kind"));
	table_cell(table, TABLE_PLAIN, "%s", text_of(event, "detail"));
}

/* Of some more events; those that came before had the heading, if there were
 * any. */
static void print_events(struct events *events, const json_t *list)
{
	static const struct table_column columns[] = {
		{ .title = "TIME" },
		{ .title = "MACHINE", .least = 8, .usual = 12 },
		{ .title = "EVENT", .usual = 10 },
		{ .title = "DETAIL", .least = 8, .spare = true },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));
	struct table_look look = table_stdout(events->wide);
	const json_t *event;
	bool any = false;
	size_t i;

	json_array_foreach(list, i, event) {
		/* Also by names that it had. */
		if (events->vm && strcmp(text_of(event, "name"), events->vm) &&
		    strcmp(text_of(event, "vm"), events->id))
			continue;
		any = true;
		if (events->json) {
			json_dumpf(event, stdout, JSON_COMPACT);
			printf("\n");
		} else {
			add_event(table, event);
		}
	}
	look.goes_on = events->told;
	table_print(table, &look);
	table_free(table);
	events->told |= any;
}

/* The end: whether there was anything of the one that was named. */
static int tell_none(const struct events *events)
{
	if (events->told)
		return MACHINE_OK;
	if (!events->vm) {
		cli_hint("nothing has happened yet");
		return MACHINE_OK;
	}
	cli_error("events: nothing is known of a machine %s; lodge ps lists "
		  "them", events->vm);
	return MACHINE_FAILED;
}

static int tell(struct api_client *client, struct events *events)
{
	json_int_t since = 0, last;
	bool wait = false;

	for (;;) {
		struct vmm_error error;
		json_t *answer;
		char path[160];
		int status;

		snprintf(path, sizeof(path), "/v1/events?limit=" PAGE "&since=%lld%s",
			 (long long)since, wait ? "&wait=" WAIT : "");
		answer = api_call(client, "GET", path, NULL, &status, &error);
		if (!answer) {
			cli_error("events: %s", error.text);
			return MACHINE_FAILED;
		}
		print_events(events, json_object_get(answer, "events"));
		last = json_integer_value(json_object_get(answer, "last"));
		json_decref(answer);
		if (fflush(stdout))
			return MACHINE_FAILED;
		if (last == since && !events->follow)
			return tell_none(events);
		wait = last == since;
		since = last;
	}
}

static void find_id(struct api_client *client, struct events *events)
{
	json_t *vm = events->vm ? managed_find(client, events->vm) : NULL;

	snprintf(events->id, sizeof(events->id), "%s",
		 vm ? text_of(vm, "id") : " ");
	json_decref(vm);
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
	if (status == MACHINE_OK) {
		find_id(&client, &events);
		status = tell(&client, &events);
	}
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
