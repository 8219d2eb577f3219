/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/filter.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/switch/core.h"
#include "net/switch/dns.h"
#include "net/switch/packet.h"

#define EXTENSIONS_MAX 4
#define SETS	       (FILTER_FLOWS / FILTER_WAYS)

/* --- rules ------------------------------------------------------------------------ */

static struct filter_name *find_name(const struct filter *filter,
				     const char *name)
{
	for (unsigned int i = 0; i < filter->names; i++)
		if (!strcmp(filter->name[i]->name, name))
			return filter->name[i];
	return NULL;
}

/* Its addresses are noted from now on. */
static void add_name(struct filter *filter, const char *name)
{
	struct filter_name *new;

	if (find_name(filter, name) || filter->names == FILTER_NAMES)
		return;
	new = calloc(1, sizeof(*new));
	if (!new)
		return;
	strcpy(new->name, name);
	filter->name[filter->names++] = new;
}

static void take_rules(struct filter *filter, struct filter_port *port,
		       const json_t *list)
{
	struct net_error error;
	const json_t *text;
	struct rule rule;
	size_t i;

	port->count = 0;
	port->any[0] = port->any[1] = false;
	json_array_foreach(list, i, text) {
		if (port->count == RULES_MAX || !json_is_string(text) ||
		    rule_parse(&rule, json_string_value(text), &error)) {
			port->any[0] = port->any[1] = true;
			continue;
		}
		port->any[rule.in] = true;
		port->rule[port->count++] = rule;
		if (rule.whom == RULE_NAME)
			add_name(filter, rule.name);
	}
}

void filter_plug(struct core *core, unsigned int index)
{
	struct filter *filter = &core->filter;
	const json_t *list = json_object_get(filter->all,
					     core->port[index].machine);

	if (!json_array_size(list)) {
		filter_unplug(core, index);
		return;
	}
	if (!filter->port[index])
		filter->port[index] = calloc(1, sizeof(struct filter_port));
	core->port[index].closed = !filter->port[index];
	if (filter->port[index])
		take_rules(filter, filter->port[index], list);
}

void filter_unplug(struct core *core, unsigned int index)
{
	free(core->filter.port[index]);
	core->filter.port[index] = NULL;
	core->port[index].closed = false;
}

void filter_set(struct core *core, json_t *all)
{
	json_decref(core->filter.all);
	core->filter.all = all;
	for (unsigned int i = CORE_OWN + 1; i < CORE_PORTS; i++)
		if (core->port[i].used)
			filter_plug(core, i);
}

void filter_end(struct core *core)
{
	struct filter *filter = &core->filter;

	for (unsigned int i = 0; i < GUARD_PORTS; i++)
		filter_unplug(core, i);
	while (filter->names)
		free(filter->name[--filter->names]);
	json_decref(filter->all);
	filter->all = NULL;
}

/* --- packets ------------------------------------------------------------------------ */

struct packet {
	struct filter_flow flow; /* without a time */
	bool six;
	bool rest;  /* of a packet: no ports here */
	bool ports; /* TCP or UDP, and they are known */
	uint8_t icmp; /* the type, of ICMP */
	bool has_icmp;
};

static void put4(struct in6_addr *to, const uint8_t *address)
{
	memset(to, 0, sizeof(*to));
	to->s6_addr[10] = to->s6_addr[11] = 0xff;
	memcpy(to->s6_addr + 12, address, 4);
}

/* What is behind the IP header, if it is there. */
static void read_carried(struct packet *p, const uint8_t *head, uint32_t size,
			 uint32_t at, bool in)
{
	const uint8_t protocol = p->flow.protocol;
	uint16_t from, to;

	if (p->rest)
		return;
	if (protocol == PACKET_PROTOCOL_ICMP ||
	    protocol == PACKET_PROTOCOL_ICMP6) {
		p->has_icmp = at < size;
		p->icmp = p->has_icmp ? head[at] : 0;
		return;
	}
	if ((protocol != PACKET_PROTOCOL_TCP &&
	     protocol != PACKET_PROTOCOL_UDP) || at + 4 > size)
		return;
	p->ports = true;
	from = (uint16_t)packet_get16(head + at);
	to = (uint16_t)packet_get16(head + at + 2);
	p->flow.own_port = in ? to : from;
	p->flow.other_port = in ? from : to;
}

