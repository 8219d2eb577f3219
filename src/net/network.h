/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network that people define: what its record says. What keeps records is
 * net/network_store.h; what makes a network of one is its backing: the switch
 * between this user's machines, or a bridge of the kernel's.
 *
 * Every property has a name, by which options, records and programs set and
 * read it, as text; see network_set().
 */
#ifndef LODGE_NET_NETWORK_H
#define LODGE_NET_NETWORK_H

#include <jansson.h>
#include <net/if.h>
#include <netinet/in.h>

#include "net/net.h"

#define NETWORK_NAME_MAX   63
#define NETWORK_DOMAIN_MAX 63
#define NETWORK_PEERS_MAX  16
#define NETWORK_ALLOW_MAX  8
#define NETWORK_VLAN_MAX   4094
#define NETWORK_BITS_MIN   8  /* of an IPv4 subnet */
#define NETWORK_BITS_MAX   29

enum network_kind {
	NETWORK_NAT,	  /* to the outside, by this computer's address */
	NETWORK_ISOLATED, /* to nobody else */
	NETWORK_ROUTED,	  /* to the outside, by the machines' own addresses */
	NETWORK_KINDS,
};

enum network_backing {
	NETWORK_SWITCH, /* a process of the user's; needs no privileges */
	NETWORK_BRIDGE, /* the kernel's; needs CAP_NET_ADMIN */
	NETWORK_BACKINGS,
};

extern const char *const network_kinds[NETWORK_KINDS];
extern const char *const network_backings[NETWORK_BACKINGS];

struct network {
	char name[NETWORK_NAME_MAX + 1];
	enum network_kind kind;
	enum network_backing backing;
	bool has4, has6;
	uint32_t net4; /* as all IPv4 addresses here in the host's order */
	unsigned int bits4;
	struct in6_addr net6; /* a /64 */
	bool dhcp;
	uint32_t dhcp_first, dhcp_last;
	char domain[NETWORK_DOMAIN_MAX + 1]; /* of the machines' names */
	uint16_t mtu;			     /* 0: a card's usual one */
	/* Of a bridge. */
	char uplink[IFNAMSIZ]; /* "": none. The interface that it is joined to */
	uint16_t vlan;	       /* the tag there; 0: none */
	uint32_t vxlan;	       /* the overlay's number; 0: none */
	unsigned int peers;    /* its other ends */
	char peer[NETWORK_PEERS_MAX][NET_ADDRESS];
	unsigned int allows; /* networks whose machines may reach this one's */
	char allow[NETWORK_ALLOW_MAX][NETWORK_NAME_MAX + 1];
	int64_t created; /* seconds since 1970 */
};

/* 1 to 63 letters, digits and - _ . with no . or - at its start. */
bool network_name_valid(const char *name);

/* Addresses that the network itself has: its router, its name server. */
uint32_t network_router4(const struct network *network);
uint32_t network_names4(const struct network *network);
struct in6_addr network_router6(const struct network *network);
struct in6_addr network_names6(const struct network *network);

/* Whether a machine may have it: of the subnet, and not the network's own. */
bool network_host4(const struct network *network, uint32_t address);

/* "10.89.0.0/24": its subnets as text. */
#define NETWORK_SUBNET 52
const char *network_subnet4(const struct network *network,
			    char text[NETWORK_SUBNET]);
const char *network_subnet6(const struct network *network,
			    char text[NETWORK_SUBNET]);

/* A new one: NAT by a switch, with DHCP, on subnets that are found. */
void network_init(struct network *network, const char *name);

/* What a change has set so far. Zero at its beginning. */
struct network_change {
	bool subnets, dhcp, peers, allows, backing;
};

/*
 * Sets the property: "kind", "backing", "subnet", "peer" and "allow" (repeated; the
 * first of a change replaces those before it), "dhcp" (FIRST-LAST, "on",
 * "off"), "domain", "mtu", "uplink", "vlan", "vxlan". 0, or -1 with the error.
 */
int network_set(struct network *network, struct network_change *change,
		const char *property, const char *value,
		struct net_error *error);

/*
 * Fills in what was left open and checks the whole. A network without subnets
 * keeps them open: network_store_add() finds some. 0, or -1 with the error.
 */
int network_complete(struct network *network,
		     const struct network_change *change,
		     struct net_error *error);

/* Whether two have addresses in common; the first such subnet to `text`. */
bool network_overlap(const struct network *a, const struct network *b,
		     char text[NETWORK_SUBNET]);

/* A new object; NULL: no memory. */
json_t *network_pack(const struct network *network);

/* Believes nothing: -1 with the error when it is no record. */
int network_unpack(struct network *network, const json_t *json,
		   struct net_error *error);

#endif
