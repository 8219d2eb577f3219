/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modes "network=NAME", whatever is behind the network of that name, and
 * "switch=NAME", which insists that it is a switch (uplink.h).
 */
#ifndef LODGE_NET_SWITCH_MODE_H
#define LODGE_NET_SWITCH_MODE_H

#include "net/net.h"

extern const struct net_mode net_switch_mode, net_network_mode;

#endif