static bool read_ip4(struct packet *p, const uint8_t *head, uint32_t size,
		     bool in)
{
	const uint8_t *ip = head + PACKET_ETHERNET;

	if (size < PACKET_ETHERNET + PACKET_IP4)
		return false;
	put4(&p->flow.own, ip + (in ? (int)IP4_TARGET : (int)IP4_SOURCE));
	put4(&p->flow.other, ip + (in ? (int)IP4_SOURCE : (int)IP4_TARGET));
	p->flow.protocol = ip[IP4_PROTOCOL];
	p->rest = packet_get16(ip + IP4_FRAGMENT) & 0x1fff;
	read_carried(p, head, size, PACKET_ETHERNET + 4 * (ip[0] & 15u), in);
	return true;
}

static bool read_ip6(struct packet *p, const uint8_t *head, uint32_t size,
		     bool in)
{
	const uint8_t *ip = head + PACKET_ETHERNET;
	uint32_t at = PACKET_ETHERNET + PACKET_IP6;
	uint8_t next;

	if (size < at)
		return false;
	p->six = true;
	memcpy(&p->flow.own, ip + (in ? (int)IP6_TARGET : (int)IP6_SOURCE), 16);
	memcpy(&p->flow.other, ip + (in ? (int)IP6_SOURCE : (int)IP6_TARGET),
	       16);
	next = ip[IP6_NEXT];
	for (unsigned int i = 0; packet_is_extension(next) && !p->rest; i++) {
		const bool fragment = next == PACKET_PROTOCOL_FRAGMENT;

		if (i == EXTENSIONS_MAX || at + 8 > size)
			return false;
		next = head[at];
		p->rest = fragment && packet_get16(head + at + 2) & 0xfff8;
		at += fragment ? 8 : 8u * head[at + 1] + 8;
	}
	p->flow.protocol = next;
	read_carried(p, head, size, at, in);
	return true;
}

/* --- flows --------------------------------------------------------------------------- */

static bool is_echo(const struct packet *p)
{
	return p->flow.protocol == (p->six ? PACKET_PROTOCOL_ICMP6
					   : PACKET_PROTOCOL_ICMP);
}

static bool has_flow(const struct packet *p)
{
	return p->ports || is_echo(p);
}

static bool same_flow(const struct filter_flow *a, const struct filter_flow *b)
{
	return a->protocol == b->protocol && a->own_port == b->own_port &&
	       a->other_port == b->other_port &&
	       !memcmp(&a->own, &b->own, sizeof(a->own)) &&
	       !memcmp(&a->other, &b->other, sizeof(a->other));
}

/* FNV-1a: which set of the table. */
static struct filter_flow *set_of(struct filter_port *port,
				  const struct filter_flow *flow)
{
	const uint32_t ports = (uint32_t)flow->own_port << 16 |
			       flow->other_port;
	uint32_t hash = 0x811c9dc5u;

	for (unsigned int i = 0; i < 16; i++) {
		hash = (hash ^ flow->own.s6_addr[i]) * 0x01000193u;
		hash = (hash ^ flow->other.s6_addr[i]) * 0x01000193u;
	}
	for (unsigned int i = 0; i < 32; i += 8)
		hash = (hash ^ (ports >> i & 255)) * 0x01000193u;
	hash = (hash ^ flow->protocol) * 0x01000193u;
	return port->flow[(hash ^ hash >> 16) % SETS];
}

