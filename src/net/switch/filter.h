/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that people give a machine (net/rule.h), kept by the switch: what
 * a network that is a bridge has nft do (net/fabric_filter.c), with the same
 * words and the same meaning.
 *
 * Flows that a rule has let pass are remembered for each card, by the two
 * addresses, the protocol and both ports, an echo by the addresses alone; what
 * belongs to one passes both ways. There is room for FILTER_FLOWS of a card;
 * then the one that has rested longest goes. What a machine needs to be on the
 * network at all passes anyway: ARP, neighbour discovery, group reports, DHCP,
 * questions to the network's name server, and the rest of a packet behind its
 * first fragment.
 *
 * A name means the addresses that the name server gave for it, to whichever
 * machine has asked, in a datagram; a machine's name means its addresses.
 */
#ifndef LODGE_NET_SWITCH_FILTER_H
#define LODGE_NET_SWITCH_FILTER_H

#include <jansson.h>

#include "net/rule.h"
#include "net/switch/guard.h"

#define FILTER_FLOWS	 8192u
#define FILTER_WAYS	 8u
#define FILTER_TIME	 3600000u /* ms without a packet */
#define FILTER_NAMES	 256u
#define FILTER_ADDRESSES 128u /* of a name; then the oldest goes */

struct core;

/* An address of either family: IPv4 as ::ffff:a.b.c.d. */
struct filter_flow {
	struct in6_addr own, other;
	uint16_t own_port, other_port;
	uint8_t protocol; /* 0: no flow */
	uint64_t seen;	  /* ms */
};

/* Of one card whose machine has rules. */
struct filter_port {
	unsigned int count;
	bool any[2]; /* out, in: there are rules of that direction */
	struct rule rule[RULES_MAX];
	struct filter_flow flow[FILTER_FLOWS / FILTER_WAYS][FILTER_WAYS];
};

struct filter_name {
	char name[RULE_NAME_MAX + 1];
	unsigned int count, next;
	struct in6_addr address[FILTER_ADDRESSES];
};

struct filter {
	json_t *all; /* as rules_load() gave them; NULL: none */
	struct filter_port *port[GUARD_PORTS];
	unsigned int names;
	struct filter_name *name[FILTER_NAMES];
};

/*
 * These are the rules from now on, of the cards that are there and of those to
 * come; takes `all`. What is no rule, or for which memory is short, closes its
 * direction. Flows go on where a machine keeps having rules.
 */
void filter_set(struct core *core, json_t *all);

/* A card has come, or goes. */
void filter_plug(struct core *core, unsigned int port);
void filter_unplug(struct core *core, unsigned int port);

/*
 * Whether the frame, of which `head` is the beginning, may leave the machine
 * at `port` (or with `in` reach it), at `now` in ms.
 */
bool filter_pass(struct core *core, unsigned int port, bool in,
		 const uint8_t *head, uint32_t head_size, uint64_t now);

/* A frame from the network's own port: names learn from answers. */
void filter_learn(struct core *core, const uint8_t *frame, uint32_t size);

void filter_end(struct core *core);

#endif
