/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command in a guest, beside its caller's terminal: what exec.c and
 * exec_run.c share.
 */
#ifndef LODGE_CLI_GUEST_EXEC_H
#define LODGE_CLI_GUEST_EXEC_H

#include <stdbool.h>

#include "vmm/guest/agent.h"

#define EXEC_VARIABLES_MAX 64
#define EXEC_TIMEOUT	   60 /* seconds for a guest to start */

/* Exit statuses of lodge exec's own, as shells and others have them. */
enum exec_status {
	EXEC_LOST = 125,	/* no agent, or it was lost */
	EXEC_NOT_RUN = 126,	/* there, but it cannot be run */
	EXEC_NOT_FOUND = 127,
	EXEC_SIGNAL = 128,	/* and the signal's number */
};

struct exec {
	const char *command; /* "exec", "shell" */
	const char *machine;
	bool interactive, terminal;
	const char *user, *folder; /* NULL: not given */
	unsigned int timeout;
	const char *variable[EXEC_VARIABLES_MAX];
	unsigned int variables;
	char **word;
	int words; /* 0: a login shell */
};

/* Runs it to its end; the exit status. */
int exec_run(struct exec *exec);

/* "waiting for ...", for struct agent_patience. */
void exec_tell_wait(const char *machine);

/* --timeout. -1 after cli_error(). */
int exec_take_timeout(const char *command, const char *value,
		      unsigned int *seconds);

#endif
