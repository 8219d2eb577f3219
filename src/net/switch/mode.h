/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modes "network=NAME", whatever is behind the network of that name, and
 * "switch=NAME", which insists that it is a switch. A card's end of a switch is
 * here: the rings, and a thread that takes frames from them. When the switch
 * ends, the card's link goes down, and up again with another switch.
 */
#ifndef LODGE_NET_SWITCH_MODE_H
#define LODGE_NET_SWITCH_MODE_H

#include "net/net.h"

extern const struct net_mode net_switch_mode, net_network_mode;

#endif
