/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands on running machines share: their words and switches, and
 * the call to the machine that the first word names.
 */
#ifndef LODGE_CLI_MACHINE_TARGET_H
#define LODGE_CLI_MACHINE_TARGET_H

#include <stdbool.h>

#include "cli/command.h"
#include "vmm/control/remote.h"

struct target {
	const char *command;
	char **word;
	int words;
	bool json, force, wide;
	bool open; /* `remote` is */
	struct remote remote;
};

/* Options of several commands, which set those. */
extern const struct option_spec target_json_option[1];
extern const struct option_spec target_list_options[2]; /* and --wide */

/* For tables with others. */
int target_take_json(void *config, const char *value);
int target_take_force(void *config, const char *value);

/*
 * Begins `target` with the options and words of `command`. -1 after all was
 * told: *status is the exit status. Options of a command that takes any number
 * of words stand before them, so that these may look like options.
 */
int target_take(struct target *target, const struct command *command,
		int argc, char **argv, int *status);

/* remote_call() on the machine of the first word; tells an error itself. */
json_t *target_call(struct target *target, const char *command, json_t *more,
		    unsigned int seconds, int *fd);
void target_close(struct target *target);

/*
 * `path` or address for a machine, which may run in another folder. To be freed; NULL: no
 * memory, or the folder is gone.
 */
char *target_path(const char *path);

void target_print_json(const json_t *value);

/* An object of one entry: what was done, and to what. */
void target_print_word(const char *done, const char *word);

/*
 * Calls `one` with each of a command's words; the exit status. Whatever fails
 * tells so itself, and keeps none of the others. With `json` an object a word
 * that went well, as `done` and the word, is printed; a list when there are
 * several words.
 */
int target_each(int words, char **word, bool json, const char *done,
		int (*one)(void *ctx, const char *word), void *ctx);

/* A line for each drive whose medium can be changed, with `before` in front. */
void target_print_drives(const json_t *list, const char *before);

/* The same for network cards. */
void target_print_nets(const json_t *list, const char *before);

/* And for shared folders. */
void target_print_shares(const json_t *list, const char *before);

#endif
