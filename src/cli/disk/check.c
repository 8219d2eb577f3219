/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk check, compare: whether images are sound, and alike.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/disk/tool.h"
#include "disk/driver.h"
#include "vmm/machine.h"

/* --- check ------------------------------------------------------------------ */

static void say(void *ctx, const char *line)
{
	printf("%s\n", line);
}

static json_t *check_json(const struct disk_node *node,
			  const struct disk_check *c)
{
	return json_pack("{sssssIsIsIsIsIsIsI}", "path", node->name, "format",
			 node->driver->name, "clusters",
			 (json_int_t)c->clusters, "allocated",
			 (json_int_t)c->allocated, "compressed",
			 (json_int_t)c->compressed, "corruptions",
			 (json_int_t)c->corruptions, "leaks",
			 (json_int_t)c->leaks, "corruptions_fixed",
			 (json_int_t)c->corruptions_fixed, "leaks_fixed",
			 (json_int_t)c->leaks_fixed);
}

static void print_check(const struct disk_node *node,
			const struct disk_check *c)
{
	uint64_t bad = c->corruptions - c->corruptions_fixed;
	uint64_t lost = c->leaks - c->leaks_fixed;

	if (c->corruptions_fixed || c->leaks_fixed)
		printf("mended: %" PRIu64 " errors, %" PRIu64
		       " leaked clusters\n", c->corruptions_fixed,
		       c->leaks_fixed);
	if (bad)
		printf("%" PRIu64 " errors; mend with: lodge disk check "
		       "--repair %s\n", bad, node->name);
	if (lost)
		printf("%" PRIu64 " leaked clusters: room wasted, nothing "
		       "lost\n", lost);
	if (!bad && !lost)
		printf("no errors in %s\n", node->name);
	if (c->clusters)
		printf("%" PRIu64 " of %" PRIu64 " clusters in use (%.1f%%)\n",
		       c->allocated, c->clusters,
		       100.0 * (double)c->allocated / (double)c->clusters);
}

static int check(struct tool *tool, struct disk_node *node)
{
	struct disk_check c = { .say = tool->json ? NULL : say };
	struct disk_error error;
	int result = disk_check(node, tool->repair, &c, &error);

	if (result)
		return tool_fail(tool, node->name, &error);
	if (tool->json)
		tool_print_json(check_json(node, &c));
	else
		print_check(node, &c);
	return c.corruptions > c.corruptions_fixed || c.leaks > c.leaks_fixed
		       ? TOOL_DAMAGED
		       : MACHINE_OK;
}

static int run_check(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_node *node;
	int status;

	how.readonly = !tool->repair;
	how.repair = tool->repair;
	how.alone = how.sealed = true;
	node = tool_open(tool, &how);
	if (!node)
		return MACHINE_FAILED;
	status = check(tool, node);
	disk_close(node);
	return status;
}

static int take_repair(void *config, const char *value)
{
	((struct tool *)config)->repair = true;
	return 0;
}

static const struct option_spec check_options[] = {
	TOOL_FORMAT,
	{ .name = "repair",
	  .help = "mend what can be mended",
	  .take = take_repair },
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_check = {
	.command = {
		.name = "check",
		.synopsis = "[OPTIONS] PATH",
		.summary = "look for damage, and mend it",
		.about = "Looks through an image's tables.",
		.statuses = "0 nothing is wrong, 1 it cannot be looked at, 2 "
			    "wrong usage, 4 there is something to mend (left)",
		.examples = "lodge disk check disk.qcow2\n"
			    "lodge disk check --repair disk.qcow2",
		.words = "file",
		.words_min = 1,
		.words_max = 1,
		.options = check_options,
		.option_count = OPTION_COUNT(check_options),
	},
	.run = run_check,
};

/* --- compare ---------------------------------------------------------------- */

static int compare(struct tool *tool, struct disk_node *a, struct disk_node *b)
{
	struct disk_job job = { 0 };
	struct disk_error error;
	uint64_t differs = 0;
	struct progress *progress = progress_begin(&job, "comparing", NULL,
						   NULL);
	int result = disk_compare(a, b, &differs, &job, &error);

	progress_end(progress);
	if (result < 0) {
		cli_error("%s: %s", tool->command, error.text);
		return MACHINE_USAGE;
	}
	if (tool->json) {
		json_t *object = json_pack("{sb}", "same", !result);

		if (result)
			json_object_set_new(object, "differs_at",
					    json_integer((json_int_t)differs));
		tool_print_json(object);
	} else if (result) {
		printf("they differ at byte %" PRIu64 "\n", differs);
	} else {
		printf("they have the same content\n");
	}
	return result ? TOOL_DIFFERS : MACHINE_OK;
}

static int run_compare(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_node *a, *b = NULL;
	int status = MACHINE_USAGE;

	how.format = tool->from;
	a = tool_open(tool, &how);
	how.path = tool->word[1];
	how.format = tool->to;
	how.format_option = "--other-format ";
	if (a)
		b = tool_open(tool, &how);
	if (b)
		status = compare(tool, a, b);
	disk_close(a);
	disk_close(b);
	return status;
}

static const struct option_spec compare_options[] = {
	{ .name = "format",
	  .value = "FORMAT",
	  .help = "the first one's format (as its name's ending says)",
	  .take = tool_take_from },
	{ .name = "other-format",
	  .value = "FORMAT",
	  .help = "the second one's",
	  .take = tool_take_to },
	TOOL_FOLDER,
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_compare = {
	.command = {
		.name = "compare",
		.synopsis = "[OPTIONS] PATH OTHER",
		.summary = "tell whether two images have the same content",
		.about = "Compares what two disks read as, whatever their formats; one "
			 "may be longer by\nzeros.",
		.statuses = "0 they are alike, 1 they are not, 2 an error",
		.examples = "lodge disk compare disk.vmdk disk.qcow2",
		.words = "file",
		.words_min = 2,
		.words_max = 2,
		.options = compare_options,
		.option_count = OPTION_COUNT(compare_options),
	},
	.run = run_compare,
};
