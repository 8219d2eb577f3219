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

#define ND_BITS 64 /* of ICMPv6: where the address it is about begins */

struct rules {
	json_t *list;
	const struct fabric *fabric;
	const char *family;
};

/* --- words ---------------------------------------------------------------------- */

static json_t *payload(const char *protocol, const char *field)
{
	return json_pack("{s{ssss}}", "payload", "protocol", protocol, "field",
			 field);
}

static json_t *bits(int offset, int size)
{
	return json_pack("{s{sssisi}}", "payload", "base", "th", "offset",
			 offset, "len", size);
}

static json_t *meta(const char *key)
{
	return json_pack("{s{ss}}", "meta", "key", key);
}

static json_t *test(const char *op, json_t *left, json_t *right)
{
	return json_pack("{s{sssoso}}", "match", "op", op, "left", left,
			 "right", right);
}

static json_t *is(json_t *left, const char *right)
{
	return test("==", left, json_string(right));
}

static json_t *is_not(json_t *left, const char *right)
{
	return test("!=", left, json_string(right));
}

static json_t *is_number(json_t *left, int right)
{
	return test("==", left, json_integer(right));
}

static json_t *subnet4(const struct network *network)
{
	struct in_addr in = { htonl(network->net4) };
	char text[NET_ADDRESS];

	inet_ntop(AF_INET, &in, text, sizeof(text));
	return json_pack("{s{sssi}}", "prefix", "addr", text, "len",
			 (int)network->bits4);
}

static json_t *subnet6(const struct network *network)
{
	char text[NET_ADDRESS];

	inet_ntop(AF_INET6, &network->net6, text, sizeof(text));
	return json_pack("{s{sssi}}", "prefix", "addr", text, "len", 64);
}

static json_t *text4(uint32_t address)
{
	struct in_addr in = { htonl(address) };
	char text[NET_ADDRESS];

	inet_ntop(AF_INET, &in, text, sizeof(text));
	return json_string(text);
}

static json_t *text6(const struct in6_addr *address)
{
	char text[NET_ADDRESS];

	inet_ntop(AF_INET6, address, text, sizeof(text));
	return json_string(text);
}

/* Raw bytes as the number they are. */
static json_t *hex(const void *bytes, unsigned int count)
{
	char text[2 + 2 * 16 + 1] = "0x";

	for (unsigned int i = 0; i < count; i++)
		sprintf(text + 2 + 2 * i, "%02x", ((const uint8_t *)bytes)[i]);
	return json_string(text);
}

/* --- commands --------------------------------------------------------------------- */

static void command(struct rules *r, const char *verb, const char *kind,
		    json_t *object)
{
	json_object_set_new(object, "family", json_string(r->family));
	if (!json_object_get(object, "table"))
		json_object_set_new(object, strcmp(kind, "table") ? "table"
								  : "name",
				    json_string(r->fabric->table));
	json_array_append_new(r->list, json_pack("{s{so}}", verb, kind,
						 object));
}

static void chain(struct rules *r, const char *name)
{
	command(r, "add", "chain", json_pack("{ss}", "name", name));
}

static void hook(struct rules *r, const char *name, const char *type,
		 const char *where, int priority)
{
	command(r, "add", "chain",
		json_pack("{sssssssiss}", "name", name, "type", type, "hook",
			  where, "prio", priority, "policy", "accept"));
}

static void counter(struct rules *r, const char *owner, const char *why)
{
	command(r, "add", "counter",
		json_pack("{ss++}", "name", owner, "-", why));
}

/* The parts of the rule are an array that this takes. */
static void rule(struct rules *r, const char *chain_name, json_t *parts)
{
	command(r, "add", "rule",
		json_pack("{ssso}", "chain", chain_name, "expr", parts));
}

static json_t *verdict(const char *what)
{
	return json_pack("{sn}", what);
}

/* If all of `parts` hold: counted as `why`, and dropped. */
static void drop(struct rules *r, const char *chain_name, const char *owner,
		 const char *why, json_t *parts)
{
	json_array_append_new(parts, json_pack("{ss++}", "counter", owner, "-",
					       why));
	json_array_append_new(parts, verdict("drop"));
	rule(r, chain_name, parts);
}

