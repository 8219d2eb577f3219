/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/machine.h"
#include "vmm/runtime.h"

#define TITLE_MAX     48
#define COMMANDS_MAX  128
#define PARAGRAPH_MAX 2048

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

/* In paragraphs; lines that begin with a space stay as they are. */
static void print_filled(const char *text)
{
	char paragraph[PARAGRAPH_MAX];

	while (*text) {
		const char *end = text;
		bool hard = *text == ' ' || *text == '\n';

		/* Up to an empty line, or one that is to stay. */
		do
			end += strcspn(end, "\n") + 1;
		while (!hard && end[-1] && *end && !strchr(" \n", *end));
		snprintf(paragraph, sizeof(paragraph), "%.*s",
			 (int)(end - 1 - text), text);
		if (hard)
			printf("%s\n", paragraph);
		else
			cli_fill(paragraph, 0, 0);
		text = end[-1] ? end : end - 1;
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

/* A line for each way to call it. */
static void print_usage(const char *title, const char *synopsis)
{
	const char *before = "usage:";

	do {
		int length = (int)strcspn(synopsis, "\n");

		printf("%s lodge %s%s%.*s\n", before, title,
		       length ? " " : "", length, synopsis);
		synopsis += length;
		before = "      ";
	} while (*synopsis++);
}

static void print_statuses(const struct command *command)
{
	char text[PARAGRAPH_MAX];

	snprintf(text, sizeof(text), "Exit status: %s.",
		 command->statuses ? command->statuses :
				     "0 it is done, 1 it failed, 2 wrong usage");
	printf("\n");
	cli_fill(text, 0, 0);
}

void command_explain(const struct command *noun, const struct command *command)
{
	char title[TITLE_MAX];

	if (command->help) {
		command->help();
		return;
	}
	/* What runs by itself is called by its short form. */
	title_of(title, command->run ? NULL : noun, command);
	print_usage(title, command->synopsis ? command->synopsis : "");
	if (command->about) {
		printf("\n");
		print_filled(command->about);
	}
	if (command->verbs)
		print_verbs(command);
	if (command->option_count) {
		printf("\n");
		option_print(command->options, command->option_count,
			     command->headings);
	}
	if (command->examples) {
		printf("\nexamples:\n");
		print_lines("  ", command->examples);
	}
	if (command->more)
		command->more();
	if (command->run || noun)
		print_statuses(command);
	printf("\nman lodge-%s tells all.\n",
	       noun && !command->run ? noun->name : command->name);
}

/* --- what was typed ------------------------------------------------------------ */

static bool asks_for_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

/*
 * Other words for the same, so that nobody has to remember which noun has which:
 * the first that there is.
 */
static const char *const aliases[][2] = {
	{ "delete", "rm" },	{ "delete", "remove" },
	{ "delete", "revoke" }, { "info", "show" },
	{ "info", "status" },	{ "ls", "ps" },
	{ "ls", "list" },	{ "network", "net" },
	{ "remove", "rm" },	{ "remove", "delete" },
	{ "remove", "revoke" }, { "rm", "remove" },
	{ "rm", "delete" },	{ "rm", "revoke" },
	{ "show", "info" },	{ "show", "status" },
};

/* What others call it, and what that may be here. */
static const char *const synonyms[][2] = {
	{ "attach", "console" },  { "build", "image" },
	{ "connect", "console" }, { "destroy", "rm" },
	{ "destroy", "delete" },  { "get", "show" },
	{ "halt", "stop" },	  { "images", "image" },
	{ "kill", "stop" },	  { "launch", "run" },
	{ "log", "console" },	  { "logs", "console" },
	{ "login", "shell" },	  { "networks", "net" },
	{ "new", "create" },	  { "poweroff", "stop" },
	{ "pull", "image" },	  { "reboot", "reset" },
	{ "restart", "reset" },	  { "shutdown", "stop" },
	{ "stats", "top" },	  { "up", "start" },
	{ "down", "stop" },	  { "undefine", "rm" },
	{ "volume", "disk" },
};

#define ALIASES	 (sizeof(aliases) / sizeof(aliases[0]))
#define SYNONYMS (sizeof(synonyms) / sizeof(synonyms[0]))

static const struct command *by_name(const struct command *const *list,
				     size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i]->name, name))
			return list[i];
	return NULL;
}

