/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long options from a table, and suggestions for mistyped words. No short
 * options and no abbreviations: a script stays valid when options are added.
 */
#include "cli/option.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX    32
#define HELP_COLUMN 24

void cli_error(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "lodge: %s\n", text);
}

bool cli_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "mgt";
	const char *unit;
	unsigned long long n;
	unsigned int shift = 20;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || errno)
		return false;
	if (*end) {
		unit = strchr(units, tolower((unsigned char)*end++));
		if (!unit)
			return false;
		shift += 10 * (unsigned int)(unit - units);
		if (*end && strcasecmp(end, "b") && strcasecmp(end, "ib"))
			return false;
	}
	if (n > UINT64_MAX >> shift)
		n = UINT64_MAX >> shift;
	*bytes = (uint64_t)n << shift;
	return true;
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance, a swap of neighbours counting as one. */
static unsigned int word_distance(const char *a, const char *b)
{
	unsigned int row[3][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned int *now = row[i % 3];
		const unsigned int *up = row[(i - 1) % 3];
		const unsigned int *upper = row[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= lb; j++) {
			now[j] = min3(up[j] + 1, now[j - 1] + 1,
				      up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && upper[j - 2] + 1 < now[j])
				now[j] = upper[j - 2] + 1;
		}
	}
	return row[la % 3][lb];
}

const char *cli_nearest(const char *word, const void *names, size_t count,
			size_t stride)
{
	const char *best = NULL;
	unsigned int best_distance = WORD_MAX;
	size_t length = strlen(word);

	for (size_t i = 0; i < count; i++) {
		const char *const *slot =
			(const void *)((const char *)names + i * stride);
		unsigned int distance = word_distance(word, *slot);

		/* A beginning, "--mem", is as good as one wrong letter. */
		if (length > 1 && !strncmp(word, *slot, length))
			distance = 1;
		if (distance < best_distance) {
			best_distance = distance;
			best = *slot;
		}
	}
	return best_distance <= 1 + length / 4 ? best : NULL;
}

static void unknown_option(const char *command,
			   const struct option_spec *options, size_t count,
			   const char *name)
{
	const char *like = NULL;

	if (count)
		like = cli_nearest(name, &options[0].name, count,
				   sizeof(options[0]));
	if (like)
		cli_error("%s: unknown option --%s; did you mean --%s?",
			  command, name, like);
	else
		cli_error("%s: unknown option --%s; see lodge help %s",
			  command, name, command);
}

/*
 * Splits "--name=value" into `name` and the value (NULL without a '=');
 * false when it is not an option.
 */
static bool split_option(const char *arg, char *name, size_t size,
			 const char **value)
{
	const char *equals;
	size_t length;

	if (strncmp(arg, "--", 2) || !arg[2])
		return false;
	arg += 2;
	equals = strchr(arg, '=');
	length = equals ? (size_t)(equals - arg) : strlen(arg);
	if (length >= size)
		length = size - 1;
	memcpy(name, arg, length);
	name[length] = '\0';
	*value = equals ? equals + 1 : NULL;
	return true;
}

static const struct option_spec *find_option(const struct option_spec *options,
					     size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(options[i].name, name))
			return &options[i];
	return NULL;
}

/* Why `option` cannot be taken with this value, once it was `seen`. */
static bool option_refused(const char *command,
			   const struct option_spec *option, bool seen,
			   const char *value)
{
	if (seen && !option->repeats)
		cli_error("%s: --%s is given twice", command, option->name);
	else if (option->value && !value)
		cli_error("%s: --%s needs a value: --%s %s", command,
			  option->name, option->name, option->value);
	else if (!option->value && value)
		cli_error("%s: --%s takes no value", command, option->name);
	else
		return false;
	return true;
}

enum option_outcome option_parse(const char *command,
				 const struct option_spec *options,
				 size_t count, int argc, char **argv,
				 void *config)
{
	bool seen[OPTIONS_MAX] = { false };

	for (int i = 0; i < argc; i++) {
		char name[WORD_MAX];
		const char *value;
		const struct option_spec *option;

		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return OPTION_HELP;
		if (!split_option(argv[i], name, sizeof(name), &value)) {
			cli_error("%s: unexpected argument \"%s\"; see "
				  "lodge help %s", command, argv[i], command);
			return OPTION_BAD;
		}
		option = find_option(options, count, name);
		if (!option) {
			unknown_option(command, options, count, name);
			return OPTION_BAD;
		}
		/* What looks like an option is a value only after '='. */
		if (option->value && !value && i + 1 < argc &&
		    strncmp(argv[i + 1], "--", 2))
			value = argv[++i];
		if (option_refused(command, option, seen[option - options],
				   value))
			return OPTION_BAD;
		seen[option - options] = true;
		if (option->take(config, value))
			return OPTION_BAD;
	}
	return OPTION_GO_ON;
}

void option_print(const struct option_spec *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *text = options[i].help;
		int used = printf("  --%s%s%s", options[i].name,
				  options[i].value ? " " : "",
				  options[i].value ? options[i].value : "");

		/* A newline in the help goes on in the same column. */
		for (;;) {
			int length = (int)strcspn(text, "\n");

			if (used > HELP_COLUMN - 2) {
				printf("\n");
				used = 0;
			}
			printf("%*s%.*s\n", HELP_COLUMN - used, "", length,
			       text);
			text += length;
			if (!*text++)
				break;
			used = 0;
		}
	}
}
