/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start, stop and rm: of one machine or many.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/group.h"
#include "cli/machine/managed.h"
#include "cli/option.h"
#include "vmm/control/remote.h"
#include "vmm/guest/agent.h"
#include "vmm/machine.h"

#define PATIENCE       30 /* seconds for an answer */
#define STOP_TIMEOUT   60 /* seconds for a guest to power off */
#define BUTTON_TIMEOUT 10 /* of them before its agent is asked */
#define STOP_MAX       86400

/* --- start ---------------------------------------------------------------------------- */

static const struct option_spec start_options[] = { GROUP_OPTIONS };

static bool start_meant(const json_t *row)
{
	return !group_runs(row) &&
	       !json_is_true(json_object_get(row, "template"));
}

static int start_one(struct api_client *client, struct group *group,
		     const char *name)
{
	return managed_verb(client, "start", name, "start", NULL, NULL);
}

static int run_start(const struct command_context *context, int argc,
		     char **argv)
{
	static const struct group_verb verb = {
		.command = &command_start,
		.done = "started",
		.start = API_START,
		.meant = start_meant,
		.act = start_one,
	};

	return group_run(&verb, argc, argv);
}

const struct command command_start = {
	.name = "start",
	.summary = "start machines that are kept",
	.run = run_start,
	.synopsis = "[OPTIONS] NAME...",
	.about = "Starts machines that are kept, and returns when they run.",
	.examples = "lodge start web\n"
		    "lodge start --label tier=front",
	.options = start_options,
	.option_count = OPTION_COUNT(start_options),
	.words = "stopped",
	.words_max = COMMAND_MANY,
};

/* --- stop ----------------------------------------------------------------------------- */

static int take_timeout(void *config, const char *value)
{
	struct group *group = config;
	char *end;

	group->timeout = strtol(value, &end, 10);
	if (*value && !*end && group->timeout >= 1 &&
	    group->timeout <= STOP_MAX)
		return 0;
	cli_error("stop: --timeout %s: give seconds from 1 to %d", value,
		  STOP_MAX);
	return -1;
}

static const struct option_spec stop_options[] = {
	GROUP_OPTIONS,
	{ "force", NULL, "end it at once, whatever the guest does", false,
	  group_take_force },
	{ "timeout", "SECONDS",
	  "then end it, if the guest has not powered off", false,
	  take_timeout },
};

static bool stop_meant(const json_t *row)
{
	return group_runs(row) || group_is(row, "waiting");
}

/*
 * A guest that does not heed the button has an agent perhaps, and its system
 * ends in the same order.
 */
static void power_off_by_agent(const char *name)
{
	static const struct agent_patience patience = { BUTTON_TIMEOUT, NULL };
	struct agent *agent = elsewhere() ? NULL : malloc(sizeof(*agent));
	struct vmm_error error;
	const uint8_t off = 0;

	if (agent && !agent_open(agent, name, &patience, &error)) {
		agent_send(agent, AGENT_POWER, &off, sizeof(off), &error);
		agent_close(agent);
	}
	free(agent);
}

/* One of lodge run, by its control socket: until its end, or for `seconds`. */
static int wait_end(struct remote *remote, const char *name, bool force,
		    unsigned int seconds)
{
	const unsigned int first = seconds < BUTTON_TIMEOUT ? seconds :
							      BUTTON_TIMEOUT;

	if (!remote_wait_end(remote, first))
		return 0;
	if (seconds == first)
		return -1;
	if (!force)
		power_off_by_agent(name);
	return remote_wait_end(remote, seconds - first);
}

static int stop_plain(const struct group *group, const char *name)
{
	const unsigned int seconds = group->timeout ?
					     (unsigned int)group->timeout :
					     STOP_TIMEOUT;
	struct vmm_error error;
	struct remote remote;
	bool force = group->force;
	json_t *result;
	int late = -1;

	if (remote_open(&remote, name, &error)) {
		/* One that hangs is ended all the same. */
		if (force && strstr(error.text, "does not answer") &&
		    !remote_kill(name, &error))
			return MACHINE_OK;
		cli_error("stop: %s", error.text);
		return MACHINE_FAILED;
	}
	for (;;) {
		result = remote_call(&remote, "stop",
				     json_pack("{sb}", "force", (int)force),
				     PATIENCE, NULL, &error);
		if (!result)
			cli_error("stop: %s", error.text);
		else
			late = wait_end(&remote, name, force, seconds);
		json_decref(result);
		if (!result || !late || !group->timeout || force)
			break;
		force = true;
	}
	if (result && late)
		cli_error("stop: %s still runs: its guest does not heed the "
			  "power button; lodge stop --force %s ends it", name,
			  name);
	remote_close(&remote);
	return result && !late ? MACHINE_OK : MACHINE_FAILED;
}

