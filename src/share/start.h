/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a folder's server: the program lodge-share, with what it needs. In a
 * sandbox the machine's broker starts it, which gets the rest from here.
 */
#ifndef LODGE_SHARE_START_H
#define LODGE_SHARE_START_H

#include <sys/types.h>

#include "share/channel.h"
#include "share/share.h"

struct start_result {
	struct channel *channel; /* mapped */
	int life;		 /* the server ends when this is closed */
	pid_t pid;   /* 0: not known */
	int process; /* a pidfd; the server is not our child. -1: it is */
};

/* -1 with `error`; then nothing is left of it. */
int start_server(const struct share_config *config, struct start_result *result,
		 struct share_error *error);

/*
 * A server's program with its three descriptors (CHANNEL_FD_FOLDER ...), which
 * stay the caller's. 0 or errno; ENOPKG: the program is not installed.
 */
int start_program(const struct share_config *config, const int fd[3],
		  pid_t *pid);

/* What a broker is asked for (jail_ask()), behind this verb. */
#define START_VERB "share"

struct start_wish {
	int memory, life; /* descriptors of who asks */
	struct share_config config;
};

/* False: no such wish. The folder is part of `subject`. */
bool start_read_wish(struct start_wish *wish, const char *subject);

#endif
