/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A card's end of a network's switch: the rings, the shortcuts to other cards
 * (shortcut.h), and a thread that takes frames from all of them, or a halted
 * processor in its place. When the switch ends, the card's link goes down and
 * its shortcuts end; it goes up again with another switch.
 */
#ifndef LODGE_NET_SWITCH_UPLINK_H
#define LODGE_NET_SWITCH_UPLINK_H

#include <pthread.h>

#include "host/linux/poll_thread.h"
#include "net/network_store.h"
#include "net/switch/connect.h"
#include "net/switch/shortcut.h"
#include "net/turns.h"

struct uplink {
	struct net net;
	const struct net_config *config;
	struct network_use use;
	struct wire_hello hello;
	struct poll_thread thread;
	_Atomic bool has_room; /* the card has said so */

	/* To send: which connection it is, and which shortcuts there are. */
	pthread_mutex_t lock;
	struct connection connection;
	bool told; /* the switch is yet to be told of what was put in */
	bool full; /* send() has said "later" */
	_Atomic bool timed; /* for a shortcut: it is tried again in a while */
	unsigned int shortcuts;
	struct shortcut *shortcut[SHORTCUT_MAX];

	/*
	 * To take frames to the card, and the same things; before `lock`. A
	 * halted processor keeps it while it sleeps (host_idle): the thread
	 * then leaves the rings to it, until it says `closing`.
	 */
	pthread_mutex_t taking;
	struct host_idle idle;
	_Atomic bool closing;
	_Atomic bool missed; /* the thread found it taken, and sleeps */
	_Atomic bool looks;  /* the thread does, and need not be told */
	struct turns turns;
	struct inbox inbox;
	unsigned int frames; /* that the card was given in a turn */
	uint64_t bytes;
	unsigned int turn; /* whose it is among the shortcuts */
};

/* Not connected yet. NULL with the error. */
struct uplink *uplink_create(const struct net_config *config,
			     struct net_error *error);

/* With `use` and `hello` filled in. -1 with the error. */
int uplink_connect(struct uplink *uplink, struct net_error *error);

#endif
