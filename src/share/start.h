/* SPDX-License-Identifier: Apache-2.0 */
/* Starts a folder's server: the program lodge-share, with what it needs. */
#ifndef LODGE_SHARE_START_H
#define LODGE_SHARE_START_H

#include <sys/types.h>

#include "share/channel.h"
#include "share/share.h"

struct start_result {
	struct channel *channel; /* mapped */
	int life;		 /* the server ends when this is closed */
	pid_t pid;
};

/* -1 with `error`; then nothing is left of it. */
int start_server(const struct share_config *config, struct start_result *result,
		 struct share_error *error);

#endif
