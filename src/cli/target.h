/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands on running machines share: their words and switches, and
 * the call to the machine that the first word names.
 */
#ifndef LODGE_CLI_TARGET_H
#define LODGE_CLI_TARGET_H

#include <stdbool.h>

#include "vmm/remote.h"

/* Switches that a command takes. */
#define TARGET_JSON  0x1u
#define TARGET_FORCE 0x2u

struct target {
	const char *command;
	int words_min, words_max; /* how many of them; set before parsing */
	char **word;
	int words;
	bool json, force;
	bool help;
	bool open; /* `remote` is */
	struct remote remote;
};

/*
 * Takes switches, which stand before the words, and the words. -1: ask
 * target_status() for the exit status; the error has been told.
 */
int target_parse(struct target *target, unsigned int switches, int argc,
		 char **argv);

/* After a failed target_parse(): prints `help` when it was asked for. */
int target_status(const struct target *target, void (*help)(void));

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

/* A line for each drive whose medium can be changed, with `before` in front. */
void target_print_drives(const json_t *list, const char *before);

/* The same for network cards. */
void target_print_nets(const json_t *list, const char *before);

/* And for shared folders. */
void target_print_shares(const json_t *list, const char *before);

#endif
