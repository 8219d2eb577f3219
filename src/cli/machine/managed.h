/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands on machines that lodged keeps share.
 */
#ifndef LODGE_CLI_MACHINE_MANAGED_H
#define LODGE_CLI_MACHINE_MANAGED_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/daemon/api.h"

/* What is done when a verb is not done after some seconds. */
struct managed_late {
	unsigned int seconds;
	void (*call)(const char *name);
};

/*
 * Says `verb` ("stop") to the machine `name` when lodged keeps it, and waits
 * for the end of that; `command` begins the line of an error. The body's
 * reference is taken (NULL: none); `late` may be NULL. False: it does not keep it, or a machine
 * of lodge run has that name now; else *status is the exit status.
 */
bool managed_say(const char *command, const char *name, const char *verb,
		 json_t *body, const struct managed_late *late, int *status);

/* The same on a connection, for one that is kept. An exit status. */
int managed_verb(struct api_client *client, const char *command,
		 const char *name, const char *verb, json_t *body,
		 const struct managed_late *late);

/* Waits for the end of a job, whose reference is taken. An exit status. */
int managed_wait(struct api_client *client, const char *command,
		 const char *name, json_t *job,
		 const struct managed_late *late);

/* The machine as the API tells it; NULL: it is not kept, or is not reached. */
json_t *managed_find(struct api_client *client, const char *name);

/*
 * Why a machine was not reached, in place of `error`: it does not run, or there
 * is none and another name is near. Leaves `error` when it runs, or when nothing
 * is known.
 */
void managed_explain(const char *name, struct vmm_error *error);

/*
 * Whether kept machines use the thing of that name, one of "disks", "images"
 * or "networks", or may, as lodged does not tell; that was told by cli_error().
 */
bool managed_is_used(const char *command, const char *kind, const char *name);

/* Opens a connection, starting a lodged; an exit status after cli_error(). */
int managed_open(struct api_client *client, const char *command,
		 enum api_start start);

#endif
