/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk snapshot: states of a disk that its image keeps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/disk/tool.h"
#include "cli/table.h"
#include "disk/driver.h"
#include "vmm/machine.h"

static int refuse(const struct tool *tool, const struct disk_node *node)
{
	cli_error("%s: %s: %s images have no internal snapshots; make an "
		  "overlay with: lodge disk create --backing", tool->command,
		  node->name, node->driver->title);
	return MACHINE_FAILED;
}

static void print_list(const struct disk_snapshot *list, unsigned int count)
{
	static const struct table_column columns[] = {
		{ .title = "ID" },
		{ .title = "MADE", .spare = true },
		{ .title = "SIZE", .right = true, .spare = true },
		{ .title = "NAME", .least = 8 },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));

	for (unsigned int i = 0; i < count; i++) {
		char when[CLI_TIME], size[CLI_BYTES];

		table_cell(table, TABLE_PLAIN, "%s", list[i].id);
		table_cell(table, TABLE_PLAIN, "%s",
			   cli_time(when, (int64_t)(list[i].date_ns /
						    1000000000u)));
		table_cell(table, TABLE_PLAIN, "%s",
			   cli_bytes(size, list[i].size));
		table_cell(table, TABLE_PLAIN, "%s", list[i].name);
	}
	table_show(table, false);
	if (!count)
		cli_hint("no snapshots; lodge disk snapshot create makes one");
}

static int print_list_json(const struct disk_snapshot *list,
			   unsigned int count)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(
			array,
			json_pack("{sssssIsIsI}", "id", list[i].id, "name",
				  list[i].name, "date",
				  (json_int_t)(list[i].date_ns / 1000000000u),
				  "size", (json_int_t)list[i].size, "vm_state",
				  (json_int_t)list[i].vm_state));
	return tool_print_json(array);
}

static int show_list(struct tool *tool, struct disk_node *node)
{
	struct disk_snapshot *list;
	unsigned int count;

	if (disk_snapshot_list(node, &list, &count))
		return refuse(tool, node);
	if (tool->json)
		print_list_json(list, count);
	else
		print_list(list, count);
	free(list);
	return MACHINE_OK;
}

static const struct {
	const char *name;
	int (*run)(struct disk_node *node, const char *name,
		   struct disk_error *error);
} changes[] = {
	{ "create", disk_snapshot_create },
	{ "apply", disk_snapshot_apply },
	{ "delete", disk_snapshot_delete },
};

#define CHANGES (sizeof(changes) / sizeof(changes[0]))

static int change(struct tool *tool, struct disk_node *node, size_t which)
{
	struct disk_error error;

	if (changes[which].run(node, tool->word[2], &error))
		return tool_fail(tool, node->name, &error);
	if (tool->json)
		return tool_print_json(json_pack("{ssss}", "path", node->name,
						 "snapshot", tool->word[2]));
	return MACHINE_OK;
}

static int run_snapshot(struct tool *tool)
{
	const bool list = !strcmp(tool->word[0], "list");
	struct disk_open how = tool_open_how(tool, tool->word[1]);
	struct disk_node *node;
	size_t which = 0;
	int status;

	while (which < CHANGES && strcmp(changes[which].name, tool->word[0]))
		which++;
	if ((!list && which == CHANGES) || tool->words != (list ? 2 : 3)) {
		cli_error("%s: usage: lodge disk snapshot list PATH, or "
			  "create, apply or delete PATH NAME", tool->command);
		return MACHINE_USAGE;
	}
	how.readonly = how.unlocked = list;
	how.alone = how.sealed = true;
	node = tool_open(tool, &how);
	if (!node)
		return MACHINE_FAILED;
	status = list ? show_list(tool, node) : change(tool, node, which);
	disk_close(node);
	return status;
}

static const struct option_spec snapshot_options[] = {
	TOOL_FORMAT,
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_snapshot = {
	.command = {
		.name = "snapshot",
		.synopsis = "[OPTIONS] list PATH | create|apply|delete PATH NAME",
		.summary = "keep states of a disk in its image, and go back to them",
		.about = "Lists, takes, goes back to and forgets snapshots inside of a "
			 "qcow2 image. To\napply one gives up what was written since; "
			 "take another first to keep it.",
		.examples = "lodge disk snapshot create disk.qcow2 before-upgrade\n"
			    "lodge disk snapshot apply disk.qcow2 before-upgrade",
		.words = "- file",
		.words_min = 2,
		.words_max = 3,
		.options = snapshot_options,
		.option_count = OPTION_COUNT(snapshot_options),
	},
	.run = run_snapshot,
};
