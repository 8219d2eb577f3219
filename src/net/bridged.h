/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's card on a network that is a bridge: its hold on the record, and a
 * thread that mends what goes under it (a name server that ends, a bridge that
 * somebody removes).
 */
#ifndef LODGE_NET_BRIDGED_H
#define LODGE_NET_BRIDGED_H

#include "net/net.h"

struct bridged;

/*
 * Joins the network config->subject, which is there then with rules for this
 * card. 0; 1: there is no such network; -1 with the error. *plan is how its tap
 * is to be.
 */
struct tap_plan;
int bridged_join(struct bridged **bridged, const struct net_config *config,
		 struct tap_plan *plan, struct net_error *error);

/*
 * What a machine's process does not do for itself in its sandbox, but has done
 * outside by a broker: mending a network, and watching over one until the
 * parent process ends. 0 or an errno.
 */
#define BRIDGED_MEND  "mend"
#define BRIDGED_GUARD "guard"
int bridged_mend(const char *network);
int bridged_guard(const char *network);

/* When the tap is there. */
void bridged_watch(struct bridged *bridged);

/* Once the tap is gone; with the last card the network goes. NULL is fine. */
void bridged_leave(struct bridged *bridged);

#endif
