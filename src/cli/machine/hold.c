/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pause, resume and reset: of one machine or many, kept or not.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/group.h"
#include "cli/machine/managed.h"
#include "cli/option.h"
#include "vmm/control/remote.h"
#include "vmm/machine.h"

#define PATIENCE 30 /* seconds for an answer */

static const struct option_spec options[] = { GROUP_OPTIONS };

/* Says it to the process of a machine; NULL after all was told. */
static json_t *call(const char *command, const char *say, const char *name)
{
	struct vmm_error error;
	struct remote remote;
	json_t *result = NULL;

	if (remote_open(&remote, name, &error)) {
		managed_explain(name, &error);
	} else {
		result = remote_call(&remote, say, NULL, PATIENCE, NULL,
				     &error);
		remote_close(&remote);
	}
	if (!result)
		cli_error("%s: %s", command, error.text);
	return result;
}

static int say_one(struct api_client *client, struct group *group,
		   const char *name)
{
	const char *verb = group->verb->command->name;
	json_t *result;
	int status;

	if (!managed_say(verb, name, verb, NULL, NULL, &status)) {
		result = call(verb, verb, name);
		status = result ? MACHINE_OK : MACHINE_FAILED;
		json_decref(result);
	}
	return status == MACHINE_OK && group->verb->after ?
		       group->verb->after(name) : status;
}

static int say_all(const struct command *command, const char *done,
		   bool (*meant)(const json_t *row),
		   int (*after)(const char *name), int argc, char **argv)
{
	const struct group_verb verb = {
		.command = command,
		.done = done,
		.start = API_IF_KEPT,
		.plain = true,
		.meant = meant,
		.act = say_one,
		.after = after,
	};

	return group_run(&verb, argc, argv);
}

static bool pause_meant(const json_t *row)
{
	return group_is(row, "running");
}

static bool resume_meant(const json_t *row)
{
	return group_is(row, "paused");
}

static bool reset_meant(const json_t *row)
{
	return pause_meant(row) || resume_meant(row);
}

/* A machine may be paused for another reason, too. */
static int still_paused(const char *name)
{
	json_t *result = elsewhere() ? NULL : call("resume", "status", name);
	const char *reason =
		json_string_value(json_object_get(result, "reason"));
	bool waits = reason && *reason;

	if (waits)
		cli_error("resume: %s waits all the same: %s", name, reason);
	json_decref(result);
	return (result || elsewhere()) && !waits ? MACHINE_OK : MACHINE_FAILED;
}

static int run_pause(const struct command_context *context, int argc,
		     char **argv)
{
	return say_all(&command_pause, "paused", pause_meant, NULL, argc, argv);
}

static int run_resume(const struct command_context *context, int argc,
		      char **argv)
{
	return say_all(&command_resume, "resumed", resume_meant, still_paused, argc,
		       argv);
}

static int run_reset(const struct command_context *context, int argc,
		     char **argv)
{
	return say_all(&command_reset, "reset", reset_meant, NULL, argc, argv);
}

const struct command command_pause = {
	.name = "pause",
	.summary = "stop a machine's processors for a while",
	.run = run_pause,
	.synopsis = "[OPTIONS] NAME...",
	.about = "Stops machines' processors and their clocks until lodge resume. A guest does not\n"
		 "notice, but for what others tell it.",
	.examples = "lodge pause web\n"
		    "lodge pause --label tier=front",
	.options = options,
	.option_count = OPTION_COUNT(options),
	.words = "running",
	.words_max = COMMAND_MANY,
};

const struct command command_resume = {
	.name = "resume",
	.summary = "let a paused machine go on",
	.run = run_resume,
	.synopsis = "[OPTIONS] NAME...",
	.about = "Lets machines go on that lodge pause has stopped.",
	.examples = "lodge resume web\n"
		    "lodge resume --all",
	.options = options,
	.option_count = OPTION_COUNT(options),
	.words = "running",
	.words_max = COMMAND_MANY,
};

const struct command command_reset = {
	.name = "reset",
	.summary = "press a machine's reset button",
	.run = run_reset,
	.synopsis = "[OPTIONS] NAME...",
	.about = "Presses machines' reset buttons.",
	.examples = "lodge reset web\n"
		    "lodge reset web db",
	.options = options,
	.option_count = OPTION_COUNT(options),
	.words = "running",
	.words_max = COMMAND_MANY,
};