static void accept_if(struct rules *r, const char *chain_name, json_t *parts)
{
	json_array_append_new(parts, verdict("accept"));
	rule(r, chain_name, parts);
}

static void return_if(struct rules *r, const char *chain_name, json_t *parts)
{
	json_array_append_new(parts, verdict("return"));
	rule(r, chain_name, parts);
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
	drop(r, p->chain, p->tap, "mac",
	     json_pack("[o]", is_not(payload("ether", "saddr"), p->mac)));
	drop(r, p->chain, p->tap, "mac",
	     json_pack("[o]", test("!=", payload("ether", "type"),
				   json_pack("{s[sss]}", "set", "ip", "ip6",
					     "arp"))));
}

static void check_arp(struct rules *r, const struct port *p)
{
	json_t *own = p->port->ip4 ? text4(p->port->ip4)
				   : subnet4(&r->fabric->network);

	drop(r, p->chain, p->tap, "arp",
	     json_pack("[o]", is_not(payload("arp", "saddr ether"), p->mac)));
	drop(r, p->chain, p->tap, "arp",
	     json_pack("[o]", test("!=", payload("arp", "saddr ip"),
				   json_pack("{s[so]}", "set", "0.0.0.0",
					     own))));
	if (!p->port->ip4)
		drop(r, p->chain, p->tap, "arp",
		     json_pack("[o]",
			       test("==", payload("arp", "saddr ip"),
				    json_pack("{s[oo]}", "set",
					      text4(network_router4(
						      &r->fabric->network)),
					      text4(network_names4(
						      &r->fabric->network))))));
	return_if(r, p->chain,
		  json_pack("[o]", is(payload("ether", "type"), "arp")));
}

static void check_ip4(struct rules *r, const struct port *p)
{
	const struct network *network = &r->fabric->network;

	/* A DHCP client has no address yet; nobody is a server. */
	return_if(r, p->chain,
		  json_pack("[ooo]", is(payload("ip", "saddr"), "0.0.0.0"),
			    is_number(payload("udp", "sport"), 68),
			    is_number(payload("udp", "dport"), 67)));
	drop(r, p->chain, p->tap, "ip",
	     json_pack("[oo]", is(payload("ether", "type"), "ip"),
		       is_number(payload("udp", "sport"), 67)));
	drop(r, p->chain, p->tap, "ip",
	     json_pack("[o]",
		       test("!=", payload("ip", "saddr"),
			    p->port->ip4 ? text4(p->port->ip4) :
			    network->has4 ? subnet4(network) :
					    json_string("0.0.0.0"))));
	if (!p->port->ip4 && network->has4)
		drop(r, p->chain, p->tap, "ip",
		     json_pack("[o]",
			       test("==", payload("ip", "saddr"),
				    json_pack("{s[oo]}", "set",
					      text4(network_router4(network)),
					      text4(network_names4(
						      network))))));
}

static json_t *own6(const struct rules *r, const struct port *p)
{
	return r->fabric->network.has6 ?
		       json_pack("{s[soo]}", "set", "::",
				 text6(&p->port->local6),
				 text6(&p->port->ip6)) :
		       json_pack("{s[so]}", "set", "::",
				 text6(&p->port->local6));
}

/* A message of that type whose option at `at` is another's address. */
static void check_option(struct rules *r, const struct port *p, int type,
			 int at, const char *kind)
{
	drop(r, p->chain, p->tap, "nd",
	     json_pack("[oooo]", is(meta("l4proto"), "ipv6-icmp"),
		       is_number(payload("icmpv6", "type"), type),
		       is(bits(at, 16), kind),
		       test("!=", bits(at + 16, 48), hex(p->port->mac, 6))));
}

