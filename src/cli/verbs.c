/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs for one machine or many: start, rm, and stop, which those of lodge run
 * have as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/kept.h"
#include "cli/managed.h"
#include "cli/option.h"
#include "vmm/agent.h"
#include "vmm/machine.h"
#include "vmm/remote.h"

#define PATIENCE       30 /* seconds for an answer */
#define STOP_TIMEOUT   60 /* seconds for a guest to power off */
#define BUTTON_TIMEOUT 10 /* of them before its agent is asked */
#define STOP_MAX       86400

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* --- which machines ------------------------------------------------------------------- */

/* Which machines a command is for, and how. */
struct choice {
	const char *command;
	json_t *names;
	const char *label; /* NULL: none */
	bool all, dry_run, force;
	long timeout; /* seconds; 0: not given */
	json_t *begun; /* jobs by their machines' names */
	json_t *gone;  /* names of those that rm need not delete */
};

static int take_label(void *config, const char *value)
{
	((struct choice *)config)->label = value;
	return 0;
}

static int take_all(void *config, const char *value)
{
	((struct choice *)config)->all = true;
	return 0;
}

static int take_dry_run(void *config, const char *value)
{
	((struct choice *)config)->dry_run = true;
	return 0;
}

static int take_force(void *config, const char *value)
{
	((struct choice *)config)->force = true;
	return 0;
}

static int take_timeout(void *config, const char *value)
{
	struct choice *choice = config;
	char *end;

	choice->timeout = strtol(value, &end, 10);
	if (*value && !*end && choice->timeout >= 1 &&
	    choice->timeout <= STOP_MAX)
		return 0;
	cli_error("stop: --timeout %s: give seconds from 1 to %d", value,
		  STOP_MAX);
	return -1;
}

/* The first ones of each command. */
#define GROUP_OPTIONS                                                        \
	{ "label", "NAME[=VALUE]", "all machines that have this label",      \
	  false, take_label },                                               \
	{ "all", NULL, "all machines", false, take_all },                    \
	{ "dry-run", NULL, "tell what would be done", false, take_dry_run }

static const struct option_spec start_options[] = { GROUP_OPTIONS };

static const struct option_spec stop_options[] = {
	GROUP_OPTIONS,
	{ "force", NULL, "end it at once, whatever the guest does", false,
	  take_force },
	{ "timeout", "SECONDS",
	  "then end it, if the guest has not powered off", false,
	  take_timeout },
};

static const struct option_spec rm_options[] = {
	GROUP_OPTIONS,
	{ "force", NULL, "end those that run", false, take_force },
};

/* NAME=VALUE, or NAME whatever its value. */
static bool has_label(const json_t *row, const char *label)
{
	const json_t *labels = json_object_get(row, "labels");
	size_t length = strcspn(label, "=");
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)labels, name, value)
		if (strlen(name) == length && !strncmp(name, label, length) &&
		    (!label[length] ||
		     !strcmp(json_string_value(value), label + length + 1)))
			return true;
	return false;
}

/* Whether it has a process, or is about to. */
static bool runs(const json_t *vm)
{
	static const char *const at_rest[] = { "stopped", "waiting",
					       "deleting", "cloning" };
	const char *state = text_of(vm, "state");

	for (size_t i = 0; i < sizeof(at_rest) / sizeof(at_rest[0]); i++)
		if (!strcmp(at_rest[i], state))
			return false;
	return true;
}

/* Whether it is one of the group, and not yet as the command makes it. */
static bool is_meant(const struct choice *choice, const json_t *row)
{
	if (choice->label && !has_label(row, choice->label))
		return false;
	if (!strcmp(choice->command, "start"))
		return !runs(row) &&
		       !json_is_true(json_object_get(row, "template"));
	if (!strcmp(choice->command, "stop"))
		return runs(row) || !strcmp(text_of(row, "state"), "waiting");
	return true;
}

/* Appends the names of those that are meant by a label, or by --all. */
static int add_group(struct api_client *client, struct choice *choice)
{
	struct vmm_error error;
	json_t *list = json_array(), *none = json_array(), *row;
	int rc = kept_list(client, none, list, &error);
	bool found = !choice->label;
	size_t i;

	json_array_foreach(list, i, row) {
		found |= choice->label && has_label(row, choice->label);
		if (is_meant(choice, row))
			json_array_append(choice->names,
					  json_object_get(row, "name"));
	}
	json_decref(none);
	json_decref(list);
	if (rc)
		cli_error("%s: %s", choice->command, error.text);
	else if (!found)
		cli_error("%s: no machine has the label %s; see lodge ps "
			  "--json", choice->command, choice->label);
	else
		return MACHINE_OK;
	return MACHINE_FAILED;
}

