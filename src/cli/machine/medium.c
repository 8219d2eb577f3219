/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that change the media of a running machine's drives.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/run/disk.h"
#include "vmm/machine.h"

#define PATIENCE 60 /* seconds for an answer */

/* Sends it; the exit status. */
static int call(struct target *target, const char *command, json_t *request)
{
	json_t *result = target_call(target, command, request, PATIENCE, NULL);

	target_close(target);
	if (result && target->json)
		target_print_json(result);
	json_decref(result);
	return result ? MACHINE_OK : MACHINE_FAILED;
}

/* --- insert ----------------------------------------------------------------- */

/* NULL: *status says why not. */
static json_t *insertion(const struct target *target,
			 const struct machine_disk *disk, int *status)
{
	json_t *request;
	char *path;

	*status = MACHINE_USAGE;
	if (!disk->path) {
		cli_error("insert: give the path of an image; lodge eject "
			  "leaves a drive empty");
		return NULL;
	}
	*status = MACHINE_FAILED;
	path = target_path(disk->path);
	if (!path) {
		cli_error("insert: %s: %s", disk->path, strerror(errno));
		return NULL;
	}
	request = json_pack("{sssbsbss*}", "path", path, "readonly",
			    (int)disk->readonly, "force", (int)target->force,
			    "drive",
			    target->words > 2 ? target->word[2] : NULL);
	free(path);
	if (!request)
		cli_error("insert: %s: names are written in UTF-8",
			  disk->path);
	return request;
}

static const struct option_spec insert_options[] = {
	{ "force", NULL, "even if the guest holds the one that is there", false,
	  target_take_force },
	{ "json", NULL, "print the drive as JSON", false, target_take_json },
};

static int run_insert(const struct command_context *context, int argc,
		      char **argv)
{
	struct target target;
	struct machine_disk disk;
	json_t *request = NULL;
	int status = MACHINE_USAGE;

	if (target_take(&target, &command_insert, argc, argv, &status))
		return status;
	if (!floppy_parse("insert", target.word[1], &disk))
		request = insertion(&target, &disk, &status);
	free((char *)disk.path);
	return request ? call(&target, "insert", request) : status;
}

const struct command command_insert = {
	.name = "insert",
	.summary = "put a CD or floppy disk into a running machine",
	.run = run_insert,
	.synopsis = "[--force] [--json] NAME PATH[,readonly] [DRIVE]",
	.about = "Puts an image into a drive of a running machine, in place of what is in it: an ISO\n"
		 "into cd1 or cd2, a floppy disk into floppy1 or floppy2. With one drive, DRIVE need\n"
		 "not be given; lodge status NAME lists them. The guest sees that the medium has\n"
		 "changed.",
	.examples = "lodge insert web debian.iso\n"
		    "lodge insert web tools.img,readonly floppy1",
	.options = insert_options,
	.option_count = OPTION_COUNT(insert_options),
	.words = "running file drive",
	.words_min = 2,
	.words_max = 3,
	.missing = "a machine's name|an image's path",
};

/* --- eject ------------------------------------------------------------------ */

static const struct option_spec eject_options[] = {
	{ "force", NULL, "even if the guest holds it", false,
	  target_take_force },
	{ "json", NULL, "print the drive as JSON", false, target_take_json },
};

static int run_eject(const struct command_context *context, int argc,
		     char **argv)
{
	struct target target;
	int status;

	if (target_take(&target, &command_eject, argc, argv, &status))
		return status;
	return call(&target, "eject",
		    json_pack("{sbss*}", "force", (int)target.force, "drive",
			      target.words > 1 ? target.word[1] : NULL));
}

const struct command command_eject = {
	.name = "eject",
	.summary = "take a CD or floppy disk out of a running machine",
	.run = run_eject,
	.synopsis = "[--force] [--json] NAME [DRIVE]",
	.about = "Takes the medium out of a running machine's drive: cd1, cd2, floppy1 or floppy2.\n"
		 "With one drive, DRIVE need not be given; lodge status NAME lists them. A guest\n"
		 "that holds a CD, as while it is mounted, is told that the button was pressed.",
	.examples = "lodge eject web\n"
		    "lodge eject --force web cd1",
	.options = eject_options,
	.option_count = OPTION_COUNT(eject_options),
	.words = "running drive",
	.words_min = 1,
	.words_max = 2,
	.missing = "a machine's name",
};
