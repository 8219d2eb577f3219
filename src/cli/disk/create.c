/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk create, resize: images and their sizes.
 */
#include <stdio.h>
#include <string.h>

#include "cli/disk/tool.h"
#include "disk/driver.h"
#include "disk/partition.h"
#include "vmm/machine.h"

static int bad_size(const struct tool *tool, const char *text)
{
	cli_error("%s: %s: give a size such as 10G or 512M", tool->command,
		  text);
	return MACHINE_USAGE;
}

static json_t *size_json(const char *path, const char *format, uint64_t size)
{
	return json_pack("{sssssI}", "path", path, "format", format, "size",
			 (json_int_t)size);
}

/* --- create ----------------------------------------------------------------- */

/* Of an image that was made as large as what it stands on. */
static uint64_t made_size(const struct disk_create *made)
{
	const struct disk_open how = { .path = made->path,
				       .format = made->format,
				       .secret = made->secret,
				       .readonly = true,
				       .unlocked = true,
				       .alone = true,
				       .sealed = true };
	struct disk_error error;
	struct disk_node *node;
	uint64_t size = 0;

	if (!disk_open(&node, &how, &error)) {
		size = node->size;
		disk_close(node);
	}
	return size;
}

static int run_create(struct tool *tool)
{
	struct disk_create how = { .path = tool->word[0],
				   .format = tool->format,
				   .backing = tool->backing,
				   .backing_format = tool->backing_format,
				   .options = tool->option,
				   .option_count = tool->options,
				   .secret = tool->unlocks,
				   .backing_secret = tool->backing_unlocks,
				   .folders = tool->folder,
				   .folder_count = tool->folders };
	const struct disk_driver *driver = disk_driver_by_path(how.path);
	struct disk_error error;

	if (!how.format)
		how.format = driver ? driver->name : "raw";
	if (tool->words > 1 &&
	    !cli_parse_bytes(tool->word[1], true, &how.size))
		return bad_size(tool, tool->word[1]);
	if (tool->words == 1 && !how.backing) {
		cli_error("%s: give a size, or a --backing file that has one",
			  tool->command);
		return MACHINE_USAGE;
	}
	how.size = (how.size + 511) & ~511ull;
	if (disk_create(&how, &error))
		return tool_fail(tool, how.path, &error);
	if (tool->json)
		return tool_print_json(size_json(how.path, how.format,
						 how.size ? how.size
							  : made_size(&how)));
	return MACHINE_OK;
}

static const struct option_spec create_options[] = {
	TOOL_FORMAT,
	{ .name = "backing",
	  .value = "PATH",
	  .help = "reads come from this image until they are written\n"
		  "(qcow2, vmdk, vhd, vhdx); found from the new\n"
		  "image's folder",
	  .take = tool_take_backing },
	{ .name = "backing-format",
	  .value = "FORMAT",
	  .help = "that one's format (as its name's ending says)",
	  .take = tool_take_backing_format },
	TOOL_FOLDER,
	TOOL_OPTION,
	TOOL_JSON,
	TOOL_SECRET,
	{ .name = "backing-secret",
	  .value = "FILE",
	  .repeats = true,
	  .help = "the same of the backing file, when the new image\n"
		  "does not get it by --secret",
	  .take = tool_take_backing_secret },
};

const struct disk_command disk_command_create = {
	.command = {
		.name = "create",
		.synopsis = "[OPTIONS] PATH [SIZE]",
		.summary = "make an image",
		.about = "Makes an empty image. SIZE has a unit: 512M, 10G, 1T; a "
			 "backing file gives it\nwhen it is left out. With --secret a "
			 "qcow2 or luks image is encrypted. What\nformats and "
			 "options there are: lodge help disk.",
		.examples = "lodge disk create disk.qcow2 20G\n"
			    "lodge disk create --backing base.qcow2 overlay.qcow2",
		.words = "file",
		.words_min = 1,
		.words_max = 2,
		.options = create_options,
		.option_count = OPTION_COUNT(create_options),
	},
	.run = run_create,
};

/* --- resize ----------------------------------------------------------------- */

/* "10G", "+1G" or "-1G" of `old`. */
static bool new_size(const char *text, uint64_t old, uint64_t *size)
{
	uint64_t n;

	if (!cli_parse_bytes(text + (*text == '+' || *text == '-'), true, &n))
		return false;
	n = (n + 511) & ~511ull;
	if (*text == '+')
		*size = old + n;
	else if (*text == '-')
		*size = n < old ? old - n : 0;
	else
		*size = n;
	return *size && *size <= INT64_MAX;
}

/* Whether the disk may be cut to `size`; else it has been told why not. */
static bool may_shrink(const struct tool *tool, struct disk_node *node,
		       uint64_t size)
{
	char need[CLI_BYTES];
	uint64_t end;

	if (!tool->shrink) {
		cli_error("%s: %s: that cuts the end off the disk; say "
			  "--shrink when nothing is there any more",
			  tool->command, node->name);
		return false;
	}
	end = disk_partitions_end(node);
	if (end <= size)
		return true;
	cli_error("%s: %s: its partitions need %s (%llu bytes); make them "
		  "smaller first", tool->command, node->name,
		  cli_bytes(need, end), (unsigned long long)end);
	return false;
}

static int resize(struct tool *tool, struct disk_node *node, const char *text)
{
	struct disk_error error;
	uint64_t size = 0;

	if (!new_size(text, node->size, &size))
		return bad_size(tool, text);
	if (size < node->size && !may_shrink(tool, node, size))
		return MACHINE_FAILED;
	if (disk_resize(node, size, tool->prealloc, &error))
		return tool_fail(tool, node->name, &error);
	if (tool->json)
		return tool_print_json(size_json(node->name,
						 node->driver->name, size));
	return MACHINE_OK;
}

static int run_resize(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_node *node;
	int status;

	how.readonly = false;
	node = tool_open(tool, &how);
	if (!node)
		return MACHINE_FAILED;
	status = resize(tool, node, tool->word[1]);
	disk_close(node);
	return status;
}

static int take_shrink(void *config, const char *value)
{
	((struct tool *)config)->shrink = true;
	return 0;
}

static const struct option_spec resize_options[] = {
	TOOL_FORMAT,
	{ .name = "shrink",
	  .help = "cut the end off when SIZE is less",
	  .take = take_shrink },
	{ .name = "prealloc",
	  .value = "HOW",
	  .help = "room for what is added: off, metadata, falloc or\n"
		  "full (off)",
	  .take = tool_take_prealloc },
	TOOL_FOLDER,
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_resize = {
	.command = {
		.name = "resize",
		.synopsis = "[OPTIONS] PATH SIZE|+SIZE|-SIZE",
		.summary = "make an image larger or smaller",
		.about = "Gives a disk another size; what is added reads as zeros. A "
			 "disk is not cut into\nits partitions.",
		.examples = "lodge disk resize disk.qcow2 +10G",
		.words = "file",
		.words_min = 2,
		.words_max = 2,
		.options = resize_options,
		.option_count = OPTION_COUNT(resize_options),
	},
	.run = run_resize,
};