static const struct managed_late *stop_late(const struct group *group)
{
	static const struct managed_late late = { BUTTON_TIMEOUT,
						  power_off_by_agent };

	return group->force ? NULL : &late;
}

static int stop_one(struct api_client *client, struct group *group,
		    const char *name)
{
	int status;

	if (managed_say("stop", name, "stop", group_body(group),
			stop_late(group), &status))
		return status;
	return stop_plain(group, name);
}

static int run_stop(const struct command_context *context, int argc,
		    char **argv)
{
	static const struct group_verb verb = {
		.command = &command_stop,
		.done = "stopped",
		.start = API_IF_KEPT,
		.plain = true,
		.meant = stop_meant,
		.act = stop_one,
		.late = stop_late,
	};

	return group_run(&verb, argc, argv);
}

const struct command command_stop = {
	.name = "stop",
	.summary = "press a machine's power button, or end it",
	.run = run_stop,
	.synopsis = "[OPTIONS] NAME...",
	.about = "Presses a machine's power button and waits up to 60 seconds "
		 "for its guest to\npower off. A guest that does not heed the "
		 "button is told by its agent.",
	.examples = "lodge stop web\n"
		    "lodge stop --timeout 30 web db\n"
		    "lodge stop --force --label tier=front",
	.options = stop_options,
	.option_count = OPTION_COUNT(stop_options),
	.words = "running",
	.words_max = COMMAND_MANY,
};

/* --- rm ------------------------------------------------------------------------------- */

static const struct option_spec rm_options[] = {
	GROUP_OPTIONS,
	{ "force", NULL, "end those that run", false, group_take_force },
};

/* Whether it runs, and so is ended first with --force. */
static bool is_ended(struct api_client *client, const struct group *group,
		     const char *name)
{
	json_t *vm = group->force ? managed_find(client, name) : NULL;
	bool ends = vm && group_runs(vm);

	json_decref(vm);
	return ends;
}

static json_t *remove_ask(struct api_client *client,
			  const struct group *group, const char *name,
			  bool dry, struct vmm_error *error)
{
	char path[400], told[300];
	int status;

	if (dry && is_ended(client, group, name)) {
		snprintf(told, sizeof(told), "would stop and rm %s", name);
		return json_pack("{ss}", "told", told);
	}
	api_vm_path(path, sizeof(path), name,
		    dry ? "?dry_run=true" : "?wait=3600");
	return api_call(client, "DELETE", path, NULL, &status, error);
}

/* With --force. */
static void end_it(struct api_client *client, struct group *group,
		   const char *name)
{
	json_t *vm = managed_find(client, name);

	if (vm && group_runs(vm)) {
		managed_verb(client, "rm", name, "stop",
			     json_pack("{sb}", "force", 1), NULL);
		/* A temporary one goes by itself. */
		if (json_is_true(json_object_get(json_object_get(vm, "config"),
						 "temporary")))
			json_object_set_new(group->gone, name, json_true());
	}
	json_decref(vm);
}

static void end_all(struct api_client *client, struct group *group)
{
	json_t *name;
	size_t i;

	json_array_foreach(group->names, i, name)
		if (group->force)
			end_it(client, group, json_string_value(name));
}

static int remove_one(struct api_client *client, struct group *group,
		      const char *name)
{
	struct vmm_error error;
	json_t *answer;

	if (group->force)
		end_it(client, group, name);
	if (json_object_get(group->gone, name))
		return MACHINE_OK;
	answer = remove_ask(client, group, name, false, &error);
	/* One of lodge run is gone when it has ended. */
	if (!answer && group->force && !elsewhere() && remote_is_there(name))
		return stop_plain(group, name);
	if (!answer)
		cli_error("rm: %s", error.text);
	json_decref(answer);
	return answer ? MACHINE_OK : MACHINE_FAILED;
}

/*
 * What others stand on can go when they are gone: so as often as one more can,
 * all are tried. Those that run are left.
 */
static int run_rm(const struct command_context *context, int argc, char **argv)
{
	static const struct group_verb verb = {
		.command = &command_rm,
		.done = "removed",
		.start = API_START,
		.ask = remove_ask,
		.prepare = end_all,
		.again = true,
		.act = remove_one,
	};

	return group_run(&verb, argc, argv);
}

const struct command command_rm = {
	.name = "rm",
	.summary = "delete machines that are kept",
	.run = run_rm,
	.synopsis = "[OPTIONS] NAME...",
	.about = "Deletes machines that are kept, with the disks that were made "
		 "for them, not with\nthose that --disk named.",
	.examples = "lodge rm web\n"
		    "lodge rm --force --label tier=front",
	.options = rm_options,
	.option_count = OPTION_COUNT(rm_options),
	.words = "kept",
	.words_max = COMMAND_MANY,
};
