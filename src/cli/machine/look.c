/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that look at running machines: list, status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/table.h"
#include "vmm/control/remote.h"
#include "vmm/guest/facts.h"
#include "vmm/machine.h"

#define PATIENCE 30 /* seconds for an answer */

/* The text and number of a status, "" and 0 when missing. */
static const char *text_of(const json_t *status, const char *name)
{
	const char *text = json_string_value(json_object_get(status, name));

	return text ? text : "";
}

static long long number_of(const json_t *status, const char *name)
{
	return json_integer_value(json_object_get(status, name));
}

/* --- list ------------------------------------------------------------------- */

/* The first address that others than its neighbours may use. */
static void find_address(const json_t *status, char address[FACTS_ADDRESS])
{
	const json_t *guest = json_object_get(status, "guest"), *item;
	size_t i;

	json_array_foreach(json_object_get(guest, "address"), i, item)
		if (facts_address(json_string_value(item), address))
			return;
	strcpy(address, "-");
}

static void collect(void *ctx, const json_t *status)
{
	json_array_append(ctx, (json_t *)status);
}

static void add_row(struct table *table, const json_t *status)
{
	char address[FACTS_ADDRESS], age[CLI_AGE];

	find_address(status, address);
	table_cell(table, TABLE_PLAIN, "%s", text_of(status, "name"));
	table_cell(table, TABLE_PLAIN, "%s", text_of(status, "engine"));
	table_cell(table, TABLE_PLAIN, "%lld", number_of(status, "cpus"));
	table_cell(table, TABLE_PLAIN, "%lld MiB",
		   number_of(status, "memory") >> 20);
	table_cell(table, TABLE_PLAIN, "%lld", number_of(status, "pid"));
	table_cell(table, TABLE_PLAIN, "%s", address);
	table_cell(table, TABLE_PLAIN, "%s%s",
		   !json_object_get(status, "seconds") ? "" :
		   cli_age(age, json_real_value(
					json_object_get(status, "seconds"))),
		   !strcmp(text_of(status, "state"), "silent") ? "(silent)" :
		   *text_of(status, "reason")		       ? " (paused)" :
								 "");
}

static void print_list(const json_t *list, bool wide)
{
	static const struct table_column columns[] = {
		{ .title = "NAME", .least = 8 },
		{ .title = "ENGINE" },
		{ .title = "CPUS", .right = true },
		{ .title = "MEMORY", .right = true },
		{ .title = "PID", .right = true },
		{ .title = "ADDRESS", .least = 8 },
		{ .title = "RUNS FOR", .least = 8 },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));
	const json_t *status;
	size_t i;

	json_array_foreach(list, i, status)
		add_row(table, status);
	table_show(table, wide);
	if (!json_array_size(list))
		cli_hint("no machine runs; lodge ps lists those that are kept "
			 "as well");
}

static int run_list(const struct command_context *context, int argc,
		    char **argv)
{
	struct target target;
	int status;
	struct vmm_error error;
	json_t *list;

	if (target_take(&target, &command_list, argc, argv, &status))
		return status;
	list = json_array();
	if (remote_each(collect, list, &error)) {
		json_decref(list);
		cli_error("%s", error.text);
		return MACHINE_FAILED;
	}
	if (target.json)
		target_print_json(list);
	else
		print_list(list, target.wide);
	json_decref(list);
	return MACHINE_OK;
}

const struct command command_list = {
	.name = "list",
	.summary = "list the running machines",
	.run = run_list,
	.synopsis = "[OPTIONS]",
	.about = "Lists your running machines.",
	.examples = "lodge list\n"
		    "lodge list --json",
	.options = target_list_options,
	.option_count = 2,
};

/* --- status ----------------------------------------------------------------- */

static void print_disks(const json_t *disks)
{
	const json_t *disk, *below;
	size_t i, j;

	json_array_foreach(disks, i, disk) {
		const char *name = text_of(disk, "name");
		char size[CLI_BYTES];

		printf("disk       %s%s%s, %s, %s\n", name, *name ? ": " : "",
		       text_of(disk, "path"), text_of(disk, "format"),
		       cli_bytes(size, (uint64_t)number_of(disk, "size")));
		json_array_foreach(json_object_get(disk, "chain"), j, below)
			printf("  on       %s\n", json_string_value(below));
	}
}

static void print_addresses(const json_t *guest)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(guest, "address"), i, item)
		printf("address    %s\n", json_string_value(item));
}

static void print_status(const json_t *status)
{
	char age[CLI_AGE];

	printf("name       %s\nengine     %s\nprocessors %lld\n"
	       "memory     %lld MiB\npid        %lld\nruns for   ",
	       text_of(status, "name"), text_of(status, "engine"),
	       number_of(status, "cpus"), number_of(status, "memory") >> 20,
	       number_of(status, "pid"));
	printf("%s", cli_age(age, json_real_value(
				     json_object_get(status, "seconds"))));
	if (*text_of(status, "reason"))
		printf("\npaused     %s", text_of(status, "reason"));
	printf("\non host    %lld MiB\n",
	       number_of(status, "memory_touched") >> 20);
	if (number_of(status, "memory_target") != number_of(status, "memory") ||
	    number_of(status, "memory_size") != number_of(status, "memory"))
		printf("balloon    has %lld MiB, is to have %lld MiB\n",
		       number_of(status, "memory_size") >> 20,
		       number_of(status, "memory_target") >> 20);
	if (*text_of(status, "account"))
		printf("account    %s\n", text_of(status, "account"));
	print_addresses(json_object_get(status, "guest"));
	print_disks(json_object_get(status, "disks"));
	target_print_drives(json_object_get(status, "drives"), "");
	target_print_nets(json_object_get(status, "nets"), "net        ");
	target_print_shares(json_object_get(status, "shares"), "share      ");
}

static int run_status(const struct command_context *context, int argc,
		      char **argv)
{
	struct target target;
	json_t *told;
	int status;

	if (target_take(&target, &command_status, argc, argv, &status))
		return status;
	told = target_call(&target, "status", NULL, PATIENCE, NULL);
	target_close(&target);
	if (!told)
		return MACHINE_FAILED;
	if (target.json)
		target_print_json(told);
	else
		print_status(told);
	json_decref(told);
	return MACHINE_OK;
}

const struct command command_status = {
	.name = "status",
	.summary = "tell about a running machine",
	.run = run_status,
	.synopsis = "[--json] NAME",
	.about = "Tells about one running machine.",
	.examples = "lodge status web\n"
		    "lodge status --json web",
	.options = target_json_option,
	.option_count = 1,
	.words = "running",
	.words_min = 1,
	.words_max = 1,
	.missing = "a machine's name",
};
