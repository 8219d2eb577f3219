/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of this computer for guests: the machine's end of a share. Each has
 * a process of its own (src/share/server) that speaks FUSE with the guest and
 * has nothing but the folder: it does not see the machine's memory, only the
 * requests. When it ends, each request is answered with ENOTCONN, and the
 * machine goes on.
 */
#ifndef LODGE_SHARE_SHARE_H
#define LODGE_SHARE_SHARE_H

#include <stdbool.h>
#include <sys/types.h>

#include "vm/share.h"

#define SHARE_ERROR_MAX 400

struct share_config {
	const char *folder;
	bool readonly;
	/*
	 * Nanoseconds for which the guest may believe what it knows of names
	 * and attributes; 0: it asks each time. Linux rounds up to ticks of its
	 * clock: 1 is 4 to 8 ms where there are 250 a second.
	 */
	uint64_t believe;
	unsigned int cpus; /* of the machine */
};

struct share_error {
	char text[SHARE_ERROR_MAX];
};

/*
 * Starts the folder's server. -1 with `error`, one line. share_close() ends
 * it, when nothing is under way.
 */
int share_open(struct share **share, const struct share_config *config,
	       struct share_error *error);

/* The server's process; 0: it has ended. */
pid_t share_server(struct share *share);

#endif
