/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mode "vhost-user=PATH": frames go to a data plane of another process
 * (DPDK, Open vSwitch, passt ...) by rings in memory that the two share.
 *
 * The rings are ours, not the guest's: a frame is copied once each way, as for
 * a switch. So the other process sees frames and nothing of the guest's memory,
 * captures and limits work, the guest's card is the same as with any mode, and
 * it does not matter to an engine that somebody else writes memory.
 */
#ifndef LODGE_NET_VHOST_MODE_H
#define LODGE_NET_VHOST_MODE_H

#include "net/net.h"

extern const struct net_mode net_vhost_user_mode;

#endif
