/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/guard.h"

#include <string.h>

#include "net/switch/packet.h"

#define EXTENSIONS_MAX 4

/* --- whose an address is -------------------------------------------------------- */

bool guard_has4(const struct guard *guard, unsigned int index,
		uint32_t address)
{
	const struct guard_port *port = &guard->port[index];

	for (unsigned int i = 0; i < GUARD_ADDRESSES; i++)
		if (port->bound4[i] == address)
			return address;
	return port->lease && port->lease == address;
}

static void note_change(struct guard_port *port, bool lost)
{
	port->changes++;
	port->lost += lost;
}

static bool may_use4(struct guard *guard, unsigned int index, uint32_t address)
{
	struct guard_port *port = &guard->port[index];

	if (guard->network->dhcp || port->lease)
		return port->lease && address == port->lease;
	if (guard_has4(guard, index, address))
		return true;
	if (!network_host4(guard->network, address))
		return false;
	for (unsigned int i = 0; i < GUARD_PORTS; i++)
		if (guard->port[i].used && guard_has4(guard, i, address))
			return false;
	note_change(port, port->bound4[port->next4 % GUARD_ADDRESSES]);
	port->bound4[port->next4++ % GUARD_ADDRESSES] = address;
	return true;
}

static bool is_zero6(const uint8_t *address)
{
	static const uint8_t zero[16];

	return !memcmp(address, zero, sizeof(zero));
}

static bool in_subnet6(const struct network *network, const uint8_t *address)
{
	return network->has6 && !memcmp(address, &network->net6, 8);
}

static bool is_local6(const uint8_t *address)
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

/* The first 256 hosts of each subnet are the network's own. */
static bool is_own6(const uint8_t *address)
{
	static const uint8_t zero[7];

	return !memcmp(address + 8, zero, sizeof(zero));
}

/* Made of a MAC: then it has to be this one. */
static bool is_others(const uint8_t *address, const uint8_t mac[NIC_MAC])
{
	uint8_t id[8];

	packet_interface_id(id, mac);
	return address[11] == 0xff && address[12] == 0xfe &&
	       memcmp(address + 8, id, sizeof(id));
}

static bool is_bound6(const struct guard_port *port, const uint8_t *address)
{
	for (unsigned int i = 0; i < GUARD_ADDRESSES; i++)
		if (!memcmp(&port->bound6[i], address, 16))
			return true;
	return false;
}

static bool may_use6(struct guard *guard, unsigned int index,
		     const uint8_t *address)
{
	struct guard_port *port = &guard->port[index];

	if (is_zero6(address))
		return false;
	if (is_bound6(port, address))
		return true;
	if ((!is_local6(address) && !in_subnet6(guard->network, address)) ||
	    is_own6(address) || is_others(address, port->mac))
		return false;
	for (unsigned int i = 0; i < GUARD_PORTS; i++)
		if (guard->port[i].used && is_bound6(&guard->port[i], address))
			return false;
	note_change(port, !is_zero6(port->bound6[port->next6 % GUARD_ADDRESSES]
					    .s6_addr));
	memcpy(&port->bound6[port->next6++ % GUARD_ADDRESSES], address, 16);
	return true;
}

bool guard_address6(const struct guard *guard, unsigned int index,
		    struct in6_addr *address)
{
	const struct guard_port *port = &guard->port[index];

	for (unsigned int i = 0; i < GUARD_ADDRESSES; i++) {
		*address = port->bound6[i];
		if (in_subnet6(guard->network, address->s6_addr))
			return true;
	}
	return false;
}

void guard_claims(const struct guard *guard, unsigned int index,
		  struct claims *claims)
{
	const struct guard_port *port = &guard->port[index];

	*claims = (struct claims){ .address4 = { port->lease } };
	memcpy(claims->mac, port->mac, NIC_MAC);
	if (!guard->network->dhcp && !port->lease)
		memcpy(claims->address4, port->bound4, sizeof(port->bound4));
	memcpy(claims->address6, port->bound6, sizeof(port->bound6));
}

/* --- frames ---------------------------------------------------------------------- */

struct check {
	struct guard *guard;
	unsigned int port;
	const uint8_t *head;
	uint32_t size; /* of `head` */
};

static const struct guard_port *port_of(const struct check *check)
{
	return &check->guard->port[check->port];
}

/* RFC 826. */
static bool check_arp(const struct check *check)
{
	static const uint8_t kind[] = { 0, 1, 8, 0, NIC_MAC, 4, 0 };
	const uint8_t *arp = check->head + PACKET_ETHERNET;
	uint32_t sender;

	if (check->size < PACKET_ETHERNET + PACKET_ARP ||
	    memcmp(arp, kind, sizeof(kind)) || !arp[ARP_OPERATION + 1] ||
	    arp[ARP_OPERATION + 1] > ARP_REPLY ||
	    memcmp(arp + ARP_SENDER_MAC, port_of(check)->mac, NIC_MAC))
		return false;
	sender = packet_get32(arp + ARP_SENDER);
	/* A probe has none (RFC 5227). */
	return sender ? may_use4(check->guard, check->port, sender)
		      : arp[ARP_OPERATION + 1] == ARP_REQUEST;
}

