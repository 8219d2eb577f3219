/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on machines that lodged keeps: ps, start, rm; and stop, which those
 * of lodge run have as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/managed.h"
#include "cli/option.h"
#include "cli/target.h"
#include "vmm/agent.h"
#include "vmm/machine.h"
#include "vmm/remote.h"

#define PAGE	       "1000"
#define PATIENCE       30 /* seconds for an answer */
#define STOP_TIMEOUT   60 /* seconds for a guest to power off */
#define BUTTON_TIMEOUT 10 /* of them before its agent is asked */
#define STOP_MAX       86400

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* --- ps --------------------------------------------------------------------------- */

/* Every machine that runs, by its control socket. */
static void collect(void *ctx, const json_t *status)
{
	json_array_append(ctx, (json_t *)status);
}

/* What `running` has of that process is taken out of it; NULL: nothing. */
static json_t *take_process(json_t *running, json_int_t pid)
{
	json_t *status;
	size_t i;

	json_array_foreach(running, i, status) {
		if (!pid || number_of(status, "pid") != pid)
			continue;
		json_incref(status);
		json_array_remove(running, i);
		return status;
	}
	return NULL;
}

/* The kept one `vm` as ps tells it; `status`: of its process, or NULL. */
static json_t *row_of(const json_t *vm, const json_t *status)
{
	static const char *const kept[] = { "id", "name", "state", "managed",
					    "pid", "reason", "restarts" };
	static const char *const now[] = { "engine", "cpus", "memory",
					   "seconds" };
	const json_t *config = json_object_get(vm, "config");
	json_t *row = json_object(), *value;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if ((value = json_object_get(vm, kept[i])))
			json_object_set(row, kept[i], value);
	for (size_t i = 0; i < sizeof(now) / sizeof(now[0]); i++) {
		value = json_object_get(status ? status : config, now[i]);
		if (value)
			json_object_set(row, now[i], value);
	}
	value = json_object_get(config, "labels");
	if (value)
		json_object_set(row, "labels", value);
	return row;
}

static json_t *plain_row(const json_t *status)
{
	static const char *const names[] = { "name", "state", "pid", "reason",
					     "engine", "cpus", "memory",
					     "seconds" };
	json_t *row = json_object(), *value;

	json_object_set_new(row, "managed", json_false());
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((value = json_object_get(status, names[i])))
			json_object_set(row, names[i], value);
	return row;
}

/* Kept machines, page by page, into `list`. -1 with `error`. */
static int add_kept(struct api_client *client, json_t *running, json_t *list,
		    struct vmm_error *error)
{
	char path[200] = "/v1/vms?limit=" PAGE;
	json_t *answer, *vm;
	size_t i;

	do {
		int status;
		const char *next;

		answer = api_call(client, "GET", path, NULL, &status, error);
		if (!answer)
			return -1;
		json_array_foreach(json_object_get(answer, "vms"), i, vm) {
			json_t *now = take_process(running,
						   number_of(vm, "pid"));

			json_array_append_new(list, row_of(vm, now));
			json_decref(now);
		}
		next = text_of(answer, "next");
		snprintf(path, sizeof(path), "/v1/vms?limit=" PAGE "&after=%s",
			 next);
		if (!*next)
			*path = '\0';
		json_decref(answer);
	} while (*path);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(text_of(*(json_t *const *)a, "name"),
		      text_of(*(json_t *const *)b, "name"));
}

/* A list in the order of names. */
static json_t *sorted(json_t *list)
{
	size_t count = json_array_size(list);
	json_t **row = calloc(count + 1, sizeof(json_t *));
	json_t *result;

	if (!row)
		return list;
	result = json_array();
	for (size_t i = 0; i < count; i++)
		row[i] = json_array_get(list, i);
	qsort(row, count, sizeof(json_t *), by_name);
	for (size_t i = 0; i < count; i++)
		json_array_append(result, row[i]);
	free(row);
	json_decref(list);
	return result;
}

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

static void print_age(const json_t *row)
{
	unsigned long s = (unsigned long)json_real_value(
		json_object_get(row, "seconds"));

	if (!json_object_get(row, "seconds"))
		return;
	if (s >= 86400)
		printf("%lu days ", s / 86400);
	printf("%lu:%02lu:%02lu", s / 3600 % 24, s / 60 % 60, s % 60);
}

static void print_row(const json_t *row)
{
	char memory[CLI_BYTES] = "", cpus[16] = "", pid[16] = "";

	if (json_object_get(row, "memory"))
		cli_bytes(memory, (uint64_t)number_of(row, "memory"));
	if (json_object_get(row, "cpus"))
		snprintf(cpus, sizeof(cpus), "%lld",
			 (long long)number_of(row, "cpus"));
	if (json_object_get(row, "pid"))
		snprintf(pid, sizeof(pid), "%lld",
			 (long long)number_of(row, "pid"));
	printf("%-20s %-9s %4s %9s %8s  ", text_of(row, "name"),
	       text_of(row, "state"), cpus, memory, pid);
	print_age(row);
	if (*text_of(row, "reason"))
		printf("%s%s", json_object_get(row, "seconds") ? ", " : "",
		       text_of(row, "reason"));
	if (json_is_false(json_object_get(row, "managed")))
		printf(" (not kept)");
	printf("\n");
}

