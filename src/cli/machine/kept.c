/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge ps: machines that lodged keeps, and those of lodge run.
 */
#include "cli/machine/kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "cli/machine/managed.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/table.h"
#include "vmm/control/remote.h"
#include "vmm/machine.h"

#define PAGE "1000"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* --- ps --------------------------------------------------------------------------- */

/* Every machine that runs, by its control socket. */
static void collect(void *ctx, const json_t *status)
{
	json_array_append(ctx, (json_t *)status);
}

/* What `running` has of that process is taken out of it; NULL: nothing. */
static json_t *take_process(json_t *running, json_int_t pid)
{
	json_t *status;
	size_t i;

	json_array_foreach(running, i, status) {
		if (!pid || number_of(status, "pid") != pid)
			continue;
		json_incref(status);
		json_array_remove(running, i);
		return status;
	}
	return NULL;
}

/* The kept one `vm` as ps tells it; `status`: of its process, or NULL. */
static json_t *row_of(const json_t *vm, const json_t *status)
{
	static const char *const kept[] = { "id", "name", "state", "managed",
					    "pid", "reason", "restarts",
					    "next_start" };
	static const char *const now[] = { "engine", "cpus", "memory",
					   "seconds" };
	const json_t *config = json_object_get(vm, "config");
	json_t *row = json_object(), *value;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if ((value = json_object_get(vm, kept[i])))
			json_object_set(row, kept[i], value);
	for (size_t i = 0; i < sizeof(now) / sizeof(now[0]); i++) {
		value = json_object_get(status, now[i]);
		if (!value)
			value = json_object_get(vm, now[i]);
		if (!value)
			value = json_object_get(config, now[i]);
		if (value)
			json_object_set(row, now[i], value);
	}
	if (!status && json_object_get(vm, "pid"))
		json_object_set_new(row, "seconds", json_integer(
			time(NULL) - number_of(vm, "started")));
	value = json_object_get(config, "template");
	if (value)
		json_object_set(row, "template", value);
	value = json_object_get(config, "labels");
	if (value)
		json_object_set(row, "labels", value);
	return row;
}

static json_t *plain_row(const json_t *status)
{
	static const char *const names[] = { "name", "state", "pid", "reason",
					     "engine", "cpus", "memory",
					     "seconds" };
	json_t *row = json_object(), *value;

	json_object_set_new(row, "managed", json_false());
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((value = json_object_get(status, names[i])))
			json_object_set(row, names[i], value);
	return row;
}

int kept_list(struct api_client *client, json_t *running, json_t *list,
	      struct vmm_error *error)
{
	char path[200] = "/v1/vms?limit=" PAGE;
	json_t *answer, *vm;
	size_t i;

	do {
		int status;
		const char *next;

		answer = api_call(client, "GET", path, NULL, &status, error);
		if (!answer)
			return -1;
		json_array_foreach(json_object_get(answer, "vms"), i, vm) {
			json_t *now = take_process(running,
						   number_of(vm, "pid"));

			json_array_append_new(list, row_of(vm, now));
			json_decref(now);
		}
		next = text_of(answer, "next");
		snprintf(path, sizeof(path), "/v1/vms?limit=" PAGE "&after=%s",
			 next);
		if (!*next)
			*path = '\0';
		json_decref(answer);
	} while (*path);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(text_of(*(json_t *const *)a, "name"),
		      text_of(*(json_t *const *)b, "name"));
}

/* A list in the order of names. */
static json_t *sorted(json_t *list)
{
	size_t count = json_array_size(list);
	json_t **row = calloc(count + 1, sizeof(json_t *));
	json_t *result;

	if (!row)
		return list;
	result = json_array();
	for (size_t i = 0; i < count; i++)
		row[i] = json_array_get(list, i);
	qsort(row, count, sizeof(json_t *), by_name);
	for (size_t i = 0; i < count; i++)
		json_array_append(result, row[i]);
	free(row);
	json_decref(list);
	return result;
}

