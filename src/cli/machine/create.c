/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge create, clone and edit: what is asked of lodged, and of which machines.
 */
#include "cli/machine/create.h"

#include <stdio.h>
#include <string.h>

#include "cli/daemon/follow.h"
#include "cli/machine/clone_disks.h"
#include "cli/machine/group.h"
#include "cli/machine/managed.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "vmm/machine.h"

/* What has to be there before a start. */
static void tell_missing(const struct create *create, const char *name,
			 const json_t *list)
{
	const json_t *path;
	size_t i;

	json_array_foreach(list, i, path)
		fprintf(stderr, "lodge: %s: %s: there is no such file; %s "
				"starts only with it\n", create->command,
			json_string_value(path), name);
}

/* What --json and --dry-run tell of the machine `name`. */
static void tell(struct api_client *client, const struct create *create,
		 const char *name, json_t *answer)
{
	tell_missing(create, name, json_object_get(answer, "missing"));
	if (create->json)
		json_array_append_new(create->answers,
				      create->dry_run ?
					      json_incref(answer) :
					      managed_find(client, name));
	else if (create->dry_run)
		printf("would %s %s\n", create->command,
		       json_string_value(json_object_get(answer, "name")));
}

/*
 * The exit status of one request, after which the machine is called `name`;
 * what goes on after it is waited for.
 */
static int ask(const struct create *create, const char *method,
	       const char *path, json_t *body, const char *name)
{
	struct api_client client;
	struct vmm_error error;
	struct follow follow;
	char whole[420];
	json_t *answer;
	int status = managed_open(&client, create->command, API_START), asked;

	if (status != MACHINE_OK) {
		json_decref(body);
		return status;
	}
	snprintf(whole, sizeof(whole), "%s?wait=0%s", path,
		 create->dry_run ? "&dry_run=true" : "");
	follow_begin(&follow);
	answer = api_call(&client, method, whole, body, &asked, &error);
	if (!answer) {
		create_refused(create->command, error.text);
		status = asked == 400 ? MACHINE_USAGE : MACHINE_FAILED;
	} else if (asked == 202) {
		status = follow_job(&client, create->command,
				    json_incref(answer));
	}
	follow_end(&follow);
	if (status == MACHINE_OK)
		tell(&client, create, name, answer);
	api_close(&client);
	json_decref(answer);
	return status;
}

static int make(struct create *create, int words, char **argv)
{
	if (words == 2 && json_object_set_new(create->config, "image",
					      json_string(argv[1]))) {
		cli_error("create: the image's name is not UTF-8");
		return MACHINE_USAGE;
	}
	return ask(create, "POST", "/v1/vms",
		   json_pack("{ss sO}", "name", argv[0], "config",
			     create->config), argv[0]);
}

/* Which machines lodge edit means. An exit status. */
static int find_names(const struct create *create, int words, char **argv,
		      json_t *names)
{
	const bool wide = create->all || create->with_label;
	struct api_client client;
	int status;

	if ((words > 0) + create->all + !!create->with_label != 1) {
		cli_error(words || wide ?
				  "edit: give names, or --all, or --with-label" :
				  "edit: a machine's name is missing; see lodge "
				  "help edit");
		return MACHINE_USAGE;
	}
	if (create->name && (wide || words > 1)) {
		cli_error("edit: --name: two machines cannot have one name");
		return MACHINE_USAGE;
	}
	for (int i = 0; i < words; i++)
		json_array_append_new(names, json_string(argv[i]));
	if (!wide)
		return MACHINE_OK;
	status = managed_open(&client, "edit", API_START);
	if (status == MACHINE_OK)
		status = group_names(&client, "edit", create->with_label,
				     names);
	api_close(&client);
	return status;
}

static int change_one(struct create *create, const char *name)
{
	char path[400];

	api_vm_path(path, sizeof(path), name, "");
	return ask(create, "PATCH", path,
		   json_pack("{ss* sO}", "name", create->name, "config",
			     create->config),
		   create->name ? create->name : name);
}

static int change(struct create *create, int words, char **argv)
{
	json_t *names = json_array(), *name;
	int status = find_names(create, words, argv, names), one;
	size_t i;

	json_array_foreach(names, i, name) {
		one = change_one(create, json_string_value(name));
		if (one != MACHINE_OK)
			status = json_array_size(names) > 1 ? MACHINE_FAILED :
							      one;
	}
	json_decref(names);
	return status;
}

static int make_like(struct create *create, int words, char **argv)
{
	char path[400];

	if (create->plan)
		return clone_disks_make(create->plan);
	api_vm_path(path, sizeof(path), argv[0], "/clone");
	return ask(create, "POST", path,
		   json_pack("{ss sO}", "name", argv[1], "config",
			     create->config), argv[1]);
}

/* Options and words, then `act`. */
static int run_with(const struct command *command, int argc, char **argv,
		    int (*act)(struct create *create, int words, char **argv))
{
	struct create create = { .command = command->name,
				 .config = json_object(),
				 .answers = json_array() };
	int words, status;
	bool many;

	status = command_take(NULL, command, argc, argv, &create, &words);
	if (status < 0)
		status = act(&create, words, argv);
	many = create.all || create.with_label ||
	       (act == change && words > 1);
	if (create.json && many)
		target_print_json(create.answers);
	else if (create.json && json_array_size(create.answers))
		target_print_json(json_array_get(create.answers, 0));
	json_decref(create.answers);
	json_decref(create.config);
	return status;
}

int create_run_create(const struct command_context *context, int argc,
		      char **argv)
{
	return run_with(&command_create, argc, argv, make);
}

int create_run_edit(const struct command_context *context, int argc,
		    char **argv)
{
	return run_with(&command_edit, argc, argv, change);
}

int create_run_clone(const struct command_context *context, int argc,
		     char **argv)
{
	return run_with(&command_clone, argc, argv, make_like);
}
