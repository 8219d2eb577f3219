/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of a network as nft's JSON (libnftables-json(5)). Two tables of
 * the same name: one of the family bridge, which sees each frame of a machine
 * before the bridge does, and one of inet for what is routed. The named
 * counters stay when the rules are replaced.
 *
 * A machine sends from its own addresses alone: MAC, IPv4 (and ARP), IPv6 (and
 * neighbour discovery, RFC 4861, whose options are at fixed places: messages
 * of other lengths and in fragments, RFC 6980, are dropped). It is neither a
 * router nor a DHCP server.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "net/address.h"
#include "net/fabric.h"
#include "net/fabric_words.h"

#define ND_BITS 64 /* of ICMPv6: where the address it is about begins */

static json_t *subnet4(const struct network *network)
{
	return words_net4(network->net4, network->bits4);
}

static json_t *subnet6(const struct network *network)
{
	return words_net6(&network->net6, 64);
}

static json_t *is_not(json_t *left, const char *right)
{
	return words_test("!=", left, json_string(right));
}

static json_t *bits(int offset, int size)
{
	return json_pack("{s{sssisi}}", "payload", "base", "th", "offset",
			 offset, "len", size);
}

/* Raw bytes as the number they are. */
static json_t *hex(const void *bytes, unsigned int count)
{
	char text[2 + 2 * 16 + 1] = "0x";

	for (unsigned int i = 0; i < count; i++)
		sprintf(text + 2 + 2 * i, "%02x", ((const uint8_t *)bytes)[i]);
	return json_string(text);
}

/* --- what a machine sends ------------------------------------------------------------ */

struct port {
	const struct fabric_port *port;
	const char *tap;
	char chain[FABRIC_NAME];
	char mac[ADDRESS_MAC];
};

static void check_frame(struct rules *r, const struct port *p)
{
	words_drop(r, p->chain, p->tap, "mac",
	     json_pack("[o]", is_not(words_payload("ether", "saddr"), p->mac)));
	words_drop(r, p->chain, p->tap, "mac",
	     json_pack("[o]", words_test("!=", words_payload("ether", "type"),
				   json_pack("{s[sss]}", "set", "ip", "ip6",
					     "arp"))));
}

static void check_arp(struct rules *r, const struct port *p)
{
	json_t *own = p->port->ip4 ? words_address4(p->port->ip4)
				   : subnet4(&r->fabric->network);

	words_drop(r, p->chain, p->tap, "arp",
	     json_pack("[o]", is_not(words_payload("arp", "saddr ether"), p->mac)));
	words_drop(r, p->chain, p->tap, "arp",
	     json_pack("[o]", words_test("!=", words_payload("arp", "saddr ip"),
				   json_pack("{s[so]}", "set", "0.0.0.0",
					     own))));
	if (!p->port->ip4)
		words_drop(r, p->chain, p->tap, "arp",
		     json_pack("[o]",
			       words_test("==", words_payload("arp", "saddr ip"),
				    json_pack("{s[oo]}", "set",
					      words_address4(network_router4(
						      &r->fabric->network)),
					      words_address4(network_names4(
						      &r->fabric->network))))));
	words_rule_ends(r, p->chain, "return",
		  json_pack("[o]", words_is(words_payload("ether", "type"), "arp")));
}

static void check_ip4(struct rules *r, const struct port *p)
{
	const struct network *network = &r->fabric->network;

	/* A DHCP client has no address yet; nobody is a server. */
	words_rule_ends(r, p->chain, "return",
		  json_pack("[ooo]", words_is(words_payload("ip", "saddr"), "0.0.0.0"),
			    words_is_number(words_payload("udp", "sport"), 68),
			    words_is_number(words_payload("udp", "dport"), 67)));
	words_drop(r, p->chain, p->tap, "ip",
	     json_pack("[oo]", words_is(words_payload("ether", "type"), "ip"),
		       words_is_number(words_payload("udp", "sport"), 67)));
	words_drop(r, p->chain, p->tap, "ip",
	     json_pack("[o]",
		       words_test("!=", words_payload("ip", "saddr"),
			    p->port->ip4 ? words_address4(p->port->ip4) :
			    network->has4 ? subnet4(network) :
					    json_string("0.0.0.0"))));
	if (!p->port->ip4 && network->has4)
		words_drop(r, p->chain, p->tap, "ip",
		     json_pack("[o]",
			       words_test("==", words_payload("ip", "saddr"),
				    json_pack("{s[oo]}", "set",
					      words_address4(network_router4(network)),
					      words_address4(network_names4(
						      network))))));
}

