/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine/group.h"

#include <stdio.h>
#include <string.h>

#include "cli/machine/kept.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "vm/host.h"
#include "vmm/control/remote.h"
#include "vmm/machine.h"

#define NS_PER_S 1000000000ull

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static const char *name_of(const struct group *group)
{
	return group->verb->command->name;
}

/* --- options ---------------------------------------------------------------------- */

int group_take_label(void *config, const char *value)
{
	((struct group *)config)->label = value;
	return 0;
}

int group_take_all(void *config, const char *value)
{
	((struct group *)config)->all = true;
	return 0;
}

int group_take_dry_run(void *config, const char *value)
{
	((struct group *)config)->dry_run = true;
	return 0;
}

int group_take_json(void *config, const char *value)
{
	((struct group *)config)->json = true;
	return 0;
}

int group_take_force(void *config, const char *value)
{
	((struct group *)config)->force = true;
	return 0;
}

static void add_name(json_t *names, const char *name)
{
	const json_t *other;
	size_t i;

	json_array_foreach(names, i, other)
		if (!strcmp(json_string_value(other), name))
			return;
	json_array_append_new(names, json_string(name));
}

int group_take_words(struct group *group, int argc, char **argv)
{
	int words, status;

	status = command_options(group->verb->command, argc, argv, group,
				 &words);
	if (status >= 0)
		return status;
	for (int i = 0; i < words; i++)
		add_name(group->names, argv[i]);
	if (group->label && group->all)
		cli_error("%s: give --label or --all, not both",
			  name_of(group));
	else if (!words != !(group->label || group->all))
		return -1;
	else if (words)
		cli_error("%s: give names, or --label, or --all",
			  name_of(group));
	else
		cli_error("%s: a machine's name is missing; see lodge help %s",
			  name_of(group), name_of(group));
	return MACHINE_USAGE;
}

/* --- which machines ---------------------------------------------------------------- */

bool group_is(const json_t *row, const char *state)
{
	return !strcmp(text_of(row, "state"), state);
}

bool group_runs(const json_t *row)
{
	return !group_is(row, "stopped") && !group_is(row, "waiting") &&
	       !group_is(row, "deleting") && !group_is(row, "cloning");
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

static void collect(void *ctx, const json_t *status)
{
	json_array_append(ctx, (json_t *)status);
}

/* Appends the names of those of the list that are meant. */
static int add_names(const char *command, const json_t *list,
		     const char *label, bool (*meant)(const json_t *row),
		     json_t *names)
{
	bool found = !label;
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row) {
		if (label && !has_label(row, label))
			continue;
		found = true;
		if (!meant || meant(row))
			add_name(names, text_of(row, "name"));
	}
	if (found)
		return MACHINE_OK;
	cli_error("%s: no machine has the label %s; see lodge ps --json",
		  command, label);
	return MACHINE_FAILED;
}

/*
 * Appends the names of those that are meant by a label, or by --all. `running`:
 * what control sockets say.
 */
static int add_group(struct api_client *client, struct group *group,
		     json_t *running)
{
	struct vmm_error error;
	json_t *list = json_array();
	int status = MACHINE_FAILED;

	if (client->fd >= 0 && kept_list(client, running, list, &error)) {
		cli_error("%s: %s", name_of(group), error.text);
	} else {
		json_array_extend(list, running);
		status = add_names(name_of(group), list, group->label,
				   group->verb->meant, group->names);
	}
	json_decref(list);
	return status;
}

int group_names(struct api_client *client, const char *command,
		const char *label, json_t *names)
{
	json_t *running = json_array(), *list = json_array();
	struct vmm_error error;
	int status = MACHINE_FAILED;

	if (kept_list(client, running, list, &error))
		cli_error("%s: %s", command, error.text);
	else
		status = add_names(command, list, label, NULL, names);
	json_decref(running);
	json_decref(list);
	return status;
}

/* --- one or many ---------------------------------------------------------------------- */

json_t *group_body(const struct group *group)
{
	if (group->timeout)
		return json_pack("{sb sI ss}", "force", (int)group->force,
				 "timeout", (json_int_t)group->timeout, "then",
				 "force");
	return group->force ? json_pack("{sb}", "force", 1) : NULL;
}

static json_t *ask(struct api_client *client, const struct group *group,
		   const char *name, bool dry, struct vmm_error *error)
{
	char path[400], more[64];
	int status;

	if (group->verb->ask)
		return group->verb->ask(client, group, name, dry, error);
	snprintf(more, sizeof(more), "/%s?%s", name_of(group),
		 dry ? "dry_run=true" : "wait=0");
	api_vm_path(path, sizeof(path), name, more);
	return api_call(client, "POST", path, group_body(group), &status,
			error);
}

static bool runs_plainly(const struct group *group, const char *name)
{
	return group->verb->plain && !elsewhere() && remote_is_there(name);
}