/* How its policy has it started again; "" when it does not. */
static void describe_restarts(char *text, size_t size, const json_t *row)
{
	json_int_t next = number_of(row, "next_start");
	json_int_t left = next - (json_int_t)time(NULL);
	json_int_t count = number_of(row, "restarts");
	size_t used = 0;

	*text = '\0';
	if (next)
		used = (size_t)snprintf(text, size, "again in %lld s",
					(long long)(left > 0 ? left : 0));
	if (count)
		snprintf(text + used, size - used, "%srestarted %lld time%s",
			 used ? ", " : "", (long long)count,
			 count == 1 ? "" : "s");
}

static void add_age(struct table *table, const json_t *row)
{
	char age[CLI_AGE] = "";

	if (json_object_get(row, "seconds"))
		cli_age(age, json_real_value(json_object_get(row, "seconds")));
	table_cell(table, TABLE_PLAIN, "%s", age);
}

static void add_note(struct table *table, const json_t *row)
{
	const char *reason = text_of(row, "reason"), *kind = "";
	char restarts[80];

	describe_restarts(restarts, sizeof(restarts), row);
	if (!strcmp(reason, text_of(row, "state")))
		reason = "";
	if (json_is_false(json_object_get(row, "managed")))
		kind = "not kept";
	else if (json_is_true(json_object_get(row, "template")))
		kind = "template";
	table_cell(table, TABLE_PLAIN, "%s%s%s%s%s", kind,
		   *kind && (*restarts || *reason) ? ", " : "", restarts,
		   *restarts && *reason ? ", " : "", reason);
}

static void add_number(struct table *table, const json_t *row,
		       const char *name)
{
	if (json_object_get(row, name))
		table_cell(table, TABLE_PLAIN, "%lld",
			   (long long)number_of(row, name));
	else
		table_cell(table, TABLE_PLAIN, "%s", "");
}

static void print_list(const json_t *list, bool wide)
{
	static const struct table_column columns[] = {
		{ .title = "NAME", .least = 8 },
		{ .title = "STATE" },
		{ .title = "CPUS", .right = true },
		{ .title = "MEMORY", .right = true },
		{ .title = "PID", .right = true },
		{ .title = "RUNS FOR", .spare = true },
		{ .title = "NOTE", .least = 8, .spare = true },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));
	char memory[CLI_BYTES];
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row) {
		const char *state = text_of(row, "state");

		table_cell(table, TABLE_PLAIN, "%s", text_of(row, "name"));
		table_cell(table, table_state(state), "%s", state);
		add_number(table, row, "cpus");
		table_cell(table, TABLE_PLAIN, "%s",
			   json_object_get(row, "memory") ?
				   cli_bytes(memory, (uint64_t)number_of(
							     row, "memory")) :
				   "");
		add_number(table, row, "pid");
		add_age(table, row);
		add_note(table, row);
	}
	table_show(table, wide);
	if (!json_array_size(list))
		cli_hint("no machines; lodge run starts one, lodge create "
			 "makes one that is kept");
}

static int run_ps(const struct command_context *context, int argc, char **argv)
{
	struct target target;
	int status;
	json_t *running, *list, *row;
	struct api_client client;
	struct vmm_error error;
	int rc;
	size_t i;

	if (target_take(&target, &command_ps, argc, argv, &status))
		return status;
	running = json_array();
	list = json_array();
	/* It may take its time, which a connection would not wait for. */
	rc = elsewhere() ? 0 : remote_each(collect, running, &error);
	if (!rc)
		rc = api_open(&client, API_IF_KEPT, &error);
	if (!rc) {
		rc = kept_list(&client, running, list, &error);
		api_close(&client);
	}
	json_array_foreach(running, i, row)
		json_array_append_new(list, plain_row(row));
	list = sorted(list);
	if (rc < 0)
		cli_error("ps: %s", error.text);
	else if (target.json)
		target_print_json(list);
	else
		print_list(list, target.wide);
	json_decref(running);
	json_decref(list);
	return rc < 0 ? MACHINE_FAILED : MACHINE_OK;
}

const struct command command_ps = {
	.name = "ps",
	.summary = "list all your machines",
	.run = run_ps,
	.synopsis = "[OPTIONS]",
	.about = "Lists your machines: those that are kept (lodge create), in all their states, and\n"
		 "those of lodge run while they run.",
	.examples = "lodge ps\n"
		    "lodge ps --json",
	.options = target_list_options,
	.option_count = 2,
};
