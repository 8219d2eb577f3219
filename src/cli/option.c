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
#include <time.h>
#include <unistd.h>

#include "vmm/machine.h"
#include "vmm/nearest.h"

#define WORD_MAX    32
#define HELP_COLUMN 24
#define HELP_WIDTH  79

/* A name that was typed, or what a guest said, is neither a second line nor orders to the terminal. */
static void print_plain(FILE *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\n')
			fputs("\\n", out);
		else if ((unsigned char)*text < ' ' || *text == 0x7f)
			fprintf(out, "\\x%02x", (unsigned int)*text);
		else
			fputc(*text, out);
}

void cli_error(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fputs("lodge: ", stderr);
	print_plain(stderr, text);
	fputc('\n', stderr);
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

bool cli_parse_bytes(const char *text, bool unit, uint64_t *bytes)
{
	static const char units[] = "bkmgtp";
	const size_t digits = strspn(text, "0123456789.");
	char number[WORD_MAX] = "";
	const char *letter, *end = text + digits;
	long double n;
	char *rest;

	if (!isdigit((unsigned char)*text) || digits >= sizeof(number))
		return false;
	memcpy(number, text, digits); /* a decimal, whatever stands behind */
	n = strtold(number, &rest);
	if (*rest)
		return false;
	letter = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
	if ((*end && !letter) || (!*end && unit))
		return false;
	if (letter) {
		end++;
		for (; letter > units; letter--)
			n *= 1024;
		if (*end && strcasecmp(end, "b") && strcasecmp(end, "ib"))
			return false;
	}
	if (n >= 0x1p63L)
		return false;
	*bytes = (uint64_t)n;
	return true;
}

const char *cli_bytes(char text[CLI_BYTES], uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	unsigned int unit = 0;

	for (; n >= 1024; n /= 1024)
		unit++;
	snprintf(text, CLI_BYTES, n < 10 && unit && n != (double)(int)n
					  ? "%.2f %s"
				  : n < 1000 && n != (double)(int)n ? "%.1f %s"
								    : "%.0f %s",
		 n, units[unit]);
	return text;
}

const char *cli_time(char text[CLI_TIME], int64_t seconds)
{
	const time_t time = (time_t)seconds;
	struct tm tm;

	if (!localtime_r(&time, &tm) ||
	    !strftime(text, CLI_TIME, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(text, "?");
	return text;
}

const char *cli_age(char text[CLI_AGE], double seconds)
{
	unsigned long s = seconds > 0 ? (unsigned long)seconds : 0;
	char days[24] = "";

	if (s >= 86400)
		snprintf(days, sizeof(days), "%lu days ", s / 86400);
	snprintf(text, CLI_AGE, "%s%lu:%02lu:%02lu", days, s / 3600 % 24,
		 s / 60 % 60, s % 60);
	return text;
}

void cli_hint(const char *text)
{
	if (isatty(STDOUT_FILENO))
		cli_error("%s", text);
}

const char *cli_nearest(const char *word, const void *names, size_t count,
			size_t stride)
{
	return nearest_word(word, names, count, stride);
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

/* "--name=value" into `name` and the value; NULL without a '='. */
static void split_option(const char *arg, char *name, size_t size,
			 const char **value)
{
	const char *equals = strchr(arg, '=');
	size_t length;

	arg += 2;
	length = equals ? (size_t)(equals - arg) : strlen(arg);
	if (length >= size)
		length = size - 1;
	memcpy(name, arg, length);
	name[length] = '\0';
	*value = equals ? equals + 1 : NULL;
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

/* What option argv[*i] asks for, its value with it. */
static enum option_outcome take_option(const char *command,
				       const struct option_spec *options,
				       size_t count, int argc, char **argv,
				       int *i, bool *seen, void *config)
{
	char name[WORD_MAX];
	const struct option_spec *option;
	const char *value;

	split_option(argv[*i], name, sizeof(name), &value);
	option = find_option(options, count, name);
	if (!option) {
		unknown_option(command, options, count, name);
		return OPTION_BAD;
	}
	/* What looks like an option is a value only after '='. */
	if (option->value && !value && *i + 1 < argc &&
	    strncmp(argv[*i + 1], "--", 2))
		value = argv[++*i];
	if (option_refused(command, option, seen[option - options], value))
		return OPTION_BAD;
	seen[option - options] = true;
	return option->take(config, value) ? OPTION_BAD : OPTION_GO_ON;
}

enum option_outcome option_parse_words(const char *command,
				       const struct option_spec *options,
				       size_t count, int argc, char **argv,
				       void *config, int *words)
{
	bool seen[OPTIONS_MAX] = { false };
	bool only_words = false;
	int found = 0;

	for (int i = 0; i < argc; i++) {
		/* "-1G" is a word, for commands that take some. */
		bool option = !only_words && argv[i][0] == '-' && argv[i][1] &&
			      !(words && isdigit((unsigned char)argv[i][1]));
		enum option_outcome outcome = OPTION_GO_ON;

		if (option && (!strcmp(argv[i], "--help") ||
			       !strcmp(argv[i], "-h")))
			return OPTION_HELP;
		if (option && !strcmp(argv[i], "--")) {
			only_words = true;
		} else if (option && argv[i][1] == '-' && argv[i][2]) {
			outcome = take_option(command, options, count, argc,
					      argv, &i, seen, config);
		} else if (!option) {
			argv[found++] = argv[i];
		} else {
			cli_error("%s: unexpected argument \"%s\"; see "
				  "lodge help %s", command, argv[i], command);
			outcome = OPTION_BAD;
		}
		if (outcome != OPTION_GO_ON)
			return outcome;
	}
	*words = found;
	return OPTION_GO_ON;
}

void cli_fill(const char *text, size_t used, size_t indent)
{
	bool first = true;

	while (*text) {
		size_t length = strcspn(text, " \n");

		if (used > indent && !first &&
		    used + 1 + length > HELP_WIDTH) {
			printf("\n");
			used = 0;
			first = true;
		}
		if (used < indent)
			printf("%*s", (int)(indent - used), "");
		used = used < indent ? indent : used;
		printf("%s%.*s", first ? "" : " ", (int)length, text);
		used += length + !first;
		first = false;
		text += length;
		text += *text != '\0';
	}
	printf("\n");
}

static void print_heading(const struct option_heading *heading,
			  const char *option, bool first)
{
	for (; heading && heading->title; heading++)
		if (!strcmp(heading->option, option))
			printf("%s%s:\n", first ? "" : "\n", heading->title);
}

void option_print(const struct option_spec *options, size_t count,
		  const struct option_heading *headings)
{
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		int used;

		if (!options[i].help)
			continue;
		print_heading(headings, options[i].name, first);
		first = false;
		used = printf("  --%s%s%s", options[i].name,
			      options[i].value ? " " : "",
			      options[i].value ? options[i].value : "");
		if (used > HELP_COLUMN - 2) {
			printf("\n");
			used = 0;
		}
		cli_fill(options[i].help, (size_t)used, HELP_COLUMN);
	}
}
