/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of a network's machines (RFC 1035): MACHINE and MACHINE.DOMAIN
 * have addresses (A, AAAA), addresses of the network's IPv4 subnet have names
 * (PTR). What else is asked is somebody else's to answer.
 */
#ifndef LODGE_NET_SWITCH_DNS_H
#define LODGE_NET_SWITCH_DNS_H

#include "net/network.h"

#define DNS_MESSAGE_MAX 512u /* of UDP without extensions */
#define DNS_ANSWERS_MAX 8u

struct dns_host {
	uint32_t address; /* 0: none */
	bool six;
	struct in6_addr address6;
};

struct dns_zone {
	const struct network *network;
	/* The cards of machine `name` (no matter its case): how many. */
	unsigned int (*find)(void *ctx, const char *name,
			     struct dns_host host[DNS_ANSWERS_MAX]);
	/* The machine with that address; NULL: none. */
	const char *(*name)(void *ctx, uint32_t address);
	void *ctx;
	bool alone; /* nobody else answers: what is not ours is refused */
};

/*
 * The answer to a question, in `answer`; its size. 0: it is no question, or
 * not ours to answer.
 */
uint32_t dns_answer(const struct dns_zone *zone, const uint8_t *question,
		    uint32_t size, uint8_t answer[DNS_MESSAGE_MAX]);

/*
 * Calls `note` for each address (IPv4 as ::ffff:a.b.c.d) in an answer of
 * `size` bytes, with the name that was asked for.
 */
void dns_addresses(const uint8_t *answer, uint32_t size,
		   void (*note)(void *ctx, const char *name,
				const struct in6_addr *address),
		   void *ctx);

#endif
