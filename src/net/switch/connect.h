/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To a network's switch, started when none runs: as `lodge net serve NAME`, a
 * process of its own that outlives the machine.
 */
#ifndef LODGE_NET_SWITCH_CONNECT_H
#define LODGE_NET_SWITCH_CONNECT_H

#include <jansson.h>

#include "net/net.h"
#include "net/switch/lane.h"
#include "net/switch/wire.h"

struct connection {
	int fd; /* -1: none */
	struct lane_pair rings;
	uint32_t address; /* leased; 0: none */
};

/* Starts the network's switch. 0 or an errno. */
#define CONNECT_START "switch"
int connect_start(const char *name);

/*
 * `folder`: of the network `name`. 0, or -1 with the error: no switch could be
 * started, or it refused.
 */
int connect_switch(struct connection *connection, int folder, const char *name,
		   const struct wire_hello *hello, struct net_error *error);
void connect_end(struct connection *connection);

/* Tells a running switch that the rules are others, and waits until they are. */
void connect_rules(int folder);

/* A running switch's ports (core_state()); NULL: none runs. */
json_t *connect_state(int folder);

#endif
