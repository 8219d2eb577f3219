/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that people give a machine (net/rule.h), as nft's. They are in the
 * table of the family bridge, where many kernels track no connections: so flows
 * that a rule has let pass are kept here, in sets whose elements end by
 * themselves, by the machine's address, the other side's, protocol and both
 * ports; what belongs to one passes both ways. Echoes go by the two addresses.
 *
 * What a machine needs to be on the network at all passes anyway: neighbour
 * discovery, multicast listener reports, DHCP, and questions to the network's
 * name server. That also puts the addresses of names into their sets, as it
 * answers (nftset of dnsmasq).
 */
#include <stdio.h>
#include <string.h>

#include "net/fabric_words.h"

#define FLOWS	   65536
#define FLOW_TIME  3600 /* s without a packet */

static const char *const versions[] = { "4", "6" };
static const char *const protocols[] = { "ip", "ip6" };
static const char *const echoes[] = { "icmp", "ipv6-icmp" };

/* --- flows --------------------------------------------------------------------------- */

/*
 * One that is there stays: nft makes it dynamic by itself for the rules that
 * fill it, and its JSON of some versions has no word for that, so that the same
 * set again would be another one.
 */
static void flow_set(struct rules *r, const char *name, const char *version,
		     bool ports)
{
	char set[16];
	json_t *types;

	snprintf(set, sizeof(set), "%s%s", name, version);
	if (words_has_set(r, set))
		return;
	types = json_pack("[s++s++]", "ipv", version, "_addr", "ipv",
				  version, "_addr");

	if (ports) {
		json_array_append_new(types, json_string("inet_proto"));
		json_array_append_new(types, json_string("inet_service"));
		json_array_append_new(types, json_string("inet_service"));
	}
	words_command(r, "add", "set",
		      json_pack("{sssos[s]sisi}", "name", set, "type", types,
			        "flags", "timeout",
				"timeout", FLOW_TIME, "size", FLOWS));
}

/* Both ends of a packet, the machine's first. */
static json_t *flow_of(const char *protocol, bool in, bool ports)
{
	const char *own = in ? "daddr" : "saddr";
	const char *other = in ? "saddr" : "daddr";
	json_t *parts = json_pack("[oo]", words_payload(protocol, own),
				  words_payload(protocol, other));

	if (ports) {
		json_array_append_new(parts, words_meta("l4proto"));
		json_array_append_new(parts, words_payload("th",
				      in ? "dport" : "sport"));
		json_array_append_new(parts, words_payload("th",
				      in ? "sport" : "dport"));
	}
	return json_pack("{so}", "concat", parts);
}

static json_t *with_ports(void)
{
	return words_test("==", words_meta("l4proto"),
			  json_pack("{s[ss]}", "set", "tcp", "udp"));
}

/* "keep-in": the packet's flow is known from now on. */
static void keep(struct rules *r, bool in)
{
	const char *chain = in ? "keep-in" : "keep-out";

	words_chain(r, chain);
	for (unsigned int i = 0; i < 2; i++) {
		words_rule(r, chain,
			   json_pack("[ooo]",
				     words_is(words_payload("ether", "type"),
					      protocols[i]),
				     with_ports(),
				     json_pack("{s{sssoss+}}", "set", "op",
					       "update", "elem",
					       flow_of(protocols[i], in, true),
					       "set", "@flows", versions[i])));
		words_rule(r, chain,
			   json_pack("[oo]",
				     words_is(words_meta("l4proto"),
					      echoes[i]),
				     json_pack("{s{sssoss+}}", "set", "op",
					       "update", "elem",
					       flow_of(protocols[i], in,
						       false),
					       "set", "@echoes",
					       versions[i])));
	}
	words_rule_ends(r, chain, "accept", json_array());
}

static json_t *go(const char *target)
{
	return json_pack("{s{ss}}", "goto", "target", target);
}

static json_t *in_set(json_t *flow, const char *set, const char *version)
{
	char name[16];

	snprintf(name, sizeof(name), "@%s%s", set, version);
	return words_is(flow, name);
}

