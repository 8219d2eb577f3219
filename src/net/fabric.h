/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks that are bridges of the kernel's (backing "bridge"): what there is
 * to be of one, worked out from its record and from who uses it, and made so.
 *
 * fabric_reconcile() is the only one that changes anything: it works out the
 * wanted state (struct fabric), looks at what there is, and applies the
 * difference. It comes when a machine joins or leaves, when something of the
 * network has gone under a running machine, and when lodge is called at all,
 * for what killed machines have left. All that it makes goes by a name made of
 * the store's folder and the network's name, so that it is known again, and
 * several stores do not meet.
 */
#ifndef LODGE_NET_FABRIC_H
#define LODGE_NET_FABRIC_H

#include <stdbool.h>

#include "net/network_store.h"
#include "net/rule.h"

#define FABRIC_PORTS_MAX 1024
#define FABRIC_NAME	 32
#define FABRIC_PATH	 96
#define FABRIC_PREFIX	 "lb-" /* of bridges: those of other networks too */

/* A card on the network. */
struct fabric_port {
	char tap[IFNAMSIZ];
	char machine[NETWORK_NAME_MAX + 1];
	uint8_t mac[NIC_MAC];
	uint32_t ip4; /* its address; 0: any that is free */
	struct in6_addr local6, ip6; /* that it makes of its mac; fe80:: ... */
};

struct fabric {
	struct network network;
	char bridge[IFNAMSIZ];	/* and the names of its other interfaces */
	char vxlan[IFNAMSIZ];
	char vlan[IFNAMSIZ];
	char table[FABRIC_NAME]; /* of rules, in two families */
	char folder[FABRIC_PATH]; /* of its name server's files */
	char allowed[NETWORK_ALLOW_MAX][IFNAMSIZ]; /* bridges, of allow[] */
	unsigned int ports;
	struct fabric_port *port;
	json_t *rules; /* as rules_load() gives them; NULL: none */
};

/* Whether this process may make bridges; -1, with what one may do who may not
 * make that network's. */
bool fabric_permitted(void);
int fabric_refuse(const char *name, struct net_error *error);

/* The names; without ports. */
void fabric_name(struct fabric *fabric, const struct network *network,
		 const char *store);

/* The tap of a card: always the same. */
void fabric_tap(const struct fabric *fabric, const uint8_t mac[NIC_MAC],
		char tap[IFNAMSIZ]);

/* The set of a DNS name's addresses. */
void fabric_name_set(const char *name, bool six, char set[FABRIC_NAME]);

/*
 * Makes the network what it is to be: there while a machine uses it, and else
 * gone. 0, or -1 with the error: then as much as could be is as it should.
 */
int fabric_reconcile(struct network_store *store, const char *name,
		     struct net_error *error);

/*
 * Machine `machine` has these rules from now on (net/rule.h), also while it
 * runs; none: no rules. 0, or -1 with the error.
 */
int fabric_set_rules(struct network_store *store, const char *name,
		     const char *machine, json_t *list,
		     struct net_error *error);

/*
 * Whether a machine may ask for that address (NULL: for none). And the card of
 * that MAC, which uses the network, has it from the next fabric_reconcile() on.
 * 0, or -1 with the error: another card that is there has it.
 */
int fabric_check_address(const struct network *network, const char *address,
			 struct net_error *error);
int fabric_fix(struct network_store *store, const char *name,
	       const uint8_t mac[NIC_MAC], const char *address,
	       struct net_error *error);

/* Takes away what killed machines have left of networks that nobody uses. */
void fabric_sweep(void);

/* What was dropped, by machine and by why; NULL: the network is not there. */
json_t *fabric_drops(struct network_store *store,
		     const struct network *network);

/* --- fabric_rules.c ----------------------------------------------------------- */

/*
 * One transaction for `nft -j`: the rules of the network in the place of those
 * it has. `present` is what `nft -j list ruleset` says, or NULL.
 */
json_t *fabric_rules(const struct fabric *fabric, const json_t *present);

/* One that takes all of it away. */
json_t *fabric_no_rules(const struct fabric *fabric);

/* --- fabric_links.c: interfaces ----------------------------------------------- */

int fabric_links_make(const struct fabric *fabric, struct net_error *error);
void fabric_links_remove(const struct fabric *fabric);

/* --- fabric_names.c: dnsmasq, as a process of its own -------------------------- */

/* The folder of its files, before all else. */
int fabric_names_folder(const struct fabric *fabric, struct net_error *error);
int fabric_names_make(const struct fabric *fabric, struct net_error *error);
void fabric_names_stop(const struct fabric *fabric);
/* A descriptor that is readable once it has ended (pidfd); -1: it runs not. */
int fabric_names_watch(const struct fabric *fabric);

#endif
