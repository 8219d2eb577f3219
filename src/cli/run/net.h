/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --net and --publish.
 */
#ifndef LODGE_CLI_RUN_NET_H
#define LODGE_CLI_RUN_NET_H

#include "vmm/nets.h"

struct cli_nets {
	struct machine_net net[BOARD_NICS_MAX];
	unsigned int count;
	char *words[BOARD_NICS_MAX]; /* their options, cut */
	bool given, none;
	struct net_publish publish[NET_PUBLISH_MAX];
	unsigned int publishes;
};

/* "MODE[,OPTION...]" or "none". -1 after cli_error(). */
int net_take(struct cli_nets *nets, const char *value);

/* "[HOST:]PORT:GUESTPORT[/udp]" */
int net_take_publish(struct cli_nets *nets, const char *value);

/*
 * When all are there; `unasked`: one when none was given. -1 after
 * cli_error().
 */
int net_complete(struct cli_nets *nets, bool unasked);

void net_free(struct cli_nets *nets);

#endif
