/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a card's frames may say that they are from, as its switch knows it
 * (guard.h), and which of them two cards may exchange without the switch: TCP
 * and UDP in one piece, from such an address, to the other card alone. The
 * rest is the switch's, which learns from it, answers it or gives it to more
 * than one: ARP, ICMP, fragments, options of IPv6, DHCP and names.
 */
#ifndef LODGE_NET_SWITCH_CLAIMS_H
#define LODGE_NET_SWITCH_CLAIMS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm/nic.h"

#define CLAIMS_ADDRESSES 16 /* of each family */
/* Bytes of a frame that are looked at: Ethernet, IPv4 with options, ports. */
#define CLAIMS_HEAD 78u

struct claims {
	uint8_t mac[NIC_MAC];
	uint8_t zero[2];
	uint32_t address4[CLAIMS_ADDRESSES]; /* the host's order; 0: free */
	struct in6_addr address6[CLAIMS_ADDRESSES]; /* ::, free */
};

/*
 * Whether the frame, of which `head` is the beginning (CLAIMS_HEAD bytes or
 * all of it), may go from that card to the other without the switch.
 */
bool claims_pass(const struct claims *from, const uint8_t to[NIC_MAC],
		 const uint8_t *head, uint32_t size);

#endif
