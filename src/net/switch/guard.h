/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a port may say it is: no frame leaves it with another's MAC, IPv4 or
 * IPv6 address, nor an ARP or neighbour message about another's, nor as a DHCP
 * server or router. VLAN tags and protocols that are neither ARP nor IP do not
 * pass: what is in them could not be told.
 *
 * IPv4: the address that it was leased, alone; on a network without DHCP the
 * one it was given, or the first addresses of the subnet that it uses. IPv6: addresses of the subnet
 * and link-local ones, as in RFC 6620 (FCFS SAVI): they are whose first uses
 * them, but an address made of a MAC (RFC 4291, appendix A) is its card's.
 */
#ifndef LODGE_NET_SWITCH_GUARD_H
#define LODGE_NET_SWITCH_GUARD_H

#include <netinet/in.h>

#include "net/network.h"
#include "net/switch/claims.h"

#define GUARD_PORTS	64
#define GUARD_ADDRESSES CLAIMS_ADDRESSES /* that a port may have */
/* Bytes of a frame, or all of it, that are looked at. */
#define GUARD_HEAD	256u

struct guard_port {
	bool used;
	uint8_t mac[NIC_MAC];
	uint32_t lease; /* 0: none */
	unsigned int next4, next6; /* where the next new one goes */
	unsigned int changes;	   /* of what the port may use */
	unsigned int lost;	   /* of those, that took an address back */
	uint32_t bound4[GUARD_ADDRESSES]; /* 0: free */
	struct in6_addr bound6[GUARD_ADDRESSES];
};

struct guard {
	const struct network *network;
	struct guard_port port[GUARD_PORTS];
};

/* Whether the frame, of which `head` is the beginning, may leave port `port`. */
bool guard_check(struct guard *guard, unsigned int port, const uint8_t *head,
		 uint32_t head_size);

/* Whether the IPv4 address is the port's. */
bool guard_has4(const struct guard *guard, unsigned int port,
		uint32_t address);

/* What the port may use now; what it might besides is not known yet. */
void guard_claims(const struct guard *guard, unsigned int port,
		  struct claims *claims);

/* An IPv6 address of the port's in the network's subnet; false: none yet. */
bool guard_address6(const struct guard *guard, unsigned int port,
		    struct in6_addr *address);

#endif