static bool is_known(struct filter_port *port, const struct packet *p,
		     uint64_t now)
{
	struct filter_flow *set = set_of(port, &p->flow);

	for (unsigned int i = 0; i < FILTER_WAYS; i++)
		if (same_flow(&set[i], &p->flow) &&
		    now - set[i].seen <= FILTER_TIME) {
			set[i].seen = now;
			return true;
		}
	return false;
}

/* In the place of one that is over, or has rested longest. */
static void keep(struct filter_port *port, const struct packet *p,
		 uint64_t now)
{
	struct filter_flow *set = set_of(port, &p->flow), *place = set;

	for (unsigned int i = 0; i < FILTER_WAYS; i++) {
		if (!set[i].protocol || same_flow(&set[i], &p->flow)) {
			place = &set[i];
			break;
		}
		if (set[i].seen < place->seen)
			place = &set[i];
	}
	*place = p->flow;
	place->seen = now;
}

/* --- which rule fits ------------------------------------------------------------------- */

static uint32_t get4(const struct in6_addr *address)
{
	return packet_get32(address->s6_addr + 12);
}

static bool has_prefix(const struct in6_addr *address,
		       const struct in6_addr *net, unsigned int bits)
{
	const unsigned int bytes = bits / 8, rest = bits % 8;

	return !memcmp(address, net, bytes) &&
	       (!rest || !((address->s6_addr[bytes] ^ net->s6_addr[bytes]) >>
			   (8 - rest)));
}

/* MACHINE or MACHINE.DOMAIN. */
static bool is_machine(const struct core *core, const char *machine,
		       const char *name)
{
	size_t length = strlen(machine);

	return !strncasecmp(machine, name, length) &&
	       (!name[length] ||
		(name[length] == '.' &&
		 !strcasecmp(name + length + 1, core->network->domain)));
}

static bool owns(const struct core *core, unsigned int index,
		 const struct packet *p)
{
	const struct guard_port *port = &core->guard.port[index];

	for (unsigned int i = 0; i < GUARD_ADDRESSES; i++)
		if (p->six ? !memcmp(&port->bound6[i], &p->flow.other, 16) :
			     port->bound4[i] &&
				     port->bound4[i] == get4(&p->flow.other))
			return true;
	return !p->six && port->lease && port->lease == get4(&p->flow.other);
}

static bool is_named(const struct core *core, const struct packet *p,
		     const char *name)
{
	const struct filter_name *known = find_name(&core->filter, name);

	for (unsigned int i = 0; known && i < known->count; i++)
		if (!memcmp(&known->address[i], &p->flow.other, 16))
			return true;
	for (unsigned int i = CORE_OWN + 1; i < CORE_PORTS; i++)
		if (core->port[i].used &&
		    is_machine(core, core->port[i].machine, name) &&
		    owns(core, i, p))
			return true;
	return false;
}

static bool fits(const struct core *core, const struct rule *rule,
		 const struct packet *p, bool in)
{
	const uint16_t port = in ? p->flow.own_port : p->flow.other_port;
	static const uint8_t protocols[] = { [RULE_TCP] = PACKET_PROTOCOL_TCP,
					     [RULE_UDP] = PACKET_PROTOCOL_UDP };

	if (rule->in != in)
		return false;
	if (rule->protocol == RULE_ICMP ? !is_echo(p) :
	    rule->protocol && p->flow.protocol != protocols[rule->protocol])
		return false;
	if (rule->first &&
	    (!p->ports || port < rule->first || port > rule->last))
		return false;
	switch (rule->whom) {
	case RULE_NET4:
		return !p->six &&
		       (!rule->bits || !((get4(&p->flow.other) ^ rule->net4) >>
					 (32 - rule->bits)));
	case RULE_NET6:
		return p->six &&
		       has_prefix(&p->flow.other, &rule->net6, rule->bits);
	case RULE_NAME:
		return is_named(core, p, rule->name);
	case RULE_ANYBODY:
		break;
	}
	return true;
}

