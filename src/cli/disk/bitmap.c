/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk bitmap: which parts of a disk were written since a moment, as its
 * image keeps it for backups of what has changed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/disk/tool.h"
#include "cli/table.h"
#include "disk/driver.h"
#include "vmm/machine.h"

#define GRANULARITY 65536u /* bytes a bit, unless it is said */

static int refuse(const struct tool *tool, const struct disk_node *node)
{
	cli_error("%s: %s: %s images have no bitmaps; convert it to qcow2",
		  tool->command, node->name, node->driver->title);
	return MACHINE_FAILED;
}

/* --- list ------------------------------------------------------------------- */

static const char *state_of(const struct disk_bitmap *bitmap)
{
	return bitmap->lost ? "lost" : bitmap->recording ? "recording" : "idle";
}

static int run_list(struct tool *tool, struct disk_node *node)
{
	static const struct table_column columns[] = {
		{ .title = "STATE" },
		{ .title = "GRANULARITY", .right = true, .spare = true },
		{ .title = "NAME", .least = 8 },
	};
	struct table *table;
	struct disk_bitmap *list;
	unsigned int count;
	json_t *array;

	if (disk_bitmap_list(node, &list, &count))
		return refuse(tool, node);
	array = json_array();
	table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
	for (unsigned int i = 0; i < count; i++) {
		char size[CLI_BYTES];

		table_cell(table, TABLE_PLAIN, "%s", state_of(&list[i]));
		table_cell(table, TABLE_PLAIN, "%s",
			   cli_bytes(size, list[i].granularity));
		table_cell(table, TABLE_PLAIN, "%s", list[i].name);
		json_array_append_new(
			array, json_pack("{s:s, s:I, s:b, s:b}", "name",
					 list[i].name, "granularity",
					 (json_int_t)list[i].granularity,
					 "recording", (int)list[i].recording,
					 "inconsistent", (int)list[i].lost));
	}
	free(list);
	if (tool->json) {
		table_free(table);
		return tool_print_json(array);
	}
	table_show(table, false);
	json_decref(array);
	return MACHINE_OK;
}

/* --- show ------------------------------------------------------------------- */

static bool is_set(const uint8_t *bits, uint64_t index)
{
	return bits[index / 8] >> index % 8 & 1;
}

/* The ranges that are marked, to `array` or printed; their bytes. */
static uint64_t show_ranges(const uint8_t *bits, uint64_t granularity,
			    uint64_t size, json_t *array)
{
	uint64_t count = size / granularity + !!(size % granularity);
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t first = i * granularity, end;

		if (!is_set(bits, i))
			continue;
		while (i + 1 < count && is_set(bits, i + 1))
			i++;
		end = (i + 1) * granularity < size ? (i + 1) * granularity
						   : size;
		sum += end - first;
		if (array)
			json_array_append_new(
				array,
				json_pack("{s:I, s:I}", "offset",
					  (json_int_t)first, "length",
					  (json_int_t)(end - first)));
		else
			printf("%#-14" PRIx64 " %#" PRIx64 "\n", first,
			       end - first);
	}
	return sum;
}

static int run_show(struct tool *tool, struct disk_node *node)
{
	json_t *array = tool->json ? json_array() : NULL;
	struct disk_error error;
	uint64_t granularity, sum;
	uint8_t *bits;

	if (disk_bitmap_read(node, tool->word[2], &bits, &granularity,
			     &error)) {
		json_decref(array);
		return tool_fail(tool, node->name, &error);
	}
	if (!array)
		printf("%-14s %s\n", "OFFSET", "LENGTH");
	sum = show_ranges(bits, granularity, node->size, array);
	free(bits);
	if (!array)
		return MACHINE_OK;
	return tool_print_json(json_pack("{s:s, s:I, s:I, s:o}", "name",
					 tool->word[2], "granularity",
					 (json_int_t)granularity, "marked",
					 (json_int_t)sum, "extents", array));
}

/* --- changes ---------------------------------------------------------------- */

