/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk convert: the content of an image in a new one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/disk/part.h"
#include "cli/disk/part_folder.h"
#include "cli/disk/tool.h"
#include "disk/address.h"
#include "disk/driver.h"
#include "disk/secret.h"
#include "vmm/machine.h"

#define NOTE_EVERY 5 /* seconds between two records */

struct convert {
	struct tool *tool;
	const char *source, *target;
	const struct disk_driver *driver;
	struct disk_node *from, *to;
	struct disk_job job;
	struct part part;
	struct part_folder folder; /* of images that are called by themselves */
	bool parted;	/* writes to the part first */
	bool device;	/* writes to a block device that is there */
	bool compress;
	uint64_t start; /* an earlier run came so far */
	unsigned int seconds;
	struct disk_secret *secret; /* of the target */
};

static int fail(const struct convert *c, const char *path,
		const struct disk_error *error)
{
	return tool_fail(c->tool, path, error);
}

/* --- the record ------------------------------------------------------------- */

static json_t *describe_source(const struct convert *c)
{
	json_t *source = json_pack("{sssssIsb}", "path", c->source, "format",
				   c->driver->name, "size",
				   (json_int_t)c->from->size, "compress",
				   (int)c->compress);
	json_t *options = json_array();
	struct stat status;

	if (!stat(c->source, &status)) {
		json_object_set_new(source, "inode",
				    json_integer((json_int_t)status.st_ino));
		json_object_set_new(
			source, "changed",
			json_pack("[II]", (json_int_t)status.st_mtim.tv_sec,
				  (json_int_t)status.st_mtim.tv_nsec));
	}
	for (unsigned int i = 0; i < c->tool->options; i++)
		json_array_append_new(options,
				      json_string(c->tool->option[i]));
	json_object_set_new(source, "options", options);
	return source;
}

/* What is settled is recorded once the target's tables say so, too. */
static void note(struct convert *c)
{
	uint64_t settled = atomic_load(&c->job.settled);

	if (!disk_flush(c->to))
		part_note(&c->part, settled);
}

static void watch(void *ctx)
{
	struct convert *c = ctx;

	if (++c->seconds % NOTE_EVERY == 0)
		note(c);
}

/* --- the target ------------------------------------------------------------- */

static int make_target(struct convert *c, const char *path)
{
	const struct disk_create how = { .path = path,
					 .format = c->driver->name,
					 .size = c->from->size,
					 .options = c->tool->option,
					 .option_count = c->tool->options,
					 .secret = c->secret };
	struct disk_error error;

	return disk_create(&how, &error) ? fail(c, c->target, &error) : 0;
}

static int open_target(struct convert *c, const char *path)
{
	const struct disk_open how = { .path = path,
				       .format = c->driver->name,
				       .secret = c->secret,
				       .cache = DISK_CACHE_UNSAFE };
	struct disk_error error;

	return disk_open(&c->to, &how, &error) ? fail(c, path, &error) : 0;
}

/* A block device takes the content as it is: it must have room. */
static int open_device(struct convert *c)
{
	struct disk_error error;

	if (open_target(c, c->target))
		return MACHINE_FAILED;
	if (c->to->size >= c->from->size)
		return 0;
	disk_error_set(&error, -ENOSPC, "has %llu bytes, the image needs %llu",
		       (unsigned long long)c->to->size,
		       (unsigned long long)c->from->size);
	return fail(c, c->target, &error);
}

static int prepare_folder(struct convert *c)
{
	struct disk_error error;
	int result = part_folder_make(&c->folder, c->target);

	if (!result)
		return make_target(c, c->folder.image) ||
				       open_target(c, c->folder.image)
			       ? MACHINE_FAILED
			       : 0;
	disk_error_set(&error, result, "%s", result == -EBUSY
		       ? "is being made by another process"
		       : strerror(-result));
	return fail(c, c->target, &error);
}

/* The target is there already. */
static int refuse_target(struct convert *c)
{
	struct disk_error error;

	part_folder_clear(c->target);
	disk_error_set(&error, -EEXIST, "is there already; remove it, "
		       "or take another name");
	return fail(c, c->target, &error);
}

static int prepare_target(struct convert *c)
{
	struct disk_error error;
	struct stat status;

	if (!stat(c->target, &status)) {
		c->device = S_ISBLK(status.st_mode);
		return c->device ? open_device(c) : refuse_target(c);
	}
	/* What is not a file cannot get its name later. */
	if (disk_is_address(c->target))
		return make_target(c, c->target) || open_target(c, c->target)
			       ? MACHINE_FAILED
			       : 0;
	c->parted = !c->driver->names_itself;
	if (!c->parted)
		return prepare_folder(c);
	if (!part_init(&c->part, c->target, describe_source(c))) {
		disk_error_set(&error, -ENAMETOOLONG, "%s",
			       strerror(ENAMETOOLONG));
		return fail(c, c->target, &error);
	}
	c->start = part_settled(&c->part);
	if (c->start && !open_target(c, c->part.path))
		return 0;
	if (c->start) /* in use, or not what the record says */
		return MACHINE_FAILED;
	part_remove(&c->part);
	return make_target(c, c->part.path) || open_target(c, c->part.path)
		       ? MACHINE_FAILED
		       : 0;
}

/* --- the work --------------------------------------------------------------- */

