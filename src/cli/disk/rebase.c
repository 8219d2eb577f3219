/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk commit, rebase: overlays and what they stand on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/disk/tool.h"
#include "disk/driver.h"
#include "vmm/machine.h"

static void print_moved(const struct tool *tool, const char *path,
			const char *backing)
{
	if (tool->json)
		tool_print_json(json_pack("{ssss?}", "path", path, "backing",
					  backing));
}

/* --- commit ----------------------------------------------------------------- */

/* What `node` has of its own, to its backing, which is writable. */
static int commit(struct tool *tool, struct disk_node *node)
{
	struct disk_node *base = node->backing;
	const struct disk_copy how = { .from = node, .to = base, .base = base,
				       .threads = tool->threads };
	struct progress *progress;
	struct disk_job job = { 0 };
	struct disk_error error;
	int result = 0;

	if (node->size > base->size)
		result = disk_resize(base, node->size, DISK_PREALLOC_OFF,
				     &error);
	if (!result) {
		progress = progress_begin(&job, "committing", NULL, NULL);
		result = disk_copy(&how, &job, &error);
		progress_end(progress);
	}
	if (!result && (result = disk_flush(base)))
		disk_error_set(&error, result, "%s", strerror(-result));
	if (result)
		return tool_fail(tool, base->name, &error);
	print_moved(tool, node->name, base->name);
	if (!tool->json)
		printf("%s has what %s had; that may be removed unless others "
		       "stand on it\n", base->name, node->name);
	return MACHINE_OK;
}

/* The path and format of the backing file, to be freed; they are checked. */
static int find_backing(struct tool *tool, char **path, const char **format)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_node *node = tool_open(tool, &how);

	if (!node)
		return -1;
	*path = node->backing ? strdup(node->backing->name) : NULL;
	*format = node->backing ? node->backing->driver->name : NULL;
	if (!*path)
		cli_error("%s: %s: stands on no other image", tool->command,
			  tool->word[0]);
	disk_close(node);
	return *path ? 0 : -1;
}

static int run_commit(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_node *node = NULL;
	const char *format;
	char *path;
	int status = MACHINE_FAILED;

	if (find_backing(tool, &path, &format))
		return MACHINE_FAILED;
	/* For us alone, as the backing: nobody may read while it changes. */
	how.readonly = false;
	how.alone = true;
	node = tool_open(tool, &how);
	how.path = path;
	how.format = format;
	how.alone = false;
	how.secret = node ? disk_secret_below(node, how.secret) : NULL;
	if (node)
		node->backing = tool_open(tool, &how);
	if (node && node->backing)
		status = commit(tool, node);
	disk_close(node);
	free(path);
	return status;
}

static const struct option_spec commit_options[] = {
	TOOL_FORMAT,
	{ .name = "threads",
	  .value = "N",
	  .help = "work with so many (as there are processors)",
	  .take = tool_take_threads },
	TOOL_FOLDER,
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_commit = {
	.command = {
		.name = "commit",
		.synopsis = "[OPTIONS] PATH",
		.summary = "move an overlay's content into its backing file",
		.about = "Writes what an overlay has of its own to the image that it "
			 "stands on. Every\nother overlay of that image is spoilt by "
			 "it.",
		.examples = "lodge disk commit overlay.qcow2",
		.words = "file",
		.words_min = 1,
		.words_max = 1,
		.options = commit_options,
		.option_count = OPTION_COUNT(commit_options),
	},
	.run = run_commit,
};

/* --- rebase ----------------------------------------------------------------- */

/* Opens what the image is to stand on, found from its folder. */
static int open_new(struct tool *tool, const struct disk_open *above,
		    struct disk_node *node, struct disk_node **to)
{
	struct disk_open how = *above;
	struct disk_error error;

	*to = NULL;
	if (tool->none)
		return 0;
	how.secret = disk_secret_below(node, above->secret);
	how.named = tool->backing;
	if (!disk_open_backing(to, node, tool->backing, tool->backing_format,
			       &how, &error))
		return 0;
	tool_fail(tool, node->name, &error);
	return -1;
}

static int rebase(struct tool *tool, struct disk_node *node,
		  const struct disk_open *how)
{
	struct disk_job job = { 0 };
	struct progress *progress;
	struct disk_error error;
	struct disk_node *to;
	const char *format;
	int result = 0;

	if (open_new(tool, how, node, &to))
		return MACHINE_FAILED;
	if (!tool->unsafe_) {
		progress = progress_begin(&job, "rebasing", NULL, NULL);
		result = disk_rebase(node, to, &job, &error);
		progress_end(progress);
		if (!result && (result = disk_flush(node)))
			disk_error_set(&error, result, "%s",
				       strerror(-result));
	}
	format = tool->backing_format ? tool->backing_format
		 : to		      ? to->driver->name
				      : NULL;
	if (!result)
		result = disk_set_backing(node, tool->none ? NULL
							   : tool->backing,
					  format, &error);
	disk_close(to);
	if (result)
		return tool_fail(tool, node->name, &error);
	print_moved(tool, node->name, tool->none ? NULL : tool->backing);
	return MACHINE_OK;
}

static int run_rebase(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_open look;
	struct disk_node *node;
	int status;

	if (!tool->backing == !tool->none) {
		cli_error("%s: give --backing PATH or --none", tool->command);
		return MACHINE_USAGE;
	}
	if (tool->unsafe_ && tool->none) {
		cli_error("%s: --unsafe --none would lose what the backing "
			  "file has", tool->command);
		return MACHINE_USAGE;
	}
	how.readonly = false;
	look = how; /* the new one is opened even if the old one is gone */
	how.alone = tool->unsafe_;
	node = tool_open(tool, &how);
	if (!node)
		return MACHINE_FAILED;
	status = rebase(tool, node, &look);
	disk_close(node);
	return status;
}

static int take_none(void *config, const char *value)
{
	((struct tool *)config)->none = true;
	return 0;
}

static int take_unsafe(void *config, const char *value)
{
	((struct tool *)config)->unsafe_ = true;
	return 0;
}

static const struct option_spec rebase_options[] = {
	TOOL_FORMAT,
	{ .name = "backing",
	  .value = "PATH",
	  .help = "stand on this image, found from the overlay's folder",
	  .take = tool_take_backing },
	{ .name = "backing-format",
	  .value = "FORMAT",
	  .help = "that one's format (as its name's ending says)",
	  .take = tool_take_backing_format },
	{ .name = "none",
	  .help = "stand on nothing: copy all that is read from below",
	  .take = take_none },
	{ .name = "unsafe",
	  .help = "only record the name: the content was moved or renamed",
	  .take = take_unsafe },
	TOOL_FOLDER,
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_rebase = {
	.command = {
		.name = "rebase",
		.synopsis = "[OPTIONS] PATH",
		.summary = "let an overlay stand on another image",
		.about = "Gives an overlay another backing file and copies what "
			 "differs, so that it reads\nthe same.",
		.examples = "lodge disk rebase --backing new-base.qcow2 overlay.qcow2",
		.words = "file",
		.words_min = 1,
		.words_max = 1,
		.options = rebase_options,
		.option_count = OPTION_COUNT(rebase_options),
	},
	.run = run_rebase,
};