static json_t *own6(const struct rules *r, const struct port *p)
{
	return r->fabric->network.has6 ?
		       json_pack("{s[soo]}", "set", "::",
				 words_address6(&p->port->local6),
				 words_address6(&p->port->ip6)) :
		       json_pack("{s[so]}", "set", "::",
				 words_address6(&p->port->local6));
}

/* A message of that type whose option at `at` is another's address. */
static void check_option(struct rules *r, const struct port *p, int type,
			 int at, const char *kind)
{
	words_drop(r, p->chain, p->tap, "nd",
	     json_pack("[oooo]", words_is(words_meta("l4proto"), "ipv6-icmp"),
		       words_is_number(words_payload("icmpv6", "type"), type),
		       words_is(bits(at, 16), kind),
		       words_test("!=", bits(at + 16, 48), hex(p->port->mac, 6))));
}

static void check_nd(struct rules *r, const struct port *p)
{
	json_t *own = json_pack("{s[o]}", "set", hex(&p->port->local6, 16));

	if (r->fabric->network.has6)
		json_array_append_new(json_object_get(own, "set"),
				      hex(&p->port->ip6, 16));
	/* A router's messages are not a machine's. */
	words_drop(r, p->chain, p->tap, "nd",
	     json_pack("[oo]", words_is(words_meta("l4proto"), "ipv6-icmp"),
		       words_test("==", words_payload("icmpv6", "type"),
			    json_pack("{s[ii]}", "set", 134, 137))));
	words_drop(r, p->chain, p->tap, "nd",
	     json_pack("[oo]",
		       words_test("==", json_pack("{s{ss}}", "exthdr", "name",
					    "frag"), json_true()),
		       words_test("==", words_payload("icmpv6", "type"),
			    json_pack("{s[iiiii]}", "set", 133, 134, 135, 136,
				      137))));
	words_drop(r, p->chain, p->tap, "nd",
	     json_pack("[ooo]", words_is(words_meta("l4proto"), "ipv6-icmp"),
		       words_test("==", words_payload("icmpv6", "type"),
			    json_pack("{s[ii]}", "set", 135, 136)),
		       words_test("!=", words_payload("ip6", "length"),
			    json_pack("{s[ii]}", "set", 24, 32))));
	words_drop(r, p->chain, p->tap, "nd",
	     json_pack("[ooo]", words_is(words_meta("l4proto"), "ipv6-icmp"),
		       words_is_number(words_payload("icmpv6", "type"), 136),
		       words_test("!=", bits(ND_BITS, 128), own)));
	check_option(r, p, 133, 64, "0x0101");
	check_option(r, p, 135, 192, "0x0101");
	check_option(r, p, 136, 192, "0x0201");
}

static void check_ip6(struct rules *r, const struct port *p)
{
	words_drop(r, p->chain, p->tap, "ip",
	     json_pack("[o]", words_test("!=", words_payload("ip6", "saddr"),
				   own6(r, p))));
	words_drop(r, p->chain, p->tap, "ip",
	     json_pack("[oo]", words_is(words_payload("ether", "type"), "ip6"),
		       words_is_number(words_payload("udp", "sport"), 547)));
	check_nd(r, p);
}

static void add_port(struct rules *r, const struct fabric_port *port)
{
	static const char *const why[] = { "mac", "arp", "nd", "ip" };
	struct port p = { .port = port, .tap = port->tap };

	address_mac(p.mac, port->mac);
	snprintf(p.chain, sizeof(p.chain), "from-%.15s", port->tap);
	for (unsigned int i = 0; i < sizeof(why) / sizeof(why[0]); i++)
		words_counter(r, port->tap, why[i]);
	words_chain(r, p.chain);
	check_frame(r, &p);
	check_arp(r, &p);
	check_ip4(r, &p);
	check_ip6(r, &p);
	filter_port(r, port, p.chain);
}

