/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lodge disk`: finds the subcommand, takes its words and options.
 */
#include "cli/disk/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "disk/driver.h"
#include "disk/secret.h"
#include "vmm/machine.h"

/* --- options ---------------------------------------------------------------- */

int tool_take_json(void *config, const char *value)
{
	((struct tool *)config)->json = true;
	return 0;
}

static int check_format(const struct tool *tool, const char *format)
{
	if (disk_driver_find(format))
		return 0;
	cli_error("%s: unknown format \"%s\"; see lodge help disk",
		  tool->command, format);
	return -1;
}

int tool_take_format(void *config, const char *value)
{
	struct tool *tool = config;

	tool->format = value;
	return check_format(tool, value);
}

int tool_take_from(void *config, const char *value)
{
	struct tool *tool = config;

	tool->from = value;
	return check_format(tool, value);
}

int tool_take_to(void *config, const char *value)
{
	struct tool *tool = config;

	tool->to = value;
	return check_format(tool, value);
}

static int append(struct tool *tool, const char **list, unsigned int *count,
		  const char *value)
{
	if (*count == TOOL_OPTIONS_MAX) {
		cli_error("%s: more than %d of them", tool->command,
			  TOOL_OPTIONS_MAX);
		return -1;
	}
	list[(*count)++] = value;
	return 0;
}

int tool_take_folder(void *config, const char *value)
{
	struct tool *tool = config;

	return append(tool, tool->folder, &tool->folders, value);
}

int tool_take_option(void *config, const char *value)
{
	struct tool *tool = config;

	if (!strchr(value, '=')) {
		cli_error("%s: --option %s: give it as NAME=VALUE",
			  tool->command, value);
		return -1;
	}
	return append(tool, tool->option, &tool->options, value);
}

int tool_take_backing(void *config, const char *value)
{
	((struct tool *)config)->backing = value;
	return 0;
}

int tool_take_backing_format(void *config, const char *value)
{
	struct tool *tool = config;

	tool->backing_format = value;
	return check_format(tool, value);
}

int tool_take_prealloc(void *config, const char *value)
{
	static const char *const names[] = { "off", "metadata", "falloc",
					     "full" };
	struct tool *tool = config;

	for (unsigned int i = 0; i < 4; i++)
		if (!strcmp(value, names[i])) {
			tool->prealloc = (enum disk_preallocation)i;
			return 0;
		}
	cli_error("%s: --prealloc %s: give off, metadata, falloc or full",
		  tool->command, value);
	return -1;
}

int tool_take_threads(void *config, const char *value)
{
	struct tool *tool = config;
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*end || !n || n > 16) {
		cli_error("%s: --threads %s: give a number from 1 to 16",
			  tool->command, value);
		return -1;
	}
	tool->threads = (unsigned int)n;
	return 0;
}

int tool_take_secret(void *config, const char *value)
{
	struct tool *tool = config;

	return append(tool, tool->secret, &tool->secrets, value);
}

int tool_take_backing_secret(void *config, const char *value)
{
	struct tool *tool = config;

	return append(tool, tool->backing_secret,
		      &tool->backing_secrets, value);
}

/* --- images ----------------------------------------------------------------- */

struct disk_open tool_open_how(const struct tool *tool, const char *path)
{
	return (struct disk_open){ .path = path,
				   .format = tool->format,
				   .format_option = "--format ",
				   .readonly = true,
				   .secret = tool->unlocks,
				   .folders = tool->folder,
				   .folder_count = tool->folders };
}

struct disk_node *tool_open(const struct tool *tool,
			    const struct disk_open *how)
{
	struct disk_error error;
	struct disk_node *node;

	if (!disk_open(&node, how, &error))
		return node;
	tool_fail(tool, how->path, &error);
	return NULL;
}

int tool_fail(const struct tool *tool, const char *path,
	      const struct disk_error *error)
{
	cli_error("%s: %s: %s", tool->command, path, error->text);
	return MACHINE_FAILED;
}

int tool_print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(value);
	return MACHINE_OK;
}

/* --- the command ------------------------------------------------------------ */

static void print_formats(void)
{
	const struct disk_driver *driver;

	printf("\nFormats, their names' endings and their options:\n");
	for (unsigned int i = 0; (driver = disk_driver_at(i)); i++) {
		printf("\n  %-10s %s\n", driver->name,
		       driver->suffixes ? driver->suffixes : "");
		for (const struct disk_option *o = driver->options;
		     o && o->name; o++)
			cli_fill(o->help, (size_t)printf("    %s", o->name),
				 25);
	}
}

static int run_unlocked(const struct disk_command *command, struct tool *tool)
{
	struct disk_error error;
	int status;

	if (tool->secrets)
		tool->unlocks = disk_secret_read_all(tool->secret,
						     tool->secrets, &error);
	if (tool->backing_secrets && (!tool->secrets || tool->unlocks))
		tool->backing_unlocks = disk_secret_read_all(
			tool->backing_secret, tool->backing_secrets, &error);
	if ((tool->secrets && !tool->unlocks) ||
	    (tool->backing_secrets && !tool->backing_unlocks)) {
		cli_error("%s: %s", tool->command, error.text);
		status = MACHINE_FAILED;
	} else {
		status = command->run(tool);
	}
	disk_secret_free(tool->unlocks);
	disk_secret_free(tool->backing_unlocks);
	return status;
}

static const struct command *const verbs[] = {
	&disk_command_create.command,  &disk_command_info.command,
	&disk_command_resize.command,  &disk_command_convert.command,
	&disk_command_check.command,   &disk_command_snapshot.command,
	&disk_command_commit.command,  &disk_command_rebase.command,
	&disk_command_map.command,     &disk_command_compare.command,
	&disk_command_export.command,  &disk_command_encrypt.command,
	&disk_command_key.command,     &disk_command_bitmap.command,
};

static int run_disk(const struct command_context *context, int argc,
		    char **argv)
{
	char title[32];
	struct tool tool = { .command = title, .word = argv + 1 };
	const struct command *verb;
	int status;

	verb = command_verb(&command_disk, argc, argv, &status);
	if (!verb)
		return status;
	snprintf(title, sizeof(title), "disk %s", verb->name);
	status = command_take(&command_disk, verb, argc - 1, argv + 1, &tool,
			      &tool.words);
	if (status >= 0)
		return status;
	/* It is the first member. */
	return run_unlocked((const struct disk_command *)verb, &tool);
}

const struct command command_disk = {
	.name = "disk",
	.synopsis = "VERB [OPTIONS] WORDS",
	.summary = "make, look at, convert and mend disk images",
	.about = "Works on disk images that no running machine writes to. An "
		 "image's format is what\n--format says, else what its name's "
		 "ending says, else raw; never what the image\nitself says.",
	.examples = "lodge disk create disk.qcow2 20G\n"
		    "lodge disk convert disk.vmdk disk.qcow2",
	.verbs = verbs,
	.verb_count = OPTION_COUNT(verbs),
	.run = run_disk,
	.more = print_formats,
};