/* "known-in": packets of flows that are; and what has no ports to look at. */
static void known(struct rules *r, bool in)
{
	const char *chain = in ? "known-in" : "known-out";
	const char *to = in ? "keep-in" : "keep-out";

	words_chain(r, chain);
	for (unsigned int i = 0; i < 2; i++) {
		words_rule(r, chain,
			   json_pack("[oooo]",
				     words_is(words_payload("ether", "type"),
					      protocols[i]),
				     with_ports(),
				     in_set(flow_of(protocols[i], in, true),
					    "flows", versions[i]), go(to)));
		words_rule(r, chain,
			   json_pack("[ooo]",
				     words_is(words_meta("l4proto"),
					      echoes[i]),
				     in_set(flow_of(protocols[i], in, false),
					    "echoes", versions[i]), go(to)));
	}
	words_rule_ends(r, chain, "accept",
			json_pack("[o]", words_is(words_payload("ether",
								"type"),
						  "arp")));
	words_rule_ends(r, chain, "accept",
			json_pack("[o]", words_test("==",
					words_payload("icmpv6", "type"),
					json_pack("{s[iiiiiii]}", "set", 131,
						  132, 133, 134, 135, 136,
						  143))));
	/* The rest of a packet whose first fragment may not have passed. */
	words_rule_ends(r, chain, "accept",
			json_pack("[o]",
				  words_test("!=",
				     json_pack("{s[oi]}", "&",
					       words_payload("ip", "frag-off"),
					       0x1fff), json_integer(0))));
	words_rule_ends(r, chain, "accept",
			json_pack("[o]",
				  words_test("!=",
				     json_pack("{s{ssss}}", "exthdr", "name",
					       "frag", "field", "frag-off"),
				     json_integer(0))));
}

void filter_begin(struct rules *r)
{
	for (unsigned int i = 0; i < 2; i++) {
		flow_set(r, "flows", versions[i], true);
		flow_set(r, "echoes", versions[i], false);
	}
	keep(r, false);
	keep(r, true);
	known(r, false);
	known(r, true);
}

/* --- one rule ---------------------------------------------------------------------------- */

static bool is_named(const struct rules *r, const struct fabric_port *port,
		     const char *name)
{
	size_t length = strlen(port->machine);

	return !strncasecmp(port->machine, name, length) &&
	       (!name[length] ||
		(name[length] == '.' &&
		 !strcasecmp(name + length + 1, r->fabric->network.domain)));
}

/* Machines of the network have their addresses from the beginning. */
static void add_machines(struct rules *r, const char *name, unsigned int six,
			 const char *set)
{
	for (unsigned int i = 0; i < r->fabric->ports; i++) {
		const struct fabric_port *port = &r->fabric->port[i];

		if (is_named(r, port, name) && (six || port->ip4))
			words_command(r, "add", "element",
				json_pack("{sss[o]}", "name", set, "elem",
					  six ? words_address6(&port->ip6) :
						words_address4(port->ip4)));
	}
}

/* Its packets' addresses of one family; NULL: it has none of that. */
static json_t *whom(struct rules *r, const struct rule *rule, unsigned int six)
{
	json_t *side = words_payload(protocols[six],
				     rule->in ? "saddr" : "daddr");
	char set[FABRIC_NAME];

	if (rule->whom == RULE_NET4 && !six)
		return words_test("==", side,
				  words_net4(rule->net4, rule->bits));
	if (rule->whom == RULE_NET6 && six)
		return words_test("==", side,
				  words_net6(&rule->net6, rule->bits));
	if (rule->whom == RULE_NAME) {
		char at[FABRIC_NAME + 1] = "@";

		fabric_name_set(rule->name, six, set);
		words_command(r, "add", "set",
			      json_pack("{ssss}", "name", set, "type",
					six ? "ipv6_addr" : "ipv4_addr"));
		add_machines(r, rule->name, six, set);
		strcat(at, set);
		return words_is(side, at);
	}
	json_decref(side);
	return rule->whom == RULE_ANYBODY ?
		       words_is(words_payload("ether", "type"),
				protocols[six]) : NULL;
}

