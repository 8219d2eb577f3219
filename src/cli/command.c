/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

#include "vmm/machine.h"

#define TITLE_MAX 48

/* "image list" */
static void title_of(char title[TITLE_MAX], const struct command *noun,
		     const struct command *command)
{
	snprintf(title, TITLE_MAX, "%s%s%s", noun ? noun->name : "",
		 noun ? " " : "", command->name);
}

/* --- help ------------------------------------------------------------------- */

static void print_lines(const char *before, const char *text)
{
	while (*text) {
		int length = (int)strcspn(text, "\n");

		printf("%s%.*s\n", before, length, text);
		text += length + (text[length] == '\n');
	}
}

static void print_verbs(const struct command *noun)
{
	printf("\n");
	for (size_t i = 0; i < noun->verb_count; i++)
		printf("  %-10s %s\n", noun->verbs[i]->name,
		       noun->verbs[i]->summary);
	printf("\nlodge %s VERB --help tells more about one.\n", noun->name);
}

void command_explain(const struct command *noun, const struct command *command)
{
	char title[TITLE_MAX];

	if (command->help) {
		command->help();
		return;
	}
	title_of(title, noun, command);
	printf("usage: lodge %s%s%s\n", title, command->synopsis ? " " : "",
	       command->synopsis ? command->synopsis : "");
	if (command->about)
		printf("\n%s\n", command->about);
	if (command->verbs)
		print_verbs(command);
	if (command->option_count) {
		printf("\n");
		option_print(command->options, command->option_count);
	}
	if (command->examples) {
		printf("\nexamples:\n");
		print_lines("  ", command->examples);
	}
	if (command->more)
		command->more();
}

/* --- what was typed ------------------------------------------------------------ */

static bool asks_for_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

const struct command *command_verb(const struct command *noun, int argc,
				   char **argv, int *status)
{
	const char *names[OPTIONS_MAX], *like;

	*status = MACHINE_USAGE;
	if (!argc) {
		cli_error("%s: say what to do: a command is missing; see "
			  "lodge help %s", noun->name, noun->name);
		return NULL;
	}
	if (asks_for_help(argv[0])) {
		command_explain(NULL, noun);
		*status = MACHINE_OK;
		return NULL;
	}
	for (size_t i = 0; i < noun->verb_count; i++) {
		names[i] = noun->verbs[i]->name;
		if (!strcmp(names[i], argv[0]))
			return noun->verbs[i];
	}
	like = cli_nearest(argv[0], names, noun->verb_count, sizeof(names[0]));
	if (like)
		cli_error("%s: unknown command \"%s\"; did you mean %s?",
			  noun->name, argv[0], like);
	else
		cli_error("%s: unknown command \"%s\"; see lodge help %s",
			  noun->name, argv[0], noun->name);
	return NULL;
}

/* The text at `index` of "an image's name|a file", or the last one. */
static void missing_word(char *text, size_t size, const char *missing,
			 int index)
{
	for (; index > 0 && strchr(missing, '|'); index--)
		missing = strchr(missing, '|') + 1;
	snprintf(text, size, "%.*s", (int)strcspn(missing, "|"), missing);
}

static int check_words(const char *title, const struct command *command,
		       int words, char **word)
{
	char missing[80];

	if (words >= command->words_min && words <= command->words_max)
		return -1;
	if (!command->missing && command->words_max) {
		cli_error("%s: usage: lodge %s %s", title, title,
			  command->synopsis);
	} else if (words < command->words_min) {
		missing_word(missing, sizeof(missing), command->missing,
			     words);
		cli_error("%s: %s is missing; see lodge help %s", title,
			  missing, title);
	} else {
		cli_error("%s: unexpected argument \"%s\"; see lodge help %s",
			  title, word[command->words_max], title);
	}
	return MACHINE_USAGE;
}

int command_take(const struct command *noun, const struct command *command,
		 int argc, char **argv, void *config, int *words)
{
	char title[TITLE_MAX];

	title_of(title, noun, command);
	switch (option_parse_words(title, command->options,
				   command->option_count, argc, argv, config,
				   words)) {
	case OPTION_HELP:
		command_explain(noun, command);
		return MACHINE_OK;
	case OPTION_BAD:
		return MACHINE_USAGE;
	case OPTION_GO_ON:
		break;
	}
	return check_words(title, command, *words, argv);
}
