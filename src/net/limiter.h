/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a card may send and receive, whatever is behind it. A frame over the
 * limit is told to wait, and who asked is called when it is worth another try;
 * so nothing is lost here, and senders slow down.
 */
#ifndef LODGE_NET_LIMITER_H
#define LODGE_NET_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "net/meter.h"
#include "vm/nic.h"

#define LIMITER_BURST_MS 100u

enum net_way { NET_OUT, NET_IN, NET_WAYS }; /* as the guest has it */

struct net_limits {
	struct net_rate rate[NET_WAYS];
	uint32_t burst_ms; /* 0: LIMITER_BURST_MS */
};

struct limiter;

/*
 * Without limits. again() is called on a thread of its own, between
 * limiter_start() and limiter_stop(). NULL: no memory.
 */
struct limiter *limiter_create(void (*again)(void *ctx, enum net_way way),
			       void *ctx);

/* Stopped. NULL is fine. */
void limiter_destroy(struct limiter *limiter);

/* 0, or a negative errno: then there are no limits. */
int limiter_set(struct limiter *limiter, const struct net_limits *limits);
void limiter_get(struct limiter *limiter, struct net_limits *limits);

int limiter_start(struct limiter *limiter);
void limiter_stop(struct limiter *limiter);

/*
 * Counts a frame, as many as it is to be cut into. False: it has to wait until
 * again(). Any thread.
 */
bool limiter_take(struct limiter *limiter, enum net_way way,
		  const struct nic_frame *frame);

/*
 * The thread's work: calls again() for what has waited long enough. When the
 * next is due, UINT64_MAX: nothing waits.
 */
uint64_t limiter_pass(struct limiter *limiter);

#endif
