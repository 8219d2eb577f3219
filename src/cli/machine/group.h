/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs for one machine or many, which are named, have a label, or are all to
 * which the verb has something to do. Those that lodged keeps are told first
 * and waited for then; of each that fails a line says why, and the others are
 * done all the same.
 */
#ifndef LODGE_CLI_MACHINE_GROUP_H
#define LODGE_CLI_MACHINE_GROUP_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/command.h"
#include "cli/daemon/api.h"
#include "cli/machine/managed.h"

struct group;

struct group_verb {
	const struct command *command; /* its name is the API's verb */
	enum api_start start;
	bool plain; /* for machines of lodge run, too, which lack labels */

	/* Whether ps's line of a machine is of one that is not yet as the
	 * verb makes it; NULL: all are meant. */
	bool (*meant)(const json_t *row);
	/* Asks for it, not waiting, or only looks (`dry`): the answer, or NULL
	 * with `error`. NULL: POST, with group_body(). */
	json_t *(*ask)(struct api_client *client, const struct group *group,
		       const char *name, bool dry, struct vmm_error *error);
	/* Before all are asked; may be NULL. */
	void (*prepare)(struct api_client *client, struct group *group);
	/* Asks again as long as one more was begun: what stands on others. */
	bool again;
	/* For one of which nothing was begun; tells errors. */
	int (*act)(struct api_client *client, struct group *group,
		   const char *name);
	/* After what was begun is done; may be NULL. Tells errors. */
	int (*after)(const char *name);
	/* What is done when it takes long; NULL: nothing. */
	const struct managed_late *(*late)(const struct group *group);
};

/* The command's own config, by the options. */
struct group {
	const struct group_verb *verb;
	json_t *names;
	const char *label; /* NULL: none */
	bool all, dry_run, force;
	long timeout; /* seconds; 0: not given */
	json_t *begun; /* jobs by their machines' names */
	json_t *gone;  /* names of those that nothing is left to do for */
};

int group_take_label(void *config, const char *value);
int group_take_all(void *config, const char *value);
int group_take_dry_run(void *config, const char *value);
int group_take_force(void *config, const char *value);

/* The first ones of each command. */
#define GROUP_OPTIONS                                                        \
	{ "label", "NAME[=VALUE]", "all machines that have this label",      \
	  false, group_take_label },                                         \
	{ "all", NULL, "all machines", false, group_take_all },              \
	{ "dry-run", NULL, "tell what would be done", false,                 \
	  group_take_dry_run }

/* Takes the words and does it. The exit status. */
int group_run(const struct group_verb *verb, int argc, char **argv);

/* The body that --force and --timeout say; NULL: none. */
json_t *group_body(const struct group *group);

/* Of ps's line: whether it has a process, or is about to. */
bool group_runs(const json_t *row);
bool group_is(const json_t *row, const char *state);

#endif
