/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which card has which IPv4 address of a network. A card keeps its own for as
 * long as there are others to give; then the one goes that was not used for
 * longest. Kept in the network's folder, so that it outlives the switch.
 */
#ifndef LODGE_NET_SWITCH_LEASE_H
#define LODGE_NET_SWITCH_LEASE_H

#include "net/network.h"

#define LEASES_MAX  1024
#define LEASES_FILE "leases.json"

struct lease {
	uint8_t mac[NIC_MAC];
	bool live; /* its card is on the network */
	bool fixed; /* it was asked for: it may be of any host's */
	uint32_t address;
	uint64_t used; /* grows with each use */
	char machine[NETWORK_NAME_MAX + 1];
};

struct leases {
	const struct network *network;
	unsigned int count;
	uint64_t uses;
	struct lease lease[LEASES_MAX];
};

/*
 * The address for a card; 0: all are given out, or the network has no DHCP.
 * It is the card's until leases_drop(), and then until another needs it.
 */
uint32_t leases_take(struct leases *leases, const uint8_t mac[NIC_MAC],
		     const char *machine);
/* The card has this one, whoever had it; nobody does that is there. */
void leases_fix(struct leases *leases, const uint8_t mac[NIC_MAC],
		const char *machine, uint32_t address);
void leases_drop(struct leases *leases, const uint8_t mac[NIC_MAC]);

/* To and from the folder of the network; what is no lease is left out. */
int leases_write(const struct leases *leases, int folder);
void leases_read(struct leases *leases, int folder);

/* From what was a file; believes nothing. */
void leases_unpack(struct leases *leases, const json_t *json);

#endif
