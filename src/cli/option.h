/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options as a table: one entry names an option, says what
 * value it takes and how it is stored. The same table prints the help.
 */
#ifndef LODGE_CLI_OPTION_H
#define LODGE_CLI_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_MAX 64

struct option_spec {
	const char *name;  /* without the dashes */
	/* Its value in the help; NULL: a switch. "auto|kvm" are words for
	 * completion, as by the beginning are FILE, PATH, FORMAT and others. */
	const char *value;
	const char *help; /* NULL: for programs of ours, and not told of */
	bool repeats; /* may be given more than once */

	/*
	 * Stores `value` (NULL for a switch) in the command's own `config`.
	 * 0, or -1 after cli_error() said what is wrong with it.
	 */
	int (*take)(void *config, const char *value);
};

enum option_outcome {
	OPTION_GO_ON,
	OPTION_HELP, /* --help was given */
	OPTION_BAD,  /* cli_error() said why */
};

/*
 * Takes every argument of `command` ("run"): --name VALUE, --name=VALUE and
 * --name, each at most once unless it repeats. Words are moved to the front of
 * argv, in their order; *words is their number. Behind "--" all are words.
 */
enum option_outcome option_parse_words(const char *command,
				       const struct option_spec *options,
				       size_t count, int argc, char **argv,
				       void *config, int *words);

/* A title in front of an option in the help; NULL, NULL: the end. */
struct option_heading {
	const char *option, *title;
};

/* The options with their help, a line or more each, to stdout; `headings` may
 * be NULL. */
void option_print(const struct option_spec *options, size_t count,
		  const struct option_heading *headings);

/*
 * Words of a help behind the `used` columns of a line, from column `indent`
 * on, in as many lines as they take; a newline is a space.
 */
void cli_fill(const char *text, size_t used, size_t indent);

/* One line on stderr, with "lodge: " before and a newline after it. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * "512M", "2G", "1T" in powers of two; a number alone is in MiB. What is too
 * large for *bytes gives some large number.
 */
bool cli_parse_size(const char *text, uint64_t *bytes);

/*
 * "512", "64K", "10G", "1.5T": bytes, in powers of two; `unit`: a number alone
 * is not taken. False for anything else and for 8 EiB and more.
 */
bool cli_parse_bytes(const char *text, bool unit, uint64_t *bytes);

/* The other way, short: "1.5 GiB". */
#define CLI_BYTES 24
const char *cli_bytes(char text[CLI_BYTES], uint64_t bytes);

/* "2026-11-22 04:26:40", of this computer's time zone. */
#define CLI_TIME 32
const char *cli_time(char text[CLI_TIME], int64_t seconds);

/* "3 days 4:05:06" */
#define CLI_AGE 40
const char *cli_age(char text[CLI_AGE], double seconds);

/* A line for a person at a terminal, who else would see nothing. */
void cli_hint(const char *text);

/*
 * The name most like `word` among `count` names, `stride` bytes apart; NULL
 * when none is near enough to suggest.
 */
const char *cli_nearest(const char *word, const void *names, size_t count,
			size_t stride);

#endif
