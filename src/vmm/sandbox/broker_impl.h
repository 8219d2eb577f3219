/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the parts of the broker's process.
 */
#ifndef LODGE_VMM_SANDBOX_BROKER_IMPL_H
#define LODGE_VMM_SANDBOX_BROKER_IMPL_H

#include <limits.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/linux/jail.h"
#include "vmm/sandbox/broker.h"

#define BROKER_GRANTS_MAX 4096

/* --- grants (broker_grants.c) ---------------------------------------------------- */

struct grant {
	unsigned int what;
	char *path;
};

struct grants {
	struct grant *list;
	size_t count;
	bool internet;
	bool bare; /* the machine has no namespaces: its view is the host's */
	char *moves; /* the list of disk/moved.h; NULL: none */
};

void grants_add(struct grants *grants, unsigned int what, const char *path);

/* What may be done with that absolute path: BROKER_READ ... */
unsigned int grants_of(const struct grants *grants, const char *path);

/*
 * Whether a folder is on the way to what was granted; `next`: whether it has
 * some of it itself.
 */
bool grants_lead(const struct grants *grants, const char *path, bool next);

/* What a request of the control protocol asks for. */
void grants_take_request(struct grants *grants, const char *line,
			 size_t length);

/* --- calls (broker_calls.c) ------------------------------------------------------ */

struct relay;

struct calls {
	int listener;
	const struct broker_helper *helpers;
	struct grants *grants;
	struct relay *relay; /* NULL: no memory for one */
	int help;	     /* to the process that helps; -1: none */
};

/* One call that waits for its answer. */
void calls_make(const struct calls *calls, const struct seccomp_notif *note);

/* --- its own limits (broker_confine.c) -------------------------------------------- */

/* Has the helper of /VERB/SUBJECT run beside us. */
void broker_begin(const struct calls *calls, const char *path);

/* When all is granted: what helps later, by itself. */
void broker_begin_helping(struct calls *calls);

/* Has the helper of JAIL_HELP VERB/SUBJECT run: -EALREADY, or what failed. */
int broker_help(const struct calls *calls, const char *path);

/* To be called then. 0 or a negative errno. */
int broker_confine(void);

/* --- connections of the control socket (broker_relay.c) -------------------------- */

struct relay *relay_new(struct grants *grants);

/* Descriptors to poll(2), at most `room`; then what came of it. */
struct pollfd;
size_t relay_poll(struct relay *relay, struct pollfd *fd, size_t room);
void relay_serve(struct relay *relay, const struct pollfd *fd);

/*
 * The machine's end of a new connection of `listener`, or a negative errno. It
 * is not kept: nobody may take a machine for alive whose broker is.
 */
int relay_accept(struct relay *relay, int listener);

#endif
