/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCPv6 server of a switch without a router (RFC 8415, stateless: 6.1):
 * what a client asks to know, it is told (options of RFC 3646); addresses come
 * from the prefix that is advertised, and of nobody. With a router, libslirp
 * answers the same.
 */
#ifndef LODGE_NET_SWITCH_DHCP6_H
#define LODGE_NET_SWITCH_DHCP6_H

#include "net/network.h"

#define DHCP6_PORT_CLIENT 546u
#define DHCP6_REPLY_MAX	  256u

/*
 * The answer of the server with that MAC to a message, UDP's payload; its size.
 * 0: there is none.
 */
uint32_t dhcp6_answer(const struct network *network,
		      const uint8_t mac[NIC_MAC], const uint8_t *message,
		      uint32_t size, uint8_t reply[DHCP6_REPLY_MAX]);

#endif