static void help_ps(void)
{
	printf("usage: lodge ps [--json]\n\n"
	       "Lists your machines: those that are kept (lodge create), in "
	       "all their states, and\nthose of lodge run while they run.\n\n"
	       "  --json                print a JSON list of objects\n");
}

static int run_ps(const struct command_context *context, int argc, char **argv)
{
	struct target target = { .command = "ps", .words_max = 0 };
	json_t *running, *list, *row;
	struct api_client client;
	struct vmm_error error;
	int rc;
	size_t i;

	if (target_parse(&target, TARGET_JSON, argc, argv))
		return target_status(&target, help_ps);
	running = json_array();
	list = json_array();
	rc = api_open(&client, API_IF_KEPT, &error);
	if (rc >= 0 && remote_each(collect, running, &error))
		rc = -1;
	if (!rc) {
		rc = add_kept(&client, running, list, &error);
		api_close(&client);
	}
	json_array_foreach(running, i, row)
		json_array_append_new(list, plain_row(row));
	list = sorted(list);
	if (rc < 0)
		cli_error("ps: %s", error.text);
	else if (target.json)
		target_print_json(list);
	else if (json_array_size(list))
		printf("%-20s %-9s %4s %9s %8s  %s\n", "NAME", "STATE", "CPUS",
		       "MEMORY", "PID", "RUNS FOR");
	json_array_foreach(list, i, row)
		if (rc >= 0 && !target.json)
			print_row(row);
	json_decref(running);
	json_decref(list);
	return rc < 0 ? MACHINE_FAILED : MACHINE_OK;
}

const struct command command_ps = {
	.name = "ps",
	.summary = "list all your machines",
	.run = run_ps,
	.help = help_ps,
};

/* --- start, stop, rm ------------------------------------------------------------------ */

/* Which machines a command is for, and how. */
struct choice {
	const char *command;
	json_t *names;
	const char *label; /* NULL: none */
	bool force;
	long timeout; /* seconds; 0: not given */
};