static void add_protocol(json_t *parts, const struct rule *rule,
			 unsigned int six)
{
	static const char *const names[] = { "", "tcp", "udp" };

	if (rule->protocol == RULE_ICMP)
		json_array_append_new(parts, words_is(words_meta("l4proto"),
						      echoes[six]));
	else if (rule->first)
		json_array_append_new(parts, words_test("==",
			words_payload(names[rule->protocol], "dport"),
			json_pack("{s[ii]}", "range", rule->first,
				  rule->last)));
	else if (rule->protocol)
		json_array_append_new(parts, words_is(words_meta("l4proto"),
						names[rule->protocol]));
}

static void add_rule(struct rules *r, const char *chain,
		     const struct fabric_port *port, const struct rule *rule)
{
	for (unsigned int six = 0; six < 2; six++) {
		json_t *match = whom(r, rule, six), *parts;

		if (!match)
			continue;
		parts = json_pack("[o]", match);
		add_protocol(parts, rule, six);
		if (rule->allow) {
			json_array_append_new(parts, go(rule->in ? "keep-in" :
								   "keep-out"));
			words_rule(r, chain, parts);
		} else {
			words_drop(r, chain, port->tap,
				   rule->in ? "in" : "out", parts);
		}
	}
}

/* --- one machine --------------------------------------------------------------------------- */

/* DHCP and names, from and to the network itself. */
static void services(struct rules *r, const char *chain, bool in)
{
	const char *field = in ? "sport" : "dport";
	const struct network *network = &r->fabric->network;
	const struct in6_addr names6 = network_names6(network);

	words_rule_ends(r, chain, "accept",
			json_pack("[o]",
				  words_test("==", words_payload("udp", field),
					     json_pack("{s[ii]}", "set", 67,
						       547))));
	if (network->has4)
		words_rule_ends(r, chain, "accept",
			json_pack("[oo]",
				  words_test("==",
					words_payload("ip",
						      in ? "saddr" : "daddr"),
					words_address4(
						network_names4(network))),
				  words_is_number(words_payload("th", field),
						  53)));
	if (network->has6)
		words_rule_ends(r, chain, "accept",
			json_pack("[oo]",
				  words_test("==",
					words_payload("ip6",
						      in ? "saddr" : "daddr"),
					words_address6(&names6)),
				  words_is_number(words_payload("th", field),
						  53)));
}

static void direction(struct rules *r, const struct fabric_port *port,
		      const char *chain, bool in)
{
	const json_t *list = json_object_get(r->fabric->rules, port->machine);
	const json_t *text;
	struct net_error error;
	struct rule rule;
	bool any = false;
	size_t i;

	words_rule(r, chain,
		   json_pack("[{s{ss}}]", "jump", "target",
			     in ? "known-in" : "known-out"));
	services(r, chain, in);
	json_array_foreach(list, i, text) {
		if (!json_is_string(text) ||
		    rule_parse(&rule, json_string_value(text), &error) ||
		    rule.in != in)
			continue;
		add_rule(r, chain, port, &rule);
		any = true;
	}
	if (any)
		words_drop(r, chain, port->tap, in ? "in" : "out",
			   json_array());
	else
		words_rule(r, chain,
			   json_pack("[o]", go(in ? "keep-in" : "keep-out")));
}

void filter_port(struct rules *r, const struct fabric_port *port,
		 const char *from_chain)
{
	char to_chain[FABRIC_NAME];

	words_counter(r, port->tap, "out");
	words_counter(r, port->tap, "in");
	snprintf(to_chain, sizeof(to_chain), "to-%.15s", port->tap);
	words_chain(r, to_chain);
	if (!json_array_size(json_object_get(r->fabric->rules,
					     port->machine)))
		return;
	direction(r, port, from_chain, false);
	direction(r, port, to_chain, true);
}