/* The command that `words` have for `name`. */
static const struct command *by_other(const struct command *const *list,
				      size_t count, const char *name,
				      const char *const (*words)[2], size_t n)
{
	const struct command *found = NULL;

	for (size_t i = 0; i < n && !found; i++)
		if (!strcmp(words[i][0], name))
			found = by_name(list, count, words[i][1]);
	return found;
}

const struct command *command_find(const char *before,
				   const struct command *const *list,
				   size_t count, const char *name)
{
	const struct command *found = by_name(list, count, name);
	const char *names[COMMANDS_MAX], *like;

	if (!found)
		found = by_other(list, count, name, aliases, ALIASES);
	if (found)
		return found;
	for (size_t i = 0; i < count && i < COMMANDS_MAX; i++)
		names[i] = list[i]->name;
	found = by_other(list, count, name, synonyms, SYNONYMS);
	like = found ? found->name : NULL;
	if (!like)
		like = cli_nearest(name, names, count, sizeof(names[0]));
	if (like)
		cli_error("%sunknown command \"%s\"; did you mean %s?", before,
			  name, like);
	else
		cli_error("%sunknown command \"%s\"; see lodge help%s%.*s",
			  before, name, *before ? " " : "",
			  (int)strcspn(before, ":"), before);
	return NULL;
}

const struct command *command_verb(const struct command *noun, int argc,
				   char **argv, int *status)
{
	char before[TITLE_MAX];

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
	snprintf(before, sizeof(before), "%s: ", noun->name);
	return command_find(before, noun->verbs, noun->verb_count, argv[0]);
}

/* The text at `index` of "an image's name|a file", or the last one. */
static void missing_word(char *text, size_t size, const char *missing,
			 int index)
{
	for (; index > 0 && strchr(missing, '|'); index--)
		missing = strchr(missing, '|') + 1;
	snprintf(text, size, "%.*s", (int)strcspn(missing, "|"), missing);
}

/* Of "running action", what the word at `index` is; the last is of all behind. */
static bool is_machine(const struct command *command, int index)
{
	static const char *const kinds[] = { "kept", "running", "stopped",
					     "vm" };
	const char *at = command->words ? command->words : "";
	size_t length;

	while (index-- > 0 && strchr(at, ' '))
		at = strchr(at, ' ') + 1;
	length = strcspn(at, " ");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (length == strlen(kinds[i]) &&
		    !strncmp(at, kinds[i], length))
			return true;
	return false;
}

/* -1: each can be the name of a machine where that is wanted. */
static int check_names(const char *title, const struct command *command,
		       int words, char **word)
{
	for (int i = 0; i < words; i++) {
		if (!is_machine(command, i) || runtime_name_valid(word[i]))
			continue;
		if (*word[i])
			cli_error("%s: %.80s: is no machine's name: letters, "
				  "digits and - _ . alone; lodge ps lists them",
				  title, word[i]);
		else
			cli_error("%s: a machine's name is missing; see lodge "
				  "help %s", title, title);
		return MACHINE_USAGE;
	}
	return -1;
}

static int check_words(const char *title, const struct command *command,
		       int words, char **word)
{
	char missing[80];

	if (words && !*word[0] && command->words_min && command->missing)
		words = 0;
	if (words >= command->words_min && words <= command->words_max)
		return -1;
	if (!command->missing && command->words_max) {
		cli_error("%s: usage: lodge %s %.*s; see lodge help %s", title,
			  title, (int)strcspn(command->synopsis, "\n"),
			  command->synopsis, title);
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

static int take_options(const struct command *noun,
			const struct command *command, int argc, char **argv,
			void *config, int *words)
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
	return check_names(title, command, *words, argv);
}

int command_options(const struct command *command, int argc, char **argv,
		    void *config, int *words)
{
	return take_options(NULL, command, argc, argv, config, words);
}

int command_check_words(const struct command *command, int words,
			char **word)
{
	int status = check_words(command->name, command, words, word);

	return status >= 0 ? status :
			     check_names(command->name, command, words, word);
}

int command_take(const struct command *noun, const struct command *command,
		 int argc, char **argv, void *config, int *words)
{
	char title[TITLE_MAX];
	int status = take_options(noun, command, argc, argv, config, words);

	title_of(title, noun, command);
	return status >= 0 ? status :
			     check_words(title, command, *words, argv);
}