static void check_nd(struct rules *r, const struct port *p)
{
	json_t *own = json_pack("{s[o]}", "set", hex(&p->port->local6, 16));

	if (r->fabric->network.has6)
		json_array_append_new(json_object_get(own, "set"),
				      hex(&p->port->ip6, 16));
	/* A router's messages are not a machine's. */
	drop(r, p->chain, p->tap, "nd",
	     json_pack("[oo]", is(meta("l4proto"), "ipv6-icmp"),
		       test("==", payload("icmpv6", "type"),
			    json_pack("{s[ii]}", "set", 134, 137))));
	drop(r, p->chain, p->tap, "nd",
	     json_pack("[oo]",
		       test("==", json_pack("{s{ss}}", "exthdr", "name",
					    "frag"), json_true()),
		       test("==", payload("icmpv6", "type"),
			    json_pack("{s[iiiii]}", "set", 133, 134, 135, 136,
				      137))));
	drop(r, p->chain, p->tap, "nd",
	     json_pack("[ooo]", is(meta("l4proto"), "ipv6-icmp"),
		       test("==", payload("icmpv6", "type"),
			    json_pack("{s[ii]}", "set", 135, 136)),
		       test("!=", payload("ip6", "length"),
			    json_pack("{s[ii]}", "set", 24, 32))));
	drop(r, p->chain, p->tap, "nd",
	     json_pack("[ooo]", is(meta("l4proto"), "ipv6-icmp"),
		       is_number(payload("icmpv6", "type"), 136),
		       test("!=", bits(ND_BITS, 128), own)));
	check_option(r, p, 133, 64, "0x0101");
	check_option(r, p, 135, 192, "0x0101");
	check_option(r, p, 136, 192, "0x0201");
}

static void check_ip6(struct rules *r, const struct port *p)
{
	drop(r, p->chain, p->tap, "ip",
	     json_pack("[o]", test("!=", payload("ip6", "saddr"),
				   own6(r, p))));
	drop(r, p->chain, p->tap, "ip",
	     json_pack("[oo]", is(payload("ether", "type"), "ip6"),
		       is_number(payload("udp", "sport"), 547)));
	check_nd(r, p);
}

static void add_port(struct rules *r, const struct fabric_port *port)
{
	static const char *const why[] = { "mac", "arp", "nd", "ip" };
	struct port p = { .port = port, .tap = port->tap };

	address_mac(p.mac, port->mac);
	snprintf(p.chain, sizeof(p.chain), "from-%.15s", port->tap);
	for (unsigned int i = 0; i < sizeof(why) / sizeof(why[0]); i++)
		counter(r, port->tap, why[i]);
	chain(r, p.chain);
	check_frame(r, &p);
	check_arp(r, &p);
	check_ip4(r, &p);
	check_ip6(r, &p);
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
		rule(r, from, json_pack("[{s{soso}}]", "vmap", "key",
					meta(key), "data",
					json_pack("{so}", "set", set)));
	else
		json_decref(set);
}

/* --- what is routed ------------------------------------------------------------------- */

static json_t *from(const struct rules *r)
{
	return is(meta("iifname"), r->fabric->bridge);
}

static json_t *towards(const struct rules *r)
{
	return is(meta("oifname"), r->fabric->bridge);
}

static json_t *answers(void)
{
	return test("in", json_pack("{s{ss}}", "ct", "key", "state"),
		    json_pack("[ss]", "established", "related"));
}

/* From here, from another network, to this one; each way in its chain. */
static void forwarding(struct rules *r)
{
	const enum network_kind kind = r->fabric->network.kind;

	/* Bridged frames come here too where br_netfilter is on. */
	accept_if(r, "forward", json_pack("[oo]", from(r), towards(r)));
	if (kind == NETWORK_ISOLATED) {
		drop(r, "forward", r->fabric->bridge, "out",
		     json_pack("[o]", from(r)));
		drop(r, "forward", r->fabric->bridge, "in",
		     json_pack("[o]", towards(r)));
		return;
	}
	drop(r, "forward", r->fabric->bridge, "other",
	     json_pack("[oo]", is(meta("iifname"), FABRIC_PREFIX "*"),
		       towards(r)));
	accept_if(r, "forward", json_pack("[oo]", towards(r), answers()));
	if (kind == NETWORK_NAT)
		drop(r, "forward", r->fabric->bridge, "in",
		     json_pack("[o]", towards(r)));
}

