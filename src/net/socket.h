/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mode "socket": frames to and from another program over a stream socket
 * of this computer, as passt and QEMU's `-netdev stream` speak: each frame
 * behind its length, 4 bytes, the highest first. The other side may go and come
 * back; the guest's link is down meanwhile.
 */
#ifndef LODGE_NET_SOCKET_H
#define LODGE_NET_SOCKET_H

#include "net/net.h"

extern const struct net_mode net_socket_mode;

#endif