/* Without which a machine is not on the network. */
static bool is_service(const struct core *core, const struct packet *p)
{
	const struct network *network = core->network;
	const struct in6_addr names6 = network_names6(network);

	if (p->six && p->has_icmp &&
	    (p->icmp == ICMP6_GROUP_REPORT ||
	     (p->icmp >= 131 && p->icmp <= ICMP6_ADVERTISES)))
		return true;
	if (!p->ports)
		return false;
	if (p->flow.protocol == PACKET_PROTOCOL_UDP &&
	    (p->flow.other_port == PACKET_DHCP_SERVER ||
	     p->flow.other_port == PACKET_DHCP6_SERVER))
		return true;
	if (p->flow.other_port != PACKET_DNS)
		return false;
	return p->six ? network->has6 &&
				!memcmp(&p->flow.other, &names6, 16) :
			network->has4 && get4(&p->flow.other) ==
						 network_names4(network);
}

bool filter_pass(struct core *core, unsigned int index, bool in,
		 const uint8_t *head, uint32_t size, uint64_t now)
{
	struct filter_port *port = core->filter.port[index];
	const uint32_t type = packet_get16(head + 12);
	struct packet p = { 0 };
	bool pass;

	if (!port || type == PACKET_TYPE_ARP)
		return !core->port[index].closed;
	if (!(type == PACKET_TYPE_IP4 ? read_ip4(&p, head, size, in) :
	      type == PACKET_TYPE_IP6 && read_ip6(&p, head, size, in)))
		return false;
	if (p.rest || is_service(core, &p) ||
	    (has_flow(&p) && is_known(port, &p, now)))
		return true;
	pass = !port->any[in];
	for (unsigned int i = 0; i < port->count; i++)
		if (fits(core, &port->rule[i], &p, in)) {
			pass = port->rule[i].allow;
			break;
		}
	if (pass && has_flow(&p))
		keep(port, &p, now);
	return pass;
}

/* --- names ---------------------------------------------------------------------------- */

/* NAME, or one below it. */
static bool is_below(const char *name, const char *above)
{
	size_t length = strlen(name), tail = strlen(above);

	return length >= tail && !strcasecmp(name + length - tail, above) &&
	       (length == tail || name[length - tail - 1] == '.');
}

static void note(void *ctx, const char *name, const struct in6_addr *address)
{
	struct filter *filter = ctx;

	for (unsigned int i = 0; i < filter->names; i++) {
		struct filter_name *known = filter->name[i];
		bool there = false;

		if (!is_below(name, known->name))
			continue;
		for (unsigned int k = 0; k < known->count; k++)
			there = there || !memcmp(&known->address[k], address,
						 sizeof(*address));
		if (there)
			continue;
		known->address[known->next++ % FILTER_ADDRESSES] = *address;
		if (known->count < FILTER_ADDRESSES)
			known->count++;
	}
}

void filter_learn(struct core *core, const uint8_t *frame, uint32_t size)
{
	const uint32_t type = packet_get16(frame + 12);
	const uint8_t *ip = frame + PACKET_ETHERNET;
	struct packet p = { 0 };
	uint32_t at;

	if (!core->filter.names ||
	    !(type == PACKET_TYPE_IP4 ? read_ip4(&p, frame, size, true) :
	      type == PACKET_TYPE_IP6 && read_ip6(&p, frame, size, true)) ||
	    !p.ports || p.flow.protocol != PACKET_PROTOCOL_UDP ||
	    p.flow.other_port != PACKET_DNS || !is_service(core, &p))
		return;
	at = PACKET_ETHERNET + PACKET_UDP +
	     (p.six ? PACKET_IP6 : 4 * (ip[0] & 15u));
	if (at < size && (!p.six || ip[IP6_NEXT] == PACKET_PROTOCOL_UDP))
		dns_addresses(frame + at, size - at, note, &core->filter);
}