static int plan_one(struct api_client *client, const struct group *group,
		    const char *name)
{
	struct vmm_error error = { "" };
	json_t *plan = client->fd >= 0 ?
			       ask(client, group, name, true, &error) : NULL;
	bool can = plan || runs_plainly(group, name);

	/* Words of a verb's own, or those of all. */
	if (can && !group->json && *text_of(plan, "told"))
		printf("%s\n", text_of(plan, "told"));
	else if (can && !group->json)
		printf("would %s %s\n", name_of(group), name);
	else if (!can && *error.text)
		cli_error("%s: %s", name_of(group), error.text);
	else if (!can)
		cli_error("%s: no running machine is called %s",
			  name_of(group), name);
	json_decref(plan);
	return can ? MACHINE_OK : MACHINE_FAILED;
}

/*
 * Many are told before one is waited for. What is refused here is asked for
 * again, and told, one by one.
 */
static void begin_all(struct api_client *client, struct group *group)
{
	struct vmm_error error;
	bool more = true;
	json_t *name, *job;
	size_t i;

	if (group->verb->prepare)
		group->verb->prepare(client, group);
	while (more) {
		more = false;
		json_array_foreach(group->names, i, name) {
			const char *text = json_string_value(name);

			if (json_object_get(group->begun, text) ||
			    json_object_get(group->gone, text))
				continue;
			job = ask(client, group, text, false, &error);
			more |= job && group->verb->again;
			if (job)
				json_object_set_new(group->begun, text, job);
		}
	}
}

/* What was begun at `since`, for which the others were waited for, too. */
static int wait_for(struct api_client *client, struct group *group,
		    const char *name, uint64_t since)
{
	const struct managed_late *late =
		group->verb->late ? group->verb->late(group) : NULL;
	uint64_t gone = (host_monotonic_ns() - since) / NS_PER_S;
	struct managed_late left;
	int status;

	if (late) {
		left = *late;
		left.seconds = gone < late->seconds ?
				       late->seconds - (unsigned int)gone : 0;
	}
	status = managed_wait(client, name_of(group), name,
			      json_incref(json_object_get(group->begun, name)),
			      late ? &left : NULL);
	return status == MACHINE_OK && group->verb->after ?
		       group->verb->after(name) : status;
}

/* Opens what the command needs, and looks who is meant. */
static int find_all(struct api_client *client, struct group *group)
{
	bool wide = group->label || group->all;
	json_t *running = json_array();
	struct vmm_error error;
	int status = MACHINE_OK;

	/* It may take its time, which a connection would not wait for. */
	if (wide && group->verb->plain && !elsewhere() &&
	    remote_each(collect, running, &error))
		status = MACHINE_FAILED;
	else if ((group->verb->start == API_START || wide || group->dry_run ||
		  json_array_size(group->names) > 1) &&
		 api_open(client, group->verb->start, &error) < 0)
		status = MACHINE_FAILED;
	if (status != MACHINE_OK)
		cli_error("%s: %s", name_of(group), error.text);
	else if (wide)
		status = add_group(client, group, running);
	json_decref(running);
	return status;
}

static int prepare(struct api_client *client, struct group *group)
{
	bool wide = group->label || group->all;
	int status = find_all(client, group);
	char line[100];

	if (status != MACHINE_OK) {
		json_array_clear(group->names);
		return status;
	}
	if (client->fd >= 0 && !group->dry_run &&
	    (wide || json_array_size(group->names) > 1))
		begin_all(client, group);
	if (!wide || json_array_size(group->names))
		return status;
	snprintf(line, sizeof(line), "no machine to %s", name_of(group));
	cli_hint(line);
	return status;
}

static int do_one(struct api_client *client, struct group *group,
		  const char *name, uint64_t since)
{
	if (group->dry_run)
		return plan_one(client, group, name);
	if (json_object_get(group->begun, name))
		return wait_for(client, group, name, since);
	return json_object_get(group->gone, name) ?
		       MACHINE_OK :
		       group->verb->act(client, group, name);
}

static int do_all(struct group *group)
{
	struct api_client client = { .fd = -1 };
	const uint64_t since = host_monotonic_ns();
	int status = prepare(&client, group);
	json_t *name;
	size_t i;

	json_array_foreach(group->names, i, name) {
		const char *text = json_string_value(name);
		int one = do_one(&client, group, text, since);

		status |= one;
		if (one == MACHINE_OK)
			json_array_append_new(group->told,
					      json_pack("{ss}",
							group->verb->done,
							text));
	}
	if (group->json)
		target_print_json(group->told);
	api_close(&client);
	return status ? MACHINE_FAILED : MACHINE_OK;
}

int group_run(const struct group_verb *verb, int argc, char **argv)
{
	struct group group = {
		.verb = verb,
		.names = json_array(),
		.begun = json_object(),
		.gone = json_object(),
		.told = json_array(),
	};
	int status = group_take_words(&group, argc, argv);

	if (status < 0)
		status = do_all(&group);
	json_decref(group.names);
	json_decref(group.begun);
	json_decref(group.gone);
	json_decref(group.told);
	return status;
}
