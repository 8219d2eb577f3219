/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge mirror, commit, rebase: long work on a disk of a running machine,
 * which goes on as long as the command does. lodge job looks at it from
 * elsewhere.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/disk/tool.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "vmm/machine.h"

#define PATIENCE 60	/* seconds for an answer */
#define POLL_US	 50000u /* between two looks */

struct request {
	const char *disk, *format, *base, *backing, *backing_format;
	bool keep, json, none, cancel, finish, limited;
	uint64_t speed;
};

/* --- options ---------------------------------------------------------------- */

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

static int take_base(void *config, const char *value)
{
	((struct request *)config)->base = value;
	return 0;
}

static int take_backing(void *config, const char *value)
{
	((struct request *)config)->backing = value;
	return 0;
}

static int take_backing_format(void *config, const char *value)
{
	((struct request *)config)->backing_format = value;
	return 0;
}

static int take_none(void *config, const char *value)
{
	((struct request *)config)->none = true;
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

static int take_cancel(void *config, const char *value)
{
	((struct request *)config)->cancel = true;
	return 0;
}

static int take_finish(void *config, const char *value)
{
	((struct request *)config)->finish = true;
	return 0;
}

static int take_speed(void *config, const char *value)
{
	struct request *request = config;

	request->limited = true;
	if (cli_parse_bytes(value, false, &request->speed))
		return 0;
	cli_error("--speed %s: give bytes a second such as 50M, or 0 for no "
		  "limit", value);
	return -1;
}

#define OPTION_DISK                                                        \
	{ .name = "disk", .value = "DISK",                                 \
	  .help = "which one: its path, or the name that lodge attach\n"   \
		  "gave (the only one)",                                   \
	  .take = take_disk }
#define OPTION_SPEED                                                       \
	{ .name = "speed", .value = "SIZE",                                \
	  .help = "copy so many bytes a second at most, such as 50M",      \
	  .take = take_speed }
#define OPTION_JSON                                                        \
	{ .name = "json", .help = "print a JSON object", .take = take_json }

/* Takes them. -1: go on; else the exit status. */
static int parse(struct target *target, struct request *request,
		 const struct command *command, int argc, char **argv)
{
	return command_take(NULL, command, argc, argv, request,
			    &target->words);
}

/* --- following it ----------------------------------------------------------- */

static json_t *call(struct target *target, const char *command, json_t *more)
{
	return target_call(target, command, more, PATIENCE, NULL);
}

static uint64_t number_of(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* 1: ready, 0: it works, -1: failed, has been told. */
static int look(struct target *target, struct disk_job *job)
{
	json_t *status = call(target, "job", NULL);
	const char *state = text_of(status, "state");
	int result = -1;

	if (!status)
		return -1;
	atomic_store(&job->done, number_of(status, "done"));
	atomic_store(&job->total, number_of(status, "total"));
	if (state && !strcmp(state, "ready"))
		result = 1;
	else if (state && !strcmp(state, "works"))
		result = 0;
	else
		cli_error("%s: %s: %s", target->command,
			  text_of(status, "target") ?: target->word[0],
			  text_of(status, "error") ?:
				  "somebody else ended it");
	json_decref(status);
	return result;
}

/* 1: ready, 0: interrupted, -1: failed, has been told. */
static int follow(struct target *target, struct disk_job *job)
{
	for (;;) {
		int state = look(target, job);

		if (state)
			return state;
		if (atomic_load(&job->cancel))
			return 0;
		usleep(POLL_US);
	}
}

static int end_as(struct target *target, const char *how)
{
	json_t *result = call(target, "job-end", json_pack("{ss}", "how", how));

	json_decref(result);
	return result ? MACHINE_OK : MACHINE_FAILED;
}

/* Follows what was begun to its end, which is `how`. */
static int work(struct target *target, const char *what, const char *how)
{
	struct disk_job job = { 0 };
	struct progress *progress = progress_begin(&job, what, NULL, NULL);
	int outcome = follow(target, &job);

	progress_end(progress);
	if (outcome == 1)
		return end_as(target, how);
	end_as(target, "cancel");
	if (!outcome)
		cli_error("%s: interrupted; the disk is where it was",
			  target->command);
	return MACHINE_FAILED;
}

/* Begins `command` with `more`, what all of them have, too; NULL `more`: a
 * word is no text. */
static int begin(struct target *target, const struct request *request,
		 json_t *more)
{
	char *disk = request->disk && strchr(request->disk, '/')
			     ? target_path(request->disk)
			     : NULL;
	json_t *result = NULL;

	if (request->disk &&
	    json_object_set_new(more, "disk",
				json_string(disk ? disk : request->disk))) {
		json_decref(more);
		more = NULL;
	}
	free(disk);
	if (request->limited)
		json_object_set_new(more, "speed",
				    json_integer((json_int_t)request->speed));
	if (more)
		result = call(target, target->command, more);
	else
		cli_error("%s: names are written in UTF-8", target->command);
	json_decref(result);
	return result ? MACHINE_OK : MACHINE_FAILED;
}

/* --- mirror ----------------------------------------------------------------- */

static const struct option_spec mirror_options[] = {
	OPTION_DISK,
	{ .name = "format",
	  .value = "FORMAT",
	  .help = "of the new image (as its name's ending says)",
	  .take = take_format },
	{ .name = "keep",
	  .help = "the disk stays on its image; the new one is a copy as\n"
		  "of the moment at which this command ends",
	  .take = take_keep },
	OPTION_SPEED,
	OPTION_JSON,
};


static int run_mirror(const struct command_context *context, int argc,
		      char **argv)
{
	struct target target = { .command = "mirror", .word = argv };
	struct request request = { 0 };
	int status = parse(&target, &request, &command_mirror, argc, argv);
	char *path;

	if (status >= 0)
		return status;
	path = target_path(target.word[1]);
	status = begin(&target, &request,
		       json_pack("{ssss*}", "target", path, "format",
				 request.format));
	free(path);
	if (status == MACHINE_OK)
		status = work(&target, "mirroring",
			      request.keep ? "keep" : "finish");
	if (status == MACHINE_OK && request.json)
		target_print_json(json_pack("{sssb}", "target", target.word[1],
					    "moved", (int)!request.keep));
	target_close(&target);
	return status;
}

const struct command command_mirror = {
	.name = "mirror",
	.summary = "move a running machine's disk to a new image",
	.run = run_mirror,
	.synopsis = "[OPTIONS] NAME TARGET",
	.about = "Copies a disk of a running machine to a new image while the guest works, and lets\n"
		 "the disk go on with that. Interrupted, it takes the new image away again.",
	.examples = "lodge mirror web /new/web.qcow2\n"
		    "lodge mirror --keep web backup.qcow2",
	.options = mirror_options,
	.option_count = OPTION_COUNT(mirror_options),
	.words = "running file",
	.words_min = 2,
	.words_max = 2,
};

/* --- commit ----------------------------------------------------------------- */

static const struct option_spec commit_options[] = {
	OPTION_DISK,
	{ .name = "base",
	  .value = "PATH",
	  .help = "into this one of the images that the disk stands on\n"
		  "(the next one)",
	  .take = take_base },
	{ .name = "keep",
	  .help = "do not remove the images above that, which are of no\n"
		  "more use",
	  .take = take_keep },
	OPTION_SPEED,
	OPTION_JSON,
};


static int run_commit(const struct command_context *context, int argc,
		      char **argv)
{
	struct target target = { .command = "commit", .word = argv };
	struct request request = { 0 };
	int status = parse(&target, &request, &command_commit, argc, argv);
	char *base;

	if (status >= 0)
		return status;
	base = request.base ? target_path(request.base) : NULL;
	status = begin(&target, &request,
		       json_pack("{ss*sb}", "base", base, "keep",
				 (int)request.keep));
	free(base);
	if (status == MACHINE_OK)
		status = work(&target, "committing", "finish");
	if (status == MACHINE_OK && request.json)
		target_print_json(json_pack("{sb}", "removed",
					    (int)!request.keep));
	target_close(&target);
	return status;
}

const struct command command_commit = {
	.name = "commit",
	.summary = "fold a running machine's disk into what it stands on",
	.run = run_commit,
	.synopsis = "[OPTIONS] NAME",
	.about = "Moves what a disk of a running machine has of its own into the image that it\n"
		 "stands on, while the guest works, and lets the disk go on with that. Every other\n"
		 "image that stands on that one is spoilt by it.",
	.examples = "lodge commit web\n"
		    "lodge commit --speed 50M web",
	.options = commit_options,
	.option_count = OPTION_COUNT(commit_options),
	.words = "running",
	.words_min = 1,
	.words_max = 1,
};

/* --- rebase ----------------------------------------------------------------- */

static const struct option_spec rebase_options[] = {
	OPTION_DISK,
	{ .name = "backing",
	  .value = "PATH",
	  .help = "stand on this image, found from the disk's folder",
	  .take = take_backing },
	{ .name = "backing-format",
	  .value = "FORMAT",
	  .help = "that one's format (as its name's ending says)",
	  .take = take_backing_format },
	{ .name = "none",
	  .help = "stand on nothing: copy all that is read from below",
	  .take = take_none },
	OPTION_SPEED,
	OPTION_JSON,
};


static int run_rebase(const struct command_context *context, int argc,
		      char **argv)
{
	struct target target = { .command = "rebase", .word = argv };
	struct request request = { 0 };
	int status = parse(&target, &request, &command_rebase, argc, argv);

	if (status >= 0)
		return status;
	if (!request.backing == !request.none) {
		cli_error("rebase: give --backing PATH or --none");
		return MACHINE_USAGE;
	}
	status = begin(&target, &request,
		       json_pack("{ss?ss*}", "backing", request.backing,
				 "backing-format", request.backing_format));
	if (status == MACHINE_OK)
		status = work(&target, "rebasing", "finish");
	if (status == MACHINE_OK && request.json)
		target_print_json(json_pack("{ss?}", "backing",
					    request.backing));
	target_close(&target);
	return status;
}

const struct command command_rebase = {
	.name = "rebase",
	.summary = "let a running machine's disk stand on another image",
	.run = run_rebase,
	.synopsis = "[OPTIONS] NAME",
	.about = "Lets a disk of a running machine stand on another image, or on none: what it\n"
		 "lacks then is copied into it while the guest works.",
	.examples = "lodge rebase --backing new-base.qcow2 web\n"
		    "lodge rebase --none web",
	.options = rebase_options,
	.option_count = OPTION_COUNT(rebase_options),
	.words = "running",
	.words_min = 1,
	.words_max = 1,
};

/* --- job -------------------------------------------------------------------- */

static const struct option_spec job_options[] = {
	{ .name = "cancel",
	  .help = "end it; the disk stays where it was",
	  .take = take_cancel },
	{ .name = "finish",
	  .help = "end it as it was meant to, when all is copied",
	  .take = take_finish },
	{ .name = "speed",
	  .value = "SIZE",
	  .help = "go on with so many bytes a second at most; 0: no limit",
	  .take = take_speed },
	OPTION_JSON,
};


static void print_job(const json_t *job)
{
	char done[CLI_BYTES], total[CLI_BYTES], speed[CLI_BYTES];
	const char *error = text_of(job, "error");

	if (!text_of(job, "work")) {
		printf("nothing is done to a disk\n");
		return;
	}
	printf("work       %s\ndisk       %s\n", text_of(job, "work"),
	       text_of(job, "disk"));
	if (text_of(job, "target"))
		printf("target     %s\n", text_of(job, "target"));
	printf("state      %s%s%s\ndone       %s of %s\n",
	       text_of(job, "state"), error ? ": " : "", error ? error : "",
	       cli_bytes(done, number_of(job, "done")),
	       cli_bytes(total, number_of(job, "total")));
	if (number_of(job, "speed"))
		printf("limit      %s/s\n",
		       cli_bytes(speed, number_of(job, "speed")));
}

static int run_job(const struct command_context *context, int argc,
		   char **argv)
{
	struct target target = { .command = "job", .word = argv };
	struct request request = { 0 };
	json_t *more = NULL, *job;
	int status = parse(&target, &request, &command_job, argc, argv);

	if (status >= 0)
		return status;
	if (request.cancel + request.finish + request.limited > 1) {
		cli_error("job: give one of --cancel, --finish and --speed");
		return MACHINE_USAGE;
	}
	if (request.cancel || request.finish) {
		status = end_as(&target, request.cancel ? "cancel" : "finish");
		target_close(&target);
		return status;
	}
	if (request.limited)
		more = json_pack("{sI}", "speed", (json_int_t)request.speed);
	job = call(&target, "job", more);
	if (job && request.json)
		target_print_json(job);
	else if (job && !request.limited)
		print_job(job);
	json_decref(job);
	target_close(&target);
	return job ? MACHINE_OK : MACHINE_FAILED;
}

const struct command command_job = {
	.name = "job",
	.summary = "look at, hurry or end what is done to a disk",
	.run = run_job,
	.synopsis = "[OPTIONS] NAME",
	.about = "Tells what is done to a disk of a running machine by lodge mirror, commit or\n"
		 "rebase, sets how fast, or ends it.",
	.examples = "lodge job web\n"
		    "lodge job --cancel web",
	.options = job_options,
	.option_count = OPTION_COUNT(job_options),
	.words = "running",
	.words_min = 1,
	.words_max = 1,
};