static int create(struct disk_node *node, const struct tool *tool,
		  struct disk_error *error)
{
	return disk_bitmap_create(node, tool->word[2],
				  tool->granularity ? tool->granularity
						    : GRANULARITY,
				  error);
}

static int delete(struct disk_node *node, const struct tool *tool,
		  struct disk_error *error)
{
	return disk_bitmap_delete(node, tool->word[2], error);
}

static int clear(struct disk_node *node, const struct tool *tool,
		 struct disk_error *error)
{
	return disk_bitmap_clear(node, tool->word[2], error);
}

static int merge(struct disk_node *node, const struct tool *tool,
		 struct disk_error *error)
{
	return disk_bitmap_merge(node, tool->word[2], tool->word[3], error);
}

static const struct verb {
	const char *name;
	int words;
	bool writes;
	int (*look)(struct tool *tool, struct disk_node *node);
	int (*change)(struct disk_node *node, const struct tool *tool,
		      struct disk_error *error);
} verbs[] = {
	{ "list", 2, false, run_list, NULL },
	{ "show", 3, false, run_show, NULL },
	{ "create", 3, true, NULL, create },
	{ "delete", 3, true, NULL, delete },
	{ "clear", 3, true, NULL, clear },
	{ "merge", 4, true, NULL, merge },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int run_on(struct tool *tool, struct disk_node *node,
		  const struct verb *verb)
{
	struct disk_error error;

	if (verb->look)
		return verb->look(tool, node);
	if (verb->change(node, tool, &error))
		return tool_fail(tool, node->name, &error);
	if (tool->json)
		return tool_print_json(json_pack("{ss ss}", "path", node->name,
						 "bitmap", tool->word[2]));
	return MACHINE_OK;
}

static int run_bitmap(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[1]);
	const struct verb *verb = verbs;
	struct disk_node *node;
	int status;

	while (verb < verbs + VERBS && strcmp(verb->name, tool->word[0]))
		verb++;
	if (verb == verbs + VERBS || tool->words != verb->words) {
		cli_error("%s: usage: lodge disk bitmap list PATH; create, "
			  "delete, clear or show PATH NAME; or merge PATH NAME "
			  "FROM", tool->command);
		return MACHINE_USAGE;
	}
	how.readonly = !verb->writes;
	how.unlocked = verb->look == run_list;
	how.alone = how.sealed = true;
	node = tool_open(tool, &how);
	if (!node)
		return MACHINE_FAILED;
	status = run_on(tool, node, verb);
	disk_close(node);
	return status;
}

static int take_granularity(void *config, const char *value)
{
	struct tool *tool = config;

	if (cli_parse_bytes(value, true, &tool->granularity) &&
	    tool->granularity)
		return 0;
	cli_error("%s: --granularity %s: give a size such as 64K",
		  tool->command, value);
	return -1;
}

static const struct option_spec bitmap_options[] = {
	TOOL_FORMAT,
	{ .name = "granularity",
	  .value = "SIZE",
	  .help = "create: the least part that is told apart, a\n"
		  "power of two from 512B to 2G (64K)",
	  .take = take_granularity },
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_bitmap = {
	.command = {
		.name = "bitmap",
		.synopsis = "list PATH\n"
			    "create|delete|clear|show [OPTIONS] PATH NAME\n"
			    "merge PATH NAME FROM",
		.summary = "record which parts of a disk are written",
		.about = "Bitmaps of a qcow2 image record what is written from their "
			 "creation on, for\nbackups of what has changed: show tells "
			 "the parts, clear begins anew, merge adds\nthe parts of FROM "
			 "to NAME. One that was in use when its program was killed is\n"
			 "lost: clear it, and take a full backup.",
		.examples = "lodge disk bitmap create disk.qcow2 monday\n"
			    "lodge disk bitmap show disk.qcow2 monday",
		.words = "- file -",
		.words_min = 2,
		.words_max = 4,
		.options = bitmap_options,
		.option_count = OPTION_COUNT(bitmap_options),
	},
	.run = run_bitmap,
};
