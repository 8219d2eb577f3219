/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job of lodged's that may take long: how far it is, on a terminal, and
 * Ctrl-C, which cancels it.
 */
#ifndef LODGE_CLI_DAEMON_FOLLOW_H
#define LODGE_CLI_DAEMON_FOLLOW_H

#include <jansson.h>
#include <signal.h>

#include "cli/daemon/api.h"

struct follow {
	sigset_t before;
};

/* Before the request: Ctrl-C waits for the job that it may begin. */
void follow_begin(struct follow *follow);
void follow_end(struct follow *follow);

/*
 * In between. Waits for the end of a job, whose reference is taken; `command` begins the
 * line of an error. An exit status.
 */
int follow_job(struct api_client *client, const char *command, json_t *job);

#endif
