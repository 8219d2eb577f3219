/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge mirror: a running machine's disk is copied to a new image.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/disk/tool.h"
#include "cli/option.h"
#include "cli/target.h"
#include "vmm/machine.h"

#define PATIENCE 60	/* seconds for an answer */
#define POLL_US	 50000u /* between two looks */

struct request {
	const char *disk, *format;
	bool keep, json;
};

static int take_disk(void *config, const char *value)
{
	((struct request *)config)->disk = value;
	return 0;
}

static int take_format(void *config, const char *value)
{
	((struct request *)config)->format = value;
	return 0;
}

static int take_keep(void *config, const char *value)
{
	((struct request *)config)->keep = true;
	return 0;
}

static int take_json(void *config, const char *value)
{
	((struct request *)config)->json = true;
	return 0;
}

static const struct option_spec options[] = {
	{ .name = "disk",
	  .value = "DISK",
	  .help = "which one: its path, or the name that lodge attach\n"
		  "gave (the only one)",
	  .take = take_disk },
	{ .name = "format",
	  .value = "FORMAT",
	  .help = "of the new image (as its name's ending says)",
	  .take = take_format },
	{ .name = "keep",
	  .help = "the disk stays on its image; the new one is a copy as\n"
		  "of the moment at which this command ends",
	  .take = take_keep },
	{ .name = "json", .help = "print a JSON object", .take = take_json },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void help_mirror(void)
{
	printf("usage: lodge mirror [OPTIONS] NAME TARGET\n\n"
	       "Copies a disk of a running machine to a new image while the "
	       "guest works, and lets\nthe disk go on with that. Interrupted, "
	       "it takes the new image away again.\n\n");
	option_print(options, OPTIONS);
}

static json_t *call(struct target *target, const char *command, json_t *more)
{
	return target_call(target, command, more, PATIENCE, NULL);
}

/* Follows the copy; 1: ready, 0: interrupted, -1: failed, has been told. */
static int follow(struct target *target, struct disk_job *job)
{
	for (;;) {
		json_t *status = call(target, "mirror-status", NULL);
		const char *state;
		int end = 2;

		if (!status)
			return -1;
		state = json_string_value(json_object_get(status, "state"));
		atomic_store(&job->done,
			     (uint64_t)json_integer_value(
				     json_object_get(status, "done")));
		atomic_store(&job->total,
			     (uint64_t)json_integer_value(
				     json_object_get(status, "total")));
		if (state && !strcmp(state, "ready"))
			end = 1;
		else if (!state || strcmp(state, "copies"))
			end = -1;
		if (end == -1)
			cli_error("mirror: %s: %s", target->word[1],
				  json_string_value(json_object_get(status,
								    "error")) ?:
					  "somebody else ended it");
		json_decref(status);
		if (end < 2)
			return end;
		if (atomic_load(&job->cancel))
			return 0;
		usleep(POLL_US);
	}
}

static int end_as(struct target *target, const char *how)
{
	json_t *result = call(target, "mirror-end",
			      json_pack("{ss}", "how", how));

	json_decref(result);
	return result ? MACHINE_OK : MACHINE_FAILED;
}

static int mirror(struct target *target, const struct request *request)
{
	struct disk_job job = { 0 };
	struct progress *progress = progress_begin(&job, "mirroring", NULL,
						   NULL);
	int outcome = follow(target, &job), status = MACHINE_FAILED;

	progress_end(progress);
	if (outcome == 1)
		status = end_as(target, request->keep ? "keep" : "move");
	else
		end_as(target, "cancel");
	if (!outcome)
		cli_error("mirror: interrupted; %s is gone again",
			  target->word[1]);
	if (status == MACHINE_OK && request->json)
		target_print_json(json_pack("{sssb}", "target", target->word[1],
					    "moved", (int)!request->keep));
	return status;
}

static int begin(struct target *target, const struct request *request)
{
	char *path = target_path(target->word[1]);
	char *disk = request->disk && strchr(request->disk, '/')
			     ? target_path(request->disk)
			     : NULL;
	json_t *more = json_pack("{ssss*ss*}", "target", path, "format",
				 request->format, "disk",
				 disk ? disk : request->disk);
	json_t *result = more ? call(target, "mirror", more) : NULL;

	if (!more)
		cli_error("mirror: %s: names are written in UTF-8",
			  target->word[1]);
	free(path);
	free(disk);
	json_decref(result);
	return result ? 0 : -1;
}

static int run_mirror(const struct command_context *context, int argc,
		      char **argv)
{
	struct target target = { .command = "mirror", .word = argv };
	struct request request = { 0 };
	int status = MACHINE_FAILED;

	switch (option_parse_words("mirror", options, OPTIONS, argc, argv,
				   &request, &target.words)) {
	case OPTION_HELP:
		help_mirror();
		return MACHINE_OK;
	case OPTION_BAD:
		return MACHINE_USAGE;
	case OPTION_GO_ON:
		break;
	}
	if (target.words != 2) {
		cli_error("mirror: usage: lodge mirror [OPTIONS] NAME TARGET");
		return MACHINE_USAGE;
	}
	if (!begin(&target, &request))
		status = mirror(&target, &request);
	target_close(&target);
	return status;
}

const struct command command_mirror = {
	.name = "mirror",
	.summary = "move a running machine's disk to a new image",
	.run = run_mirror,
	.help = help_mirror,
};
