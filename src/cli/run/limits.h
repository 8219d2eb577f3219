/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words iops=, bps= and burst= of --disk, those of --net, and both of lodge
 * limit.
 */
#ifndef LODGE_CLI_RUN_LIMITS_H
#define LODGE_CLI_RUN_LIMITS_H

#include "disk/limit.h"
#include "net/limiter.h"

/* Stores one of them, where 0 is no limit. 1: it is none of them; -1 after
 * cli_error(), which `what` begins. */
int limits_take(const char *what, struct disk_limits *limits,
		const char *word);

/* The same of a network card: pps-out=, bps-out=, pps-in=, bps-in=, burst=. */
int limits_take_net(const char *what, struct net_limits *limits,
		    const char *word);

#endif
