/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge crashes: what is kept of a machine's runs that ended badly.
 */
#include <stdio.h>
#include <time.h>

#include "cli/command.h"
#include "cli/machine/managed.h"
#include "cli/machine/target.h"
#include "vmm/machine.h"

struct crashes {
	bool json;
};

static int take_json(void *config, const char *value)
{
	((struct crashes *)config)->json = true;
	return 0;
}

static const struct option_spec options[] = {
	{ "json", NULL, "print a JSON list of objects", false, take_json },
};

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* What a guest said is not to reach the terminal as it is. */
static void print_text(const char *text)
{
	bool begins = true;

	for (; *text; text++) {
		if (begins)
			printf("    ");
		begins = *text == '\n';
		if ((unsigned char)*text >= ' ' || *text == '\n' ||
		    *text == '\t')
			putchar(*text);
	}
	if (!begins)
		printf("\n");
}

static void print_crash(const json_t *crash)
{
	time_t at = (time_t)json_integer_value(json_object_get(crash, "time"));
	char when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S",
		 localtime_r(&at, &tm));
	printf("%s  %s: %s\n", when, text_of(crash, "kind"),
	       text_of(crash, "reason"));
	print_text(text_of(crash, "log"));
}

static int run_crashes(const struct command_context *context, int argc,
		       char **argv)
{
	struct crashes crashes = { 0 };
	struct api_client client;
	struct vmm_error error;
	json_t *answer, *crash;
	char path[400];
	int words, status;
	size_t i;

	status = command_take(NULL, &command_crashes, argc, argv, &crashes,
			      &words);
	if (status >= 0)
		return status;
	status = managed_open(&client, "crashes", API_START);
	if (status != MACHINE_OK)
		return status;
	api_vm_path(path, sizeof(path), argv[0], "/crashes");
	answer = api_call(&client, "GET", path, NULL, &status, &error);
	api_close(&client);
	if (!answer) {
		cli_error("crashes: %s", error.text);
		return MACHINE_FAILED;
	}
	if (crashes.json)
		target_print_json(json_object_get(answer, "crashes"));
	else
		json_array_foreach(json_object_get(answer, "crashes"), i, crash)
			print_crash(crash);
	json_decref(answer);
	return MACHINE_OK;
}

const struct command command_crashes = {
	.name = "crashes",
	.summary = "tell how runs of a kept machine ended badly",
	.run = run_crashes,
	.synopsis = "[--json] NAME",
	.about = "Tells of a kept machine's runs that ended badly, the newest first: the reason, the\n"
		 "registers of a processor that crashed, and the last that the guest said on its\n"
		 "serial console. The last ten are kept.",
	.examples = "lodge crashes web",
	.options = options,
	.option_count = OPTION_COUNT(options),
	.words = "kept",
	.words_min = 1,
	.words_max = 1,
	.missing = "a machine's name",
};