static int take_label(void *config, const char *value)
{
	((struct choice *)config)->label = value;
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

#define LABEL_OPTION                                                         \
	{ "label", "NAME[=VALUE]", "all machines that have this label",      \
	  false, take_label }

static const struct option_spec start_options[] = { LABEL_OPTION };

static const struct option_spec stop_options[] = {
	LABEL_OPTION,
	{ "force", NULL, "end it at once, whatever the guest does", false,
	  take_force },
	{ "timeout", "SECONDS",
	  "then end it, if the guest has not powered off", false,
	  take_timeout },
};

static const struct option_spec rm_options[] = {
	LABEL_OPTION,
	{ "force", NULL, "end those that run", false, take_force },
};

/* Appends the names of those that have the label. */
static int add_labelled(struct api_client *client, struct choice *choice)
{
	struct vmm_error error;
	json_t *list = json_array(), *none = json_array(), *row;
	int rc = add_kept(client, none, list, &error);
	size_t i, before = json_array_size(choice->names);

	json_array_foreach(list, i, row)
		if (has_label(row, choice->label))
			json_array_append(choice->names,
					  json_object_get(row, "name"));
	json_decref(none);
	json_decref(list);
	if (rc)
		cli_error("%s: %s", choice->command, error.text);
	else if (json_array_size(choice->names) == before)
		cli_error("%s: no machine has the label %s; see lodge ps "
			  "--json", choice->command, choice->label);
	else
		return MACHINE_OK;
	return MACHINE_FAILED;
}

/* The words; OPTION_GO_ON with names, or a label. */
static enum option_outcome take_words(struct choice *choice,
				      const struct option_spec *options,
				      size_t count, int argc, char **argv)
{
	enum option_outcome outcome;
	int words;

	outcome = option_parse_words(choice->command, options, count, argc,
				     argv, choice, &words);
	if (outcome != OPTION_GO_ON)
		return outcome;
	choice->names = json_array();
	for (int i = 0; i < words; i++)
		json_array_append_new(choice->names, json_string(argv[i]));
	if (words || choice->label)
		return OPTION_GO_ON;
	cli_error("%s: a machine's name is missing; see lodge help %s",
		  choice->command, choice->command);
	json_decref(choice->names);
	return OPTION_BAD;
}

/* Calls `act` for each; the exit status. */
static int for_each(struct choice *choice, enum api_start start,
		    int (*act)(struct api_client *client,
			       const struct choice *choice, const char *name))
{
	struct api_client client = { .fd = -1 };
	int status = MACHINE_OK;
	json_t *name;
	size_t i;

	if (start == API_START || choice->label)
		status = managed_open(&client, choice->command, API_START);
	if (status == MACHINE_OK && choice->label)
		status = add_labelled(&client, choice);
	json_array_foreach(choice->names, i, name)
		if (client.fd >= 0 || start != API_START)
			status |= act(&client, choice,
				      json_string_value(name));
	api_close(&client);
	json_decref(choice->names);
	return status ? MACHINE_FAILED : MACHINE_OK;
}

static void print_options(const struct option_spec *options, size_t count)
{
	printf("\n");
	option_print(options, count);
}

static void help_start(void)
{
	printf("usage: lodge start [--label NAME[=VALUE]] NAME...\n\n"
	       "Starts machines that are kept, and returns when they run.\n");
	print_options(start_options, 1);
}

static int start_one(struct api_client *client, const struct choice *choice,
		     const char *name)
{
	return managed_verb(client, "start", name, "start", NULL, NULL);
}

static int run_start(const struct command_context *context, int argc,
		     char **argv)
{
	struct choice choice = { .command = "start" };

	switch (take_words(&choice, start_options, 1, argc, argv)) {
	case OPTION_HELP:
		help_start();
		return MACHINE_OK;
	case OPTION_BAD:
		return MACHINE_USAGE;
	case OPTION_GO_ON:
		break;
	}
	return for_each(&choice, API_START, start_one);
}

const struct command command_start = {
	.name = "start",
	.summary = "start machines that are kept",
	.run = run_start,
	.help = help_start,
};

static void help_stop(void)
{
	printf("usage: lodge stop [OPTIONS] NAME...\n\n"
	       "Presses a machine's power button and waits up to %d seconds "
	       "for its guest to\npower off. A guest that does not heed the "
	       "button is told by its agent.\n", STOP_TIMEOUT);
	print_options(stop_options, 3);
}

/*
 * A guest that does not heed the button has an agent perhaps, and its system
 * ends in the same order.
 */
static void power_off_by_agent(const char *name)
{
	static const struct agent_patience patience = { BUTTON_TIMEOUT, NULL };
	struct agent *agent = malloc(sizeof(*agent));
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

static int stop_one(struct api_client *client, const struct choice *choice,
		    const char *name)
{
	static const struct managed_late late = { BUTTON_TIMEOUT,
						  power_off_by_agent };
	json_t *body = json_pack("{sb}", "force", (int)choice->force);
	int status;

	if (choice->timeout)
		json_object_update_new(body,
				       json_pack("{sI ss}", "timeout",
						 (json_int_t)choice->timeout,
						 "then", "force"));
	if (managed_say("stop", name, "stop", body,
			choice->force ? NULL : &late, &status))
		return status;
	return stop_plain(choice, name);
}

static int run_stop(const struct command_context *context, int argc,
		    char **argv)
{
	struct choice choice = { .command = "stop" };

	switch (take_words(&choice, stop_options, 3, argc, argv)) {
	case OPTION_HELP:
		help_stop();
		return MACHINE_OK;
	case OPTION_BAD:
		return MACHINE_USAGE;
	case OPTION_GO_ON:
		break;
	}
	return for_each(&choice, API_IF_KEPT, stop_one);
}

const struct command command_stop = {
	.name = "stop",
	.summary = "press a machine's power button, or end it",
	.run = run_stop,
	.help = help_stop,
};

static void help_rm(void)
{
	printf("usage: lodge rm [OPTIONS] NAME...\n\n"
	       "Deletes machines that are kept, with the disks that were made "
	       "for them, not with\nthose that --disk named.\n");
	print_options(rm_options, 2);
}

static bool runs(const json_t *vm)
{
	const char *state = text_of(vm, "state");

	return strcmp(state, "stopped") && strcmp(state, "waiting") &&
	       strcmp(state, "deleting");
}

static int remove_one(struct api_client *client, const struct choice *choice,
		      const char *name)
{
	json_t *vm = choice->force ? managed_find(client, name) : NULL;
	struct vmm_error error;
	json_t *answer;
	char path[400];
	int status;

	if (vm && runs(vm))
		managed_verb(client, "rm", name, "stop",
			     json_pack("{sb}", "force", 1), NULL);
	json_decref(vm);
	api_vm_path(path, sizeof(path), name, "?wait=3600");
	answer = api_call(client, "DELETE", path, NULL, &status, &error);
	if (!answer)
		cli_error("rm: %s", error.text);
	json_decref(answer);
	return answer ? MACHINE_OK : MACHINE_FAILED;
}

static int run_rm(const struct command_context *context, int argc, char **argv)
{
	struct choice choice = { .command = "rm" };

	switch (take_words(&choice, rm_options, 2, argc, argv)) {
	case OPTION_HELP:
		help_rm();
		return MACHINE_OK;
	case OPTION_BAD:
		return MACHINE_USAGE;
	case OPTION_GO_ON:
		break;
	}
	return for_each(&choice, API_START, remove_one);
}

const struct command command_rm = {
	.name = "rm",
	.summary = "delete machines that are kept",
	.run = run_rm,
	.help = help_rm,
};
