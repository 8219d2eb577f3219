/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as people write them: networks, cards, ports that are published.
 */
#ifndef LODGE_NET_ADDRESS_H
#define LODGE_NET_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "net/net.h"

/* "10.0.2.0/24": host order. Bits behind the prefix are refused. */
bool address_parse_net4(const char *text, uint32_t *network,
			unsigned int *bits);
bool address_parse_net6(const char *text, struct in6_addr *network,
			unsigned int *bits);

/* "52:54:00:12:34:56", of one card (no group). */
bool address_parse_mac(const char *text, uint8_t mac[NIC_MAC]);

#define ADDRESS_MAC 18
const char *address_mac(char text[ADDRESS_MAC], const uint8_t mac[NIC_MAC]);

/* "[HOST:]PORT:GUESTPORT[/udp]"; an IPv6 HOST in brackets, * for any. */
bool address_parse_publish(const char *text, struct net_publish *publish);

/* How it is written, for messages. */
#define ADDRESS_PUBLISH 80
const char *address_publish(char text[ADDRESS_PUBLISH],
			    const struct net_publish *publish);

/* Sockets' addresses that it listens at: two when no family is named. */
#define ADDRESS_HOSTS 2
unsigned int address_hosts(const struct net_publish *publish,
			   struct sockaddr_storage host[ADDRESS_HOSTS]);
socklen_t address_size(const struct sockaddr_storage *address);

/*
 * Who has the port of that address: "NAME (process N)", or "" when that cannot
 * be seen.
 */
#define ADDRESS_HOLDER 64
void address_holder(char text[ADDRESS_HOLDER],
		    const struct sockaddr_storage *address, bool udp);

/* Who that is, as an error about a port that cannot be published. */
void address_taken(const struct net_publish *publish,
		   const struct sockaddr_storage *address,
		   struct net_error *error);

#endif