static int copy(struct convert *c, struct disk_error *error)
{
	const struct disk_copy how = { .from = c->from,
				       .to = c->to,
				       .start = c->start,
				       .zeroed = !c->device &&
						 !c->driver->noisy,
				       .packed = c->compress || c->to->stream,
				       .threads = c->tool->threads };
	bool notes = c->parted && !how.packed;
	struct progress *progress = progress_begin(&c->job, "converting",
						   notes ? watch : NULL, c);
	int result = disk_copy(&how, &c->job, error);

	progress_end(progress);
	if (!result && (result = disk_flush(c->to)))
		disk_error_set(error, result, "%s", strerror(-result));
	if (result == -ECANCELED && notes)
		note(c);
	return result;
}

/* Takes away what is not whole, but for what the next run goes on with. */
static int give_up(struct convert *c, int result,
		   const struct disk_error *error)
{
	uint64_t settled = atomic_load(&c->job.settled);

	if (result == -ECANCELED && c->parted && !c->compress &&
	    !c->to->stream && c->from->size) {
		cli_error("%s: interrupted at %llu%%; the same command goes "
			  "on there (or remove %s)", c->tool->command,
			  (unsigned long long)(settled * 100 / c->from->size),
			  c->part.path);
		return MACHINE_FAILED;
	}
	if (c->parted)
		part_remove(&c->part);
	else if (c->to && disk_is_address(c->target))
		disk_remove(c->to);
	return fail(c, c->target, error);
}

/* The target gets its name when nothing is left to write. */
static int finish(struct convert *c)
{
	uint64_t allocated = disk_allocated(c->to);
	struct disk_error error;
	int result = 0;

	disk_close(c->to);
	c->to = NULL;
	if (c->parted)
		result = part_keep(&c->part, c->target);
	else if (c->folder.fd >= 0)
		result = part_folder_keep(&c->folder);
	if (result) {
		disk_error_set(&error, result, "%s", strerror(-result));
		return fail(c, c->target, &error);
	}
	if (!c->tool->json)
		return MACHINE_OK;
	return tool_print_json(json_pack("{sssssIsI}", "path", c->target,
					 "format", c->driver->name, "size",
					 (json_int_t)c->from->size, "allocated",
					 (json_int_t)allocated));
}

static int convert(struct convert *c)
{
	struct disk_error error;
	int result;

	if (prepare_target(c))
		return MACHINE_FAILED;
	if (c->compress && c->to->encrypted) {
		result = disk_error_set(&error, -ENOTSUP, "encrypted images "
					"cannot be compressed");
		return give_up(c, result, &error);
	}
	if (c->compress && !c->to->driver->write_packed) {
		result = disk_error_set(&error, -ENOTSUP, "%s images cannot be "
					"compressed", c->driver->title);
		return give_up(c, result, &error);
	}
	result = copy(c, &error);
	return result ? give_up(c, result, &error) : finish(c);
}

static int run_convert(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_error error;
	struct convert c = { .tool = tool,
			     .source = tool->word[0],
			     .target = tool->word[1],
			     .folder = { .fd = -1 },
			     .compress = tool->compress };
	int status;

	c.driver = tool->to ? disk_driver_find(tool->to)
			    : disk_driver_by_path(c.target);
	if (!c.driver)
		c.driver = disk_driver_find("raw");
	if (tool->secret_to) {
		c.secret = disk_secret_read(tool->secret_to, &error);
		if (!c.secret)
			return tool_fail(tool, c.target, &error);
	}
	how.format = tool->from;
	how.format_option = "--from ";
	c.from = tool_open(tool, &how);
	status = c.from ? convert(&c) : MACHINE_FAILED;
	disk_close(c.to);
	disk_close(c.from);
	part_folder_remove(&c.folder);
	part_done(&c.part);
	disk_secret_free(c.secret);
	return status;
}

static int take_target_secret(void *config, const char *value)
{
	((struct tool *)config)->secret_to = value;
	return 0;
}

static int take_compress(void *config, const char *value)
{
	((struct tool *)config)->compress = true;
	return 0;
}

static const struct option_spec convert_options[] = {
	{ .name = "from",
	  .value = "FORMAT",
	  .help = "what SOURCE is (as its name's ending says)",
	  .take = tool_take_from },
	{ .name = "to",
	  .value = "FORMAT",
	  .help = "what TARGET is to be (as its name's ending says)",
	  .take = tool_take_to },
	TOOL_SECRET,
	{ .name = "to-secret",
	  .value = "FILE",
	  .help = "a file with the passphrase that TARGET is to have",
	  .take = take_target_secret },
	{ .name = "compress",
	  .help = "write compressed clusters",
	  .take = take_compress },
	{ .name = "threads",
	  .value = "N",
	  .help = "work with so many (as there are processors)",
	  .take = tool_take_threads },
	TOOL_OPTION,
	TOOL_FOLDER,
	TOOL_JSON,
};

const struct disk_command disk_command_convert = {
	.command = {
		.name = "convert",
		.synopsis = "[OPTIONS] SOURCE TARGET",
		.summary = "copy an image into another format",
		.about = "Makes TARGET with the content of SOURCE and all that it "
			 "stands on. Zeros take no\nroom. TARGET gets its name when "
			 "it is whole; until then it is TARGET.part, and\nafter an "
			 "interruption the same command goes on with that. A block "
			 "device is\nwritten to as it is.",
		.examples = "lodge disk convert disk.vmdk disk.qcow2\n"
			    "lodge disk convert --compress disk.img small.qcow2",
		.words = "file",
		.words_min = 2,
		.words_max = 2,
		.options = convert_options,
		.option_count = OPTION_COUNT(convert_options),
	},
	.run = run_convert,
};
