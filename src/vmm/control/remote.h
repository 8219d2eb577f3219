/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of a control socket: one machine as a client sees it.
 */
#ifndef LODGE_VMM_CONTROL_REMOTE_H
#define LODGE_VMM_CONTROL_REMOTE_H

#include <jansson.h>

#include "vmm/error.h"
#include "vmm/runtime.h"

struct remote {
	int fd;
	char name[RUNTIME_NAME_MAX + 1];
	char *in; /* bytes received beyond the last line */
	size_t in_used, in_size;
};

/* Connects and takes the greeting. -1 with `error`. */
int remote_open(struct remote *remote, const char *name,
		struct vmm_error *error);
void remote_close(struct remote *remote);

/*
 * Sends {"command": command} with the members of `more` (may be NULL; its
 * reference is taken), and gives the result, to be json_decref()ed. A
 * descriptor that came with it is in *fd, else -1; `fd` may be NULL. Waits
 * `seconds` (0: as long as it takes). NULL with `error`.
 */
json_t *remote_call(struct remote *remote, const char *command, json_t *more,
		    unsigned int seconds, int *fd, struct vmm_error *error);

/* Whether a machine of that name runs, if it answers or not. */
bool remote_is_there(const char *name);

/* Kills the process of one that does not answer. 0, or -1 with `error`. */
int remote_kill(const char *name, struct vmm_error *error);

/* Waits until the machine has ended: 0, or -1 after `seconds`. */
int remote_wait_end(struct remote *remote, unsigned int seconds);

/*
 * Calls `use` with each running machine's status, by name: of one that does not
 * answer within five seconds only name, pid, the state "silent" and a reason.
 * -1 with `error` when the folder cannot be read.
 */
int remote_each(void (*use)(void *ctx, const json_t *status), void *ctx,
		struct vmm_error *error);

#endif