/* Each tap to its chain. */
static void dispatch(struct rules *r, const char *from, const char *key,
		     const char *prefix)
{
	json_t *set = json_array();

	for (unsigned int i = 0; i < r->fabric->ports; i++) {
		const char *tap = r->fabric->port[i].tap;

		json_array_append_new(set, json_pack("[s{s{ss+}}]", tap,
						     "jump", "target", prefix,
						     tap));
	}
	if (json_array_size(set))
		words_rule(r, from, json_pack("[{s{soso}}]", "vmap", "key",
					words_meta(key), "data",
					json_pack("{so}", "set", set)));
	else
		json_decref(set);
}

/* --- what is routed ------------------------------------------------------------------- */

static json_t *from(const struct rules *r)
{
	return words_is(words_meta("iifname"), r->fabric->bridge);
}

static json_t *towards(const struct rules *r)
{
	return words_is(words_meta("oifname"), r->fabric->bridge);
}

static json_t *answers(void)
{
	return words_test("in", json_pack("{s{ss}}", "ct", "key", "state"),
		    json_pack("[ss]", "established", "related"));
}

/* From here, from another network, to this one; each way in its chain. */
static void forwarding(struct rules *r)
{
	const enum network_kind kind = r->fabric->network.kind;

	/* Bridged frames come here too where br_netfilter is on. */
	words_rule_ends(r, "forward", "accept", json_pack("[oo]", from(r), towards(r)));
	if (kind == NETWORK_ISOLATED) {
		words_drop(r, "forward", r->fabric->bridge, "out",
		     json_pack("[o]", from(r)));
		words_drop(r, "forward", r->fabric->bridge, "in",
		     json_pack("[o]", towards(r)));
		return;
	}
	words_rule_ends(r, "forward", "accept",
			json_pack("[oo]", towards(r), answers()));
	for (unsigned int i = 0; i < r->fabric->network.allows; i++)
		words_rule_ends(r, "forward", "accept",
				json_pack("[oo]",
					  words_is(words_meta("iifname"),
						   r->fabric->allowed[i]),
					  towards(r)));
	words_drop(r, "forward", r->fabric->bridge, "other",
		   json_pack("[oo]", words_is(words_meta("iifname"),
					      FABRIC_PREFIX "*"), towards(r)));
	if (kind == NETWORK_NAT)
		words_drop(r, "forward", r->fabric->bridge, "in",
		     json_pack("[o]", towards(r)));
}

/* To this computer itself. */
static void input(struct rules *r)
{
	const struct network *network = &r->fabric->network;

	for (unsigned int i = 0; i < network->allows; i++)
		words_rule_ends(r, "input", "accept",
				json_pack("[o]",
					  words_is(words_meta("iifname"),
						   r->fabric->allowed[i])));
	if (network->has4)
		words_drop(r, "input", r->fabric->bridge, "other",
		     json_pack("[ooo]", words_is(words_meta("iifname"), FABRIC_PREFIX "*"),
			       is_not(words_meta("iifname"), r->fabric->bridge),
			       words_test("==", words_payload("ip", "daddr"),
				    subnet4(network))));
	if (network->has6)
		words_drop(r, "input", r->fabric->bridge, "other",
		     json_pack("[ooo]", words_is(words_meta("iifname"), FABRIC_PREFIX "*"),
			       is_not(words_meta("iifname"), r->fabric->bridge),
			       words_test("==", words_payload("ip6", "daddr"),
				    subnet6(network))));
	if (network->kind != NETWORK_ISOLATED)
		return;
	words_rule_ends(r, "input", "accept", json_pack("[oo]", from(r), answers()));
	words_rule_ends(r, "input", "accept",
		  json_pack("[oo]", from(r),
			    words_test("==", words_meta("l4proto"),
				 json_pack("{s[ss]}", "set", "icmp",
					   "ipv6-icmp"))));
	words_rule_ends(r, "input", "accept",
		  json_pack("[ooo]", from(r), words_is(words_meta("l4proto"), "udp"),
			    words_test("==", words_payload("udp", "dport"),
				 json_pack("{s[iii]}", "set", 53, 67, 547))));
	words_rule_ends(r, "input", "accept",
		  json_pack("[oo]", from(r),
			    words_is_number(words_payload("tcp", "dport"), 53)));
	words_drop(r, "input", r->fabric->bridge, "out", json_pack("[o]", from(r)));
}

