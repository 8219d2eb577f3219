/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words and options of commands on running machines.
 */
#include "cli/machine/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/machine/managed.h"
#include "cli/option.h"
#include "disk/address.h"
#include "vmm/machine.h"

int target_take_json(void *config, const char *value)
{
	((struct target *)config)->json = true;
	return 0;
}

int target_take_force(void *config, const char *value)
{
	((struct target *)config)->force = true;
	return 0;
}

const struct option_spec target_json_option[1] = {
	{ "json", NULL, "print JSON", false, target_take_json },
};

static int take_wide(void *config, const char *value)
{
	((struct target *)config)->wide = true;
	return 0;
}

const struct option_spec target_list_options[2] = {
	{ "json", NULL, "print a JSON list", false, target_take_json },
	{ "wide", NULL, "cut nothing to the terminal's width", false,
	  take_wide },
};

/* Where the words begin that may look like options. */
static int first_word(int argc, char **argv)
{
	int i = 0;

	while (i < argc && argv[i][0] == '-' && argv[i][1])
		i++;
	return i;
}

int target_take(struct target *target, const struct command *command,
		int argc, char **argv, int *status)
{
	int free_from = command->words_max == COMMAND_MANY ?
				first_word(argc, argv) :
				argc;
	int told;

	*target = (struct target){ .command = command->name, .word = argv };
	told = command_options(command, free_from, argv, target,
			       &target->words);
	if (told < 0) {
		target->word += free_from - target->words;
		memmove(target->word, argv,
			(size_t)target->words * sizeof(*argv));
		target->words += argc - free_from;
		told = command_check_words(command, target->words,
					   target->word);
	}
	if (told < 0)
		return 0;
	*status = told;
	return -1;
}

json_t *target_call(struct target *target, const char *command, json_t *more,
		    unsigned int seconds, int *fd)
{
	struct vmm_error error;
	json_t *result = NULL;

	if (!target->open && remote_open(&target->remote, target->word[0],
					 &error)) {
		managed_explain(target->word[0], &error);
		json_decref(more);
	} else {
		target->open = true;
		result = remote_call(&target->remote, command, more, seconds,
				     fd, &error);
	}
	if (!result)
		cli_error("%s: %s", target->command, error.text);
	return result;
}

void target_close(struct target *target)
{
	if (target->open)
		remote_close(&target->remote);
	target->open = false;
}

char *target_path(const char *path)
{
	char *folder, *whole;

	if (path[0] == '/' || disk_is_address(path))
		return strdup(path);
	folder = getcwd(NULL, 0);
	if (!folder)
		return NULL;
	whole = malloc(strlen(folder) + strlen(path) + 2);
	if (whole)
		sprintf(whole, "%s/%s", folder, path);
	free(folder);
	return whole;
}

void target_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	printf("\n");
}

void target_print_word(const char *done, const char *word)
{
	json_t *told = json_pack("{ss}", done, word);

	target_print_json(told);
	json_decref(told);
}

int target_each(int words, char **word, bool json, const char *done,
		int (*one)(void *ctx, const char *word), void *ctx)
{
	json_t *told = json_array();
	int status = MACHINE_OK;

	for (int i = 0; i < words; i++)
		if (one(ctx, word[i]) != MACHINE_OK)
			status = MACHINE_FAILED;
		else
			json_array_append_new(told, json_pack("{ss}", done,
							      word[i]));
	if (json && words > 1)
		target_print_json(told);
	else if (json && json_array_size(told))
		target_print_json(json_array_get(told, 0));
	json_decref(told);
	return status;
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static bool is(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

void target_print_drives(const json_t *list, const char *before)
{
	const json_t *drive;
	size_t i;

	json_array_foreach(list, i, drive)
		printf("%s%-10s %s%s%s%s\n", before, text_of(drive, "drive"),
		       is(drive, "empty") ? "empty" : text_of(drive, "path"),
		       is(drive, "readonly") &&
				       strcmp(text_of(drive, "medium"), "cd") ?
			       ", readonly" : "",
		       is(drive, "open") ? ", tray open" : "",
		       is(drive, "locked") ? ", held by the guest" : "");
}

static unsigned long long count_of(const json_t *net, const char *way,
				   const char *name)
{
	return (unsigned long long)json_integer_value(
		json_object_get(json_object_get(net, way), name));
}

static void print_counts(const json_t *net, const char *way)
{
	unsigned long long lost = count_of(net, way, "dropped") +
				  count_of(net, way, "refused");

	printf(", %s %llu frames (%llu bytes)", way,
	       count_of(net, way, "frames"), count_of(net, way, "bytes"));
	if (lost)
		printf(" and %llu not", lost);
}

void target_print_nets(const json_t *list, const char *before)
{
	const json_t *net, *port;
	size_t i, k;

	json_array_foreach(list, i, net) {
		const char *device = json_string_value(
			json_object_get(net, "device"));

		printf("%s%s: %s%s%s, %s, mtu %llu%s", before,
		       text_of(net, "mac"), text_of(net, "mode"),
		       device ? " " : "", device ? device : "",
		       text_of(net, "model"),
		       (unsigned long long)json_integer_value(
			       json_object_get(net, "mtu")),
		       is(net, "link") ? "" : ", no link");
		json_array_foreach(json_object_get(net, "publish"), k, port)
			printf("%s%s", k ? " " : ", publishes ",
			       json_string_value(port));
		print_counts(net, "sent");
		print_counts(net, "received");
		printf("\n");
	}
}

void target_print_shares(const json_t *list, const char *before)
{
	const json_t *share;
	size_t i;

	json_array_foreach(list, i, share)
		printf("%s%s: %s at %s%s%s\n", before, text_of(share, "tag"),
		       text_of(share, "folder"), text_of(share, "at"),
		       is(share, "readonly") ? ", readonly" : "",
		       json_integer_value(json_object_get(share, "server")) ?
			       "" : ", its server has ended");
}