/* The words: -1 with names, or a group; else the exit status. */
static int take_words(struct choice *choice, const struct command *command,
		      int argc, char **argv)
{
	int words, status;

	choice->command = command->name;
	choice->gone = json_object();
	status = command_options(command, argc, argv, choice, &words);
	if (status >= 0)
		return status;
	choice->names = json_array();
	for (int i = 0; i < words; i++)
		json_array_append_new(choice->names, json_string(argv[i]));
	if (!words != !(choice->label || choice->all))
		return -1;
	if (words)
		cli_error("%s: give names, or --label, or --all",
			  choice->command);
	else
		cli_error("%s: a machine's name is missing; see lodge help %s",
			  choice->command, choice->command);
	json_decref(choice->names);
	return MACHINE_USAGE;
}

/* --- one or many ---------------------------------------------------------------------- */

/* What the command asks for, not waited for, or only looked at (`dry`). */
static json_t *ask(struct api_client *client, const struct choice *choice,
		   const char *name, bool dry, struct vmm_error *error)
{
	bool removes = !strcmp(choice->command, "rm");
	char path[400], more[64];
	json_t *body = NULL;
	int status;

	snprintf(more, sizeof(more), "%s%s?%s", removes ? "" : "/",
		 removes ? "" : choice->command,
		 dry	 ? "dry_run=true" :
		 removes ? "wait=3600" :
			   "wait=0");
	api_vm_path(path, sizeof(path), name, more);
	if (choice->force && !removes)
		body = json_pack("{sb}", "force", 1);
	return api_call(client, removes ? "DELETE" : "POST", path, body,
			&status, error);
}

static int plan_one(struct api_client *client, const struct choice *choice,
		    const char *name)
{
	json_t *vm = managed_find(client, name), *plan;
	bool ends = vm && choice->force && !strcmp(choice->command, "rm") &&
		    runs(vm);
	struct vmm_error error;

	json_decref(vm);
	if (ends) {
		printf("would stop and rm %s\n", name);
		return MACHINE_OK;
	}
	plan = ask(client, choice, name, true, &error);
	if (plan)
		printf("would %s %s\n", choice->command, name);
	else
		cli_error("%s: %s", choice->command, error.text);
	json_decref(plan);
	return plan ? MACHINE_OK : MACHINE_FAILED;
}

/* With --force. */
static void end_it(struct api_client *client, struct choice *choice,
		   const char *name)
{
	json_t *vm = managed_find(client, name);

	if (vm && runs(vm)) {
		managed_verb(client, "rm", name, "stop",
			     json_pack("{sb}", "force", 1), NULL);
		/* A temporary one goes by itself. */
		if (json_is_true(json_object_get(json_object_get(vm, "config"),
						 "temporary")))
			json_object_set_new(choice->gone, name, json_true());
	}
	json_decref(vm);
}

/*
 * What others stand on can go when they are gone: so as often as one more can,
 * all are tried. Those that run are left.
 */
static void remove_all(struct api_client *client, struct choice *choice)
{
	struct vmm_error error;
	bool more = true;
	json_t *name, *job;
	size_t i;

	json_array_foreach(choice->names, i, name)
		if (choice->force)
			end_it(client, choice, json_string_value(name));
	while (more) {
		more = false;
		json_array_foreach(choice->names, i, name) {
			const char *text = json_string_value(name);

			if (json_object_get(choice->begun, text))
				continue;
			job = ask(client, choice, text, false, &error);
			more |= job != NULL;
			if (job)
				json_object_set_new(choice->begun, text, job);
		}
	}
}

/*
 * Many are told before one is waited for. What is refused here is asked for
 * again, and told, one by one.
 */
static void begin_all(struct api_client *client, struct choice *choice)
{
	struct vmm_error error;
	json_t *name, *job;
	size_t i;

	choice->begun = json_object();
	if (choice->timeout)
		return;
	if (!strcmp(choice->command, "rm")) {
		remove_all(client, choice);
		return;
	}
	json_array_foreach(choice->names, i, name) {
		job = ask(client, choice, json_string_value(name), false,
			  &error);
		if (job)
			json_object_set_new(choice->begun,
					    json_string_value(name), job);
	}
}

