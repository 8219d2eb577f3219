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
	const char *done;	       /* of a machine: "started" */
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
	bool all, dry_run, force, json;
	long timeout; /* seconds; 0: not given */
	json_t *begun; /* jobs by their machines' names */
	json_t *gone;  /* names of those that nothing is left to do for */
	json_t *told;  /* for --json, of each that it was done to */
};

int group_take_label(void *config, const char *value);
int group_take_all(void *config, const char *value);
int group_take_dry_run(void *config, const char *value);
int group_take_json(void *config, const char *value);
int group_take_force(void *config, const char *value);

/* Which machines. */
#define GROUP_WHICH                                                          \
	{ "label", "NAME[=VALUE]", "all machines that have this label",      \
	  false, group_take_label },                                         \
	{ "all", NULL, "all machines", false, group_take_all }

/* The first ones of each command. */
#define GROUP_OPTIONS                                                        \
	GROUP_WHICH,                                                         \
	{ "json", NULL, "print what was done as JSON", false,                \
	  group_take_json },                                                 \
	{ "dry-run", NULL, "tell what would be done", false,                 \
	  group_take_dry_run }

/* Takes the words and does it. The exit status. */
int group_run(const struct group_verb *verb, int argc, char **argv);

/* The options and words alone. -1: go on; else the exit status. */
int group_take_words(struct group *group, int argc, char **argv);

/*
 * Of kept machines, for commands that go about it in their own way: appends the
 * names of those that have `label`, or of all when it is NULL. An exit status.
 */
int group_names(struct api_client *client, const char *command,
		const char *label, json_t *names);

/* The body that --force and --timeout say; NULL: none. */
json_t *group_body(const struct group *group);

/* Of ps's line: whether it has a process, or is about to. */
bool group_runs(const json_t *row);
bool group_is(const json_t *row, const char *state);

#endif
