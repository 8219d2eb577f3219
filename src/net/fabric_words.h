/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of nft's JSON (libnftables-json(5)), from which rules are put
 * together. Each takes the objects that it is given.
 */
#ifndef LODGE_NET_FABRIC_WORDS_H
#define LODGE_NET_FABRIC_WORDS_H

#include "net/fabric.h"

struct rules {
	json_t *list; /* of commands */
	const struct fabric *fabric;
	const char *family;
	const json_t *present; /* what `nft -j list table` says; or NULL */
};

json_t *words_payload(const char *protocol, const char *field);
json_t *words_meta(const char *key);
json_t *words_test(const char *op, json_t *left, json_t *right);
json_t *words_is(json_t *left, const char *right);
json_t *words_is_number(json_t *left, int right);
json_t *words_address4(uint32_t address);
json_t *words_address6(const struct in6_addr *address);
json_t *words_net4(uint32_t address, unsigned int bits);
json_t *words_net6(const struct in6_addr *address, unsigned int bits);

/* An object of the network's table: added, flushed, deleted. */
void words_command(struct rules *r, const char *verb, const char *kind,
		   json_t *object);
/* Whether the table of this family had a set of that name before. */
bool words_has_set(const struct rules *r, const char *name);
void words_chain(struct rules *r, const char *name);
void words_hook(struct rules *r, const char *name, const char *type,
		const char *where, int priority);
void words_counter(struct rules *r, const char *owner, const char *why);

/* A rule of the chain: its parts are an array. */
void words_rule(struct rules *r, const char *chain, json_t *parts);
/* The same that ends in a verdict: "accept", "return". */
void words_rule_ends(struct rules *r, const char *chain, const char *verdict,
		     json_t *parts);
/* That counts what it drops as OWNER-WHY. */
void words_drop(struct rules *r, const char *chain, const char *owner,
		const char *why, json_t *parts);

/* --- fabric_filter.c: what a machine may reach ------------------------------- */

/* What all machines share: flows that are known, and ways to know them. */
void filter_begin(struct rules *r);

/* The rest of the machine's chain, and its other one; nothing without rules. */
void filter_port(struct rules *r, const struct fabric_port *port,
		 const char *from_chain);

#endif