static void masquerade(struct rules *r)
{
	const struct network *network = &r->fabric->network;

	words_hook(r, "nat", "nat", "postrouting", 100);
	if (network->has4)
		words_rule(r, "nat",
		     json_pack("[ooo]", words_test("==", words_payload("ip", "saddr"),
					     subnet4(network)),
			       is_not(words_meta("oifname"), r->fabric->bridge),
			       json_pack("{sn}", "masquerade")));
	if (network->has6)
		words_rule(r, "nat",
		     json_pack("[ooo]", words_test("==", words_payload("ip6", "saddr"),
					     subnet6(network)),
			       is_not(words_meta("oifname"), r->fabric->bridge),
			       json_pack("{sn}", "masquerade")));
}

/* --- all of it --------------------------------------------------------------------------- */

/* The table is there, without rules. */
static void begin(struct rules *r, const char *family)
{
	r->family = family;
	words_command(r, "add", "table", json_object());
	words_command(r, "flush", "table", json_object());
}

static bool is_ours(const struct fabric *fabric, const char *name)
{
	if (!strncmp(name, "keep-", 5) || !strncmp(name, "known-", 6))
		return true;
	for (unsigned int i = 0; i < fabric->ports; i++)
		if (strstr(name, fabric->port[i].tap))
			return true;
	return false;
}

/* Chains and counters of machines that have left. */
static void forget(struct rules *r)
{
	static const char *const kinds[] = { "chain", "counter" };
	const json_t *object, *of;
	size_t i;

	r->family = "bridge";
	json_array_foreach(json_object_get(r->present, "nftables"), i, object)
		for (unsigned int k = 0; k < 2; k++) {
			const char *name, *table, *family;

			of = json_object_get(object, kinds[k]);
			if (json_unpack((json_t *)of, "{ssssss}", "name",
					&name, "table", &table, "family",
					&family) ||
			    strcmp(family, "bridge") ||
			    strcmp(table, r->fabric->table) ||
			    json_object_get(of, "hook") ||
			    is_ours(r->fabric, name))
				continue;
			words_command(r, "delete", kinds[k],
				json_pack("{ss}", "name", name));
		}
}

static json_t *finish(struct rules *r)
{
	return json_pack("{so}", "nftables", r->list);
}

json_t *fabric_rules(const struct fabric *fabric, const json_t *present)
{
	static const char *const why[] = { "in", "out", "other" };
	struct rules r = {
		.list = json_array(),
		.fabric = fabric,
		.present = present,
	};

	begin(&r, "bridge");
	words_hook(&r, "prerouting", "filter", "prerouting", -400);
	words_hook(&r, "postrouting", "filter", "postrouting", 400);
	filter_begin(&r);
	for (unsigned int i = 0; i < fabric->ports; i++)
		add_port(&r, &fabric->port[i]);
	dispatch(&r, "prerouting", "iifname", "from-");
	dispatch(&r, "postrouting", "oifname", "to-");
	forget(&r);

	begin(&r, "inet");
	for (unsigned int i = 0; i < sizeof(why) / sizeof(why[0]); i++)
		words_counter(&r, fabric->bridge, why[i]);
	words_hook(&r, "forward", "filter", "forward", 0);
	words_hook(&r, "input", "filter", "input", 0);
	forwarding(&r);
	input(&r);
	if (fabric->network.kind == NETWORK_NAT)
		masquerade(&r);
	return finish(&r);
}

json_t *fabric_no_rules(const struct fabric *fabric)
{
	static const char *const family[] = { "bridge", "inet" };
	struct rules r = { .list = json_array(), .fabric = fabric };

	for (unsigned int i = 0; i < 2; i++) {
		r.family = family[i];
		words_command(&r, "add", "table", json_object());
		words_command(&r, "delete", "table", json_object());
	}
	return finish(&r);
}