/* UDP's ports when the packet has them here; 0 and 0 otherwise. */
static void ports_of(const struct check *check, uint32_t at, uint32_t *from,
		     uint32_t *to)
{
	*from = *to = 0;
	if (check->size < at + PACKET_UDP)
		return;
	*from = packet_get16(check->head + at);
	*to = packet_get16(check->head + at + 2);
}

static bool check_ip4(const struct check *check)
{
	const uint8_t *ip = check->head + PACKET_ETHERNET;
	uint32_t source, from = 0, to = 0;

	if (check->size < PACKET_ETHERNET + PACKET_IP4 || ip[0] >> 4 != 4 ||
	    (ip[0] & 15) < 5)
		return false;
	source = packet_get32(ip + IP4_SOURCE);
	if (ip[IP4_PROTOCOL] == PACKET_PROTOCOL_UDP &&
	    !(packet_get16(ip + IP4_FRAGMENT) & 0x1fff))
		ports_of(check, PACKET_ETHERNET + 4 * (ip[0] & 15u), &from,
			 &to);
	if (from == PACKET_DHCP_SERVER)
		return false;
	if (!source) /* a client that has none yet */
		return to == PACKET_DHCP_SERVER &&
		       packet_get32(ip + IP4_TARGET) == UINT32_MAX;
	return may_use4(check->guard, check->port, source);
}

/* The link-layer address options of a neighbour message (RFC 4861, 4.6). */
static bool check_options(const struct check *check, uint32_t at)
{
	while (at < check->size) {
		const uint8_t *option = check->head + at;
		uint32_t size;

		if (at + 2 > check->size || !option[1])
			return false;
		size = 8u * option[1];
		if (at + size > check->size)
			return false;
		if ((option[0] == ND_SOURCE || option[0] == ND_TARGET) &&
		    (size != 8 ||
		     memcmp(option + 2, port_of(check)->mac, NIC_MAC)))
			return false;
		at += size;
	}
	return true;
}

static bool check_icmp6(const struct check *check, uint32_t at, bool unset)
{
	const uint8_t *icmp = check->head + at;
	const uint8_t *ip = check->head + PACKET_ETHERNET;
	bool solicits;

	if (check->size < at + 4)
		return false;
	switch (icmp[0]) {
	case ICMP6_ADVERTISES_ROUTER:
	case ICMP6_REDIRECT:
		return false;
	case ICMP6_SOLICITS_ROUTER:
		return check_options(check, at + 8);
	case ICMP6_SOLICITS:
	case ICMP6_ADVERTISES:
		break;
	default:
		/* Only reports of groups come from nowhere. */
		return !unset || icmp[0] == ICMP6_GROUP_REPORT;
	}
	solicits = icmp[0] == ICMP6_SOLICITS;
	if (check->size < at + 24 || ip[IP6_HOPS] != 255 ||
	    !check_options(check, at + 24))
		return false;
	if (solicits && unset) /* is it free? Then it becomes this port's. */
		may_use6(check->guard, check->port, icmp + 8);
	return solicits || (!unset && may_use6(check->guard, check->port,
					       icmp + 8));
}

static bool check_ip6(const struct check *check)
{
	const uint8_t *ip = check->head + PACKET_ETHERNET;
	uint32_t at = PACKET_ETHERNET + PACKET_IP6, from, to;
	bool unset, whole = true;
	uint8_t next;

	if (check->size < at || ip[0] >> 4 != 6)
		return false;
	unset = is_zero6(ip + IP6_SOURCE);
	if (!unset && !may_use6(check->guard, check->port, ip + IP6_SOURCE))
		return false;
	next = ip[IP6_NEXT];
	for (unsigned int i = 0; packet_is_extension(next); i++) {
		const bool fragment = next == PACKET_PROTOCOL_FRAGMENT;
		const uint8_t *extension = check->head + at;

		if (i == EXTENSIONS_MAX || at + 8 > check->size)
			return false;
		next = extension[0];
		if (fragment) {
			whole = false;
			if (packet_get16(extension + 2) & 0xfff8)
				return !unset && next != PACKET_PROTOCOL_ICMP6;
		}
		at += fragment ? 8 : 8u * extension[1] + 8;
	}
	if (next == PACKET_PROTOCOL_ICMP6)
		/* A neighbour message has no fragments (RFC 6980). */
		return whole ? check_icmp6(check, at, unset)
			     : check->size > at && check->head[at] < 133;
	if (next == PACKET_PROTOCOL_UDP) {
		ports_of(check, at, &from, &to);
		if (from == PACKET_DHCP6_SERVER)
			return false;
	}
	return !unset;
}

bool guard_check(struct guard *guard, unsigned int port, const uint8_t *head,
		 uint32_t head_size)
{
	const struct check check = { guard, port, head, head_size };

	if (head_size < PACKET_ETHERNET ||
	    memcmp(head + NIC_MAC, guard->port[port].mac, NIC_MAC))
		return false;
	switch (packet_get16(head + 12)) {
	case PACKET_TYPE_ARP:
		return check_arp(&check);
	case PACKET_TYPE_IP4:
		return check_ip4(&check);
	case PACKET_TYPE_IP6:
		return check_ip6(&check);
	default:
		return false;
	}
}
