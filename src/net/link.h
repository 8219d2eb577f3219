/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between a card and its backend, a net to the one and a card to
 * the other: does in software what one of them leaves open and the other
 * cannot, and keeps a capture. So every card may leave open what it likes, and
 * every backend states only what it is good at.
 *
 * Of a frame that has to be cut, the segments behind one for which there was
 * no room are dropped.
 */
#ifndef LODGE_NET_LINK_H
#define LODGE_NET_LINK_H

#include "net/capture.h"
#include "net/limiter.h"
#include "vm/nic.h"

/*
 * Owns both from now on; `capture` may be NULL. NULL: no memory, and they stay
 * the caller's.
 */
struct net *net_link_create(struct net *backend, struct capture *capture);

/* Of a net that is a link. */
struct limiter *net_link_limiter(struct net *net);

#endif
