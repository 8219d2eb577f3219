/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge run --detach: a machine of the same words that lodged keeps. Its name,
 * when none is given, is the first that is free.
 */
#include "cli/run/detached.h"

#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/create.h"
#include "cli/machine/managed.h"
#include "vmm/control/remote.h"
#include "vmm/machine.h"

#define NAME_TRIES   1000
#define NAME_DEFAULT "lodge"
#define TAKEN	     409 /* HTTP's Conflict */

/* Its config is a struct create, as that of create's table. */
static int take_name(void *config, const char *value)
{
	((struct create *)config)->name = value;
	return 0;
}

static int take_nothing(void *config, const char *value)
{
	return 0;
}

/* An option of lodge run that a kept machine has not; NULL: there is none. */
static const char *stray_option(const struct option_spec *known, size_t count,
				int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--"); i++) {
		size_t length = strcspn(argv[i], "=");
		const char *run = NULL;
		bool kept = false;

		if (strncmp(argv[i], "--", 2))
			continue;
		for (size_t k = 0; k < command_run.option_count; k++)
			if (strlen(command_run.options[k].name) ==
				    length - 2 &&
			    !strncmp(command_run.options[k].name, argv[i] + 2,
				     length - 2))
				run = command_run.options[k].name;
		for (size_t k = 0; run && k < count; k++)
			kept |= !strcmp(known[k].name, run);
		if (run && !kept)
			return run;
	}
	return NULL;
}

/* Takes all of them. -1: go on; else the exit status. */
static int parse(struct create *create, int argc, char **argv, int *words)
{
	static const struct option_spec own[] = {
		{ "name", "NAME", "", false, take_name },
		{ "detach", NULL, "", false, take_nothing },
	};
	struct option_spec table[OPTIONS_MAX];
	const struct option_spec *options;
	struct command command = command_run;
	const char *stray;
	size_t count;

	options = create_table(&count);
	if (count > OPTIONS_MAX - OPTION_COUNT(own))
		count = OPTIONS_MAX - OPTION_COUNT(own);
	memcpy(table, own, sizeof(own));
	memcpy(table + OPTION_COUNT(own), options, count * sizeof(*options));
	count += OPTION_COUNT(own);
	stray = stray_option(table, count, argc, argv);
	if (stray) {
		cli_error("run: --%s: does not go with --detach", stray);
		return MACHINE_USAGE;
	}
	command.options = table;
	command.option_count = count;
	return command_take(NULL, &command, argc, argv, create, words);
}

/* A machine of lodge run in the foreground has it. */
static bool is_running(const char *name)
{
	struct vmm_error error;
	struct remote remote;

	if (remote_open(&remote, name, &error))
		return false;
	remote_close(&remote);
	return true;
}

/* Makes it; *status is that of HTTP. */
static json_t *make(struct api_client *client, const struct create *create,
		    const char *name, int *status, struct vmm_error *error)
{
	return api_call(client, "POST", create->dry_run ?
					"/v1/vms?dry_run=true" :
					"/v1/vms",
			json_pack("{ss sO}", "name", name, "config",
				  create->config), status, error);
}

/* Under the name that was given, or else like `base`. */
static json_t *make_any(struct api_client *client, const struct create *create,
			const char *base, int *status,
			struct vmm_error *error)
{
	char name[RUNTIME_NAME_MAX + 8];
	json_t *vm = NULL;

	*status = TAKEN;
	for (int i = 1; !vm && i <= NAME_TRIES && *status == TAKEN; i++) {
		snprintf(name, sizeof(name), i > 1 ? "%s-%d" : "%s", base, i);
		if (!is_running(name))
			vm = make(client, create, name, status, error);
	}
	return vm;
}

static int start(struct api_client *client, const struct create *create,
		 const char *image)
{
	struct vmm_error error = { "there is no free name; give one with "
				   "--name" };
	const char *name;
	int status;
	json_t *vm = create->name ?
			     make(client, create, create->name, &status,
				  &error) :
			     make_any(client, create,
				      image ? image : NAME_DEFAULT, &status,
				      &error);

	if (!vm) {
		cli_error("run: %s", error.text);
		return status == 400 ? MACHINE_USAGE : MACHINE_FAILED;
	}
	name = json_string_value(json_object_get(vm, "name"));
	status = create->dry_run ? MACHINE_OK :
				   managed_verb(client, "run", name, "start",
						NULL, NULL);
	if (status == MACHINE_OK)
		printf("%s%s\n", create->dry_run ? "would run " : "", name);
	json_decref(vm);
	return status;
}

int detached_run(int argc, char **argv)
{
	struct create create = { .command = "run" };
	struct api_client client;
	int words, status;

	create.config = json_object();
	status = parse(&create, argc, argv, &words);
	if (status < 0 && words)
		json_object_set_new(create.config, "image",
				    json_string(argv[0]));
	if (status < 0) {
		status = managed_open(&client, "run", API_START);
		if (status == MACHINE_OK)
			status = start(&client, &create,
				       words ? argv[0] : NULL);
		api_close(&client);
	}
	json_decref(create.config);
	return status;
}