static const struct managed_late *late_of(const struct choice *choice);

/* Opens what the command needs; MACHINE_OK when there is work. */
static int prepare(struct api_client *client, struct choice *choice,
		   enum api_start start)
{
	bool group = choice->label || choice->all;
	bool many = group || json_array_size(choice->names) > 1;
	int status = MACHINE_OK;

	if (start == API_START || many || choice->dry_run)
		status = managed_open(client, choice->command, API_START);
	if (status == MACHINE_OK && group)
		status = add_group(client, choice);
	if (status == MACHINE_OK && many && !choice->dry_run)
		begin_all(client, choice);
	return status;
}

/* Calls `act` for each; the exit status. */
static int for_each(struct choice *choice, enum api_start start,
		    int (*act)(struct api_client *client,
			       struct choice *choice, const char *name))
{
	struct api_client client = { .fd = -1 };
	int status = prepare(&client, choice, start);
	json_t *name, *job;
	size_t i;

	json_array_foreach(choice->names, i, name) {
		const char *text = json_string_value(name);

		if (status == MACHINE_USAGE || (client.fd < 0 &&
						start == API_START))
			break;
		job = json_object_get(choice->begun, text);
		if (choice->dry_run)
			status |= plan_one(&client, choice, text);
		else if (job)
			status |= managed_wait(&client, choice->command, text,
					       json_incref(job),
					       late_of(choice));
		else
			status |= act(&client, choice, text);
	}
	api_close(&client);
	json_decref(choice->names);
	json_decref(choice->begun);
	json_decref(choice->gone);
	return status ? MACHINE_FAILED : MACHINE_OK;
}

static int start_one(struct api_client *client, struct choice *choice,
		     const char *name)
{
	return managed_verb(client, "start", name, "start", NULL, NULL);
}

static int run_start(const struct command_context *context, int argc,
		     char **argv)
{
	struct choice choice = { 0 };
	int status = take_words(&choice, &command_start, argc, argv);

	return status >= 0 ? status :
			     for_each(&choice, API_START, start_one);
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
	if (!force)
		power_off_by_agent(name);
	return remote_wait_end(remote, seconds > first ? seconds - first : 1);
}

static int stop_plain(const struct choice *choice, const char *name)
{
	const unsigned int seconds = choice->timeout ?
					     (unsigned int)choice->timeout :
					     STOP_TIMEOUT;
	struct vmm_error error;
	struct remote remote;
	bool force = choice->force;
	json_t *result;
	int late = -1;

	if (remote_open(&remote, name, &error)) {
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
		if (!result || !late || !choice->timeout || force)
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

/* What is done when it takes long; NULL: nothing. */
static const struct managed_late *late_of(const struct choice *choice)
{
	static const struct managed_late late = { BUTTON_TIMEOUT,
						  power_off_by_agent };

	return strcmp(choice->command, "stop") || choice->force ? NULL : &late;
}

static int stop_one(struct api_client *client, struct choice *choice,
		    const char *name)
{
	json_t *body = json_pack("{sb}", "force", (int)choice->force);
	int status;

	if (choice->timeout)
		json_object_update_new(body,
				       json_pack("{sI ss}", "timeout",
						 (json_int_t)choice->timeout,
						 "then", "force"));
	if (managed_say("stop", name, "stop", body,
			late_of(choice), &status))
		return status;
	return stop_plain(choice, name);
}

static int run_stop(const struct command_context *context, int argc,
		    char **argv)
{
	struct choice choice = { 0 };
	int status = take_words(&choice, &command_stop, argc, argv);

	return status >= 0 ? status :
			     for_each(&choice, API_IF_KEPT, stop_one);
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

static int remove_one(struct api_client *client, struct choice *choice,
		      const char *name)
{
	struct vmm_error error;
	json_t *answer;

	if (choice->force)
		end_it(client, choice, name);
	if (json_object_get(choice->gone, name))
		return MACHINE_OK;
	answer = ask(client, choice, name, false, &error);
	if (!answer)
		cli_error("rm: %s", error.text);
	json_decref(answer);
	return answer ? MACHINE_OK : MACHINE_FAILED;
}

static int run_rm(const struct command_context *context, int argc, char **argv)
{
	struct choice choice = { 0 };
	int status = take_words(&choice, &command_rm, argc, argv);

	return status >= 0 ? status :
			     for_each(&choice, API_START, remove_one);
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