/* To this computer itself. */
static void input(struct rules *r)
{
	const struct network *network = &r->fabric->network;

	if (network->has4)
		drop(r, "input", r->fabric->bridge, "other",
		     json_pack("[ooo]", is(meta("iifname"), FABRIC_PREFIX "*"),
			       is_not(meta("iifname"), r->fabric->bridge),
			       test("==", payload("ip", "daddr"),
				    subnet4(network))));
	if (network->has6)
		drop(r, "input", r->fabric->bridge, "other",
		     json_pack("[ooo]", is(meta("iifname"), FABRIC_PREFIX "*"),
			       is_not(meta("iifname"), r->fabric->bridge),
			       test("==", payload("ip6", "daddr"),
				    subnet6(network))));
	if (network->kind != NETWORK_ISOLATED)
		return;
	accept_if(r, "input", json_pack("[oo]", from(r), answers()));
	accept_if(r, "input",
		  json_pack("[oo]", from(r),
			    test("==", meta("l4proto"),
				 json_pack("{s[ss]}", "set", "icmp",
					   "ipv6-icmp"))));
	accept_if(r, "input",
		  json_pack("[ooo]", from(r), is(meta("l4proto"), "udp"),
			    test("==", payload("udp", "dport"),
				 json_pack("{s[iii]}", "set", 53, 67, 547))));
	accept_if(r, "input",
		  json_pack("[oo]", from(r),
			    is_number(payload("tcp", "dport"), 53)));
	drop(r, "input", r->fabric->bridge, "out", json_pack("[o]", from(r)));
}

static void masquerade(struct rules *r)
{
	const struct network *network = &r->fabric->network;

	hook(r, "nat", "nat", "postrouting", 100);
	if (network->has4)
		rule(r, "nat",
		     json_pack("[ooo]", test("==", payload("ip", "saddr"),
					     subnet4(network)),
			       is_not(meta("oifname"), r->fabric->bridge),
			       verdict("masquerade")));
	if (network->has6)
		rule(r, "nat",
		     json_pack("[ooo]", test("==", payload("ip6", "saddr"),
					     subnet6(network)),
			       is_not(meta("oifname"), r->fabric->bridge),
			       verdict("masquerade")));
}

/* --- all of it --------------------------------------------------------------------------- */

/* The table is there, without rules. */
static void begin(struct rules *r, const char *family)
{
	r->family = family;
	command(r, "add", "table", json_object());
	command(r, "flush", "table", json_object());
}

static bool is_port(const struct fabric *fabric, const char *name)
{
	for (unsigned int i = 0; i < fabric->ports; i++)
		if (strstr(name, fabric->port[i].tap))
			return true;
	return false;
}

/* Chains and counters of machines that have left. */
static void forget(struct rules *r, const json_t *present)
{
	static const char *const kinds[] = { "chain", "counter" };
	const json_t *object, *of;
	size_t i;

	r->family = "bridge";
	json_array_foreach(json_object_get(present, "nftables"), i, object)
		for (unsigned int k = 0; k < 2; k++) {
			const char *name, *table, *family;

			of = json_object_get(object, kinds[k]);
			if (json_unpack((json_t *)of, "{ssssss}", "name",
					&name, "table", &table, "family",
					&family) ||
			    strcmp(family, "bridge") ||
			    strcmp(table, r->fabric->table) ||
			    json_object_get(of, "hook") ||
			    is_port(r->fabric, name))
				continue;
			command(r, "delete", kinds[k],
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
	struct rules r = { .list = json_array(), .fabric = fabric };

	begin(&r, "bridge");
	hook(&r, "prerouting", "filter", "prerouting", -400);
	for (unsigned int i = 0; i < fabric->ports; i++)
		add_port(&r, &fabric->port[i]);
	dispatch(&r, "prerouting", "iifname", "from-");
	forget(&r, present);

	begin(&r, "inet");
	for (unsigned int i = 0; i < sizeof(why) / sizeof(why[0]); i++)
		counter(&r, fabric->bridge, why[i]);
	hook(&r, "forward", "filter", "forward", 0);
	hook(&r, "input", "filter", "input", 0);
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
		command(&r, "add", "table", json_object());
		command(&r, "delete", "table", json_object());
	}
	return finish(&r);
}
