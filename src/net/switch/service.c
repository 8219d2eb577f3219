/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/service.h"

#include <string.h>
#include <strings.h>

#include "net/switch/dhcp.h"
#include "net/switch/dhcp6.h"
#include "net/switch/dns.h"
#include "net/switch/packet.h"

#define MESSAGE_MAX 1514u /* of what is for us */

/* As libslirp makes up its own. */
static void mac_of(uint8_t mac[NIC_MAC], uint32_t address)
{
	mac[0] = 0x52;
	mac[1] = 0x55;
	packet_put32(mac + 2, address);
}

/* A frame that was copied, with what it says. */
struct message {
	uint8_t bytes[MESSAGE_MAX];
	uint32_t size;
	bool six;
	const uint8_t *source, *target; /* addresses */
	uint32_t from, to;		/* UDP's ports */
	const uint8_t *payload;
	uint32_t payload_size;
};

/* --- what is it ------------------------------------------------------------------- */

/* A cheap look: UDP, in one piece, to one of these ports. */
static bool may_be_ours(const struct core_frame *frame)
{
	const uint8_t *head = frame->head;
	uint32_t type = packet_get16(head + 12), at, to;

	if (frame->nic.size > MESSAGE_MAX || frame->nic.cut)
		return false;
	if (type == PACKET_TYPE_IP4 &&
	    head[PACKET_ETHERNET + IP4_PROTOCOL] == PACKET_PROTOCOL_UDP)
		at = PACKET_ETHERNET + 4 * (head[PACKET_ETHERNET] & 15u);
	else if (type == PACKET_TYPE_IP6 &&
		 head[PACKET_ETHERNET + IP6_NEXT] == PACKET_PROTOCOL_UDP)
		at = PACKET_ETHERNET + PACKET_IP6;
	else
		return false;
	if (frame->head_size < at + PACKET_UDP ||
	    (type == PACKET_TYPE_IP4 &&
	     packet_get16(head + PACKET_ETHERNET + IP4_FRAGMENT) & 0x3fff))
		return false;
	to = packet_get16(head + at + 2);
	return to == PACKET_DNS || to == PACKET_DHCP_SERVER;
}

static bool read_message(const struct core_frame *frame, struct message *m)
{
	const uint8_t *ip = m->bytes + PACKET_ETHERNET, *udp;
	uint32_t length;

	m->size = frame->nic.size;
	core_read(frame, m->bytes, m->size);
	m->six = packet_get16(m->bytes + 12) == PACKET_TYPE_IP6;
	m->source = ip + (m->six ? (int)IP6_SOURCE : (int)IP4_SOURCE);
	m->target = ip + (m->six ? (int)IP6_TARGET : (int)IP4_TARGET);
	udp = ip + (m->six ? PACKET_IP6 : 4 * (ip[0] & 15u));
	length = packet_get16(udp + UDP_LENGTH);
	m->from = packet_get16(udp);
	m->to = packet_get16(udp + 2);
	m->payload = udp + PACKET_UDP;
	m->payload_size = length - PACKET_UDP;
	return length >= PACKET_UDP &&
	       length <= m->size - (uint32_t)(udp - m->bytes);
}

static bool is_names(const struct network *network, const struct message *m)
{
	const struct in6_addr six = network_names6(network);

	if (m->six)
		return network->has6 && !memcmp(m->target, &six, 16);
	return network->has4 &&
	       packet_get32(m->target) == network_names4(network);
}

/* --- DHCP --------------------------------------------------------------------------- */

static void answer_dhcp(struct core *core, unsigned int index,
			const struct message *m)
{
	static const uint8_t all[NIC_MAC] = { 255, 255, 255, 255, 255, 255 };
	const struct core_port *port = &core->port[index];
	const struct dhcp_client client = {
		.mac = port->mac,
		.lease = core->network->dhcp ? port->lease : 0,
		.name = port->machine,
	};
	uint8_t room[PACKET_HEADERS + DHCP_REPLY_MAX];
	uint8_t mac[NIC_MAC], server[4], target[4];
	struct packet_end from = { mac, server, PACKET_DHCP_SERVER };
	struct packet_end to = { port->mac, target, PACKET_DHCP_CLIENT };
	struct dhcp_reply reply;
	uint8_t *frame;
	uint32_t size;

	if (!dhcp_answer(core->network, &client, m->payload, m->payload_size,
			 &reply))
		return;
	if (reply.broadcast)
		to.mac = all;
	packet_put32(target, reply.broadcast ? UINT32_MAX : reply.target);
	packet_put32(server, network_names4(core->network));
	mac_of(mac, network_names4(core->network));
	memcpy(room + PACKET_HEADERS, reply.bytes, reply.size);
	frame = packet_udp(room, reply.size, false, &from, &to, &size);
	core_send(core, index, frame, size);
}

/* --- names --------------------------------------------------------------------------- */

static unsigned int find_hosts(void *ctx, const char *name,
			       struct dns_host host[DNS_ANSWERS_MAX])
{
	const struct core *core = ctx;
	unsigned int count = 0;

	for (unsigned int i = CORE_OWN + 1;
	     i < CORE_PORTS && count < DNS_ANSWERS_MAX; i++) {
		const struct core_port *port = &core->port[i];

		if (!port->used || strcasecmp(port->machine, name))
			continue;
		host[count].address = port->lease ? port->lease :
				      core->guard.port[i].bound4[0];
		host[count].six = guard_address6(&core->guard, i,
						 &host[count].address6);
		count++;
	}
	return count;
}

static const char *find_name(void *ctx, uint32_t address)
{
	const struct core *core = ctx;

	for (unsigned int i = CORE_OWN + 1; i < CORE_PORTS; i++)
		if (core->port[i].used && core->port[i].lease == address)
			return core->port[i].machine;
	return NULL;
}

/* False: another name server has to. */
static bool answer_dns(struct core *core, unsigned int index,
		       const struct message *m)
{
	const struct dns_zone zone = {
		.network = core->network,
		.find = find_hosts,
		.name = find_name,
		.ctx = core,
		.alone = core->network->kind != NETWORK_NAT,
	};
	const struct packet_end from = { m->bytes, m->target, PACKET_DNS };
	const struct packet_end to = { core->port[index].mac, m->source,
				       (uint16_t)m->from };
	uint8_t room[PACKET_HEADERS + DNS_MESSAGE_MAX];
	uint32_t size = dns_answer(&zone, m->payload, m->payload_size,
				   room + PACKET_HEADERS);
	uint8_t *frame;

	if (!size)
		return zone.alone;
	frame = packet_udp(room, size, m->six, &from, &to, &size);
	core_send(core, index, frame, size);
	return true;
}

bool service_input(struct core *core, unsigned int port,
		   const struct core_frame *frame)
{
	struct message m;

	if (!may_be_ours(frame) || !read_message(frame, &m))
		return false;
	if (m.to == PACKET_DHCP_SERVER && !m.six) {
		answer_dhcp(core, port, &m);
		return true;
	}
	return m.to == PACKET_DNS && is_names(core->network, &m) &&
	       answer_dns(core, port, &m);
}

/* --- in the place of a router ----------------------------------------------------------- */

struct host {
	struct core *core;
	unsigned int from;
	uint8_t *frame; /* answered in place */
	uint32_t size;
	uint8_t mac[NIC_MAC], address[4];
	struct in6_addr address6, local6;
};

static void send_back(const struct host *host, uint32_t size)
{
	memcpy(host->frame, host->core->port[host->from].mac, NIC_MAC);
	memcpy(host->frame + NIC_MAC, host->mac, NIC_MAC);
	core_send(host->core, host->from, host->frame, size);
}

static void host_arp(const struct host *host)
{
	uint8_t *arp = host->frame + PACKET_ETHERNET;

	if (host->size < PACKET_ETHERNET + PACKET_ARP ||
	    packet_get16(arp + ARP_OPERATION) != ARP_REQUEST ||
	    memcmp(arp + ARP_TARGET, host->address, 4))
		return;
	packet_put16(arp + ARP_OPERATION, ARP_REPLY);
	memcpy(arp + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, NIC_MAC + 4);
	memcpy(arp + ARP_SENDER_MAC, host->mac, NIC_MAC);
	memcpy(arp + ARP_SENDER, host->address, 4);
	send_back(host, PACKET_ETHERNET + PACKET_ARP);
}

static void host_ip4(const struct host *host)
{
	uint8_t *ip = host->frame + PACKET_ETHERNET;
	uint32_t header = 4 * (ip[0] & 15u), length;
	uint8_t *icmp = ip + header;

	if (host->size < PACKET_ETHERNET + PACKET_IP4)
		return;
	length = packet_get16(ip + IP4_LENGTH);
	if (header < PACKET_IP4 || length < header + 8 ||
	    length > host->size - PACKET_ETHERNET ||
	    ip[IP4_PROTOCOL] != PACKET_PROTOCOL_ICMP ||
	    packet_get16(ip + IP4_FRAGMENT) & 0x3fff ||
	    memcmp(ip + IP4_TARGET, host->address, 4) || icmp[0] != ICMP_ECHO)
		return;
	memcpy(ip + IP4_TARGET, ip + IP4_SOURCE, 4);
	memcpy(ip + IP4_SOURCE, host->address, 4);
	icmp[0] = ICMP_ECHO_REPLY;
	packet_put16(icmp + 2, 0);
	packet_put16(icmp + 2, ~packet_sum(icmp, length - header, 0));
	send_back(host, PACKET_ETHERNET + length);
}

/* To where the frame came from. */
static void send_icmp6(const struct host *host, const struct in6_addr *from,
		       uint32_t size)
{
	const uint8_t *ip = host->frame + PACKET_ETHERNET;
	static const uint8_t all[16] = { 0xff, 2, [15] = 1 };
	uint8_t to[16];
	const struct packet_end source = { host->mac, from->s6_addr, 0 };
	const struct packet_end target = { host->core->port[host->from].mac,
					   to, 0 };

	memcpy(to, ip + IP6_SOURCE, sizeof(to));
	if (!to[0]) /* from nowhere: to all */
		memcpy(to, all, sizeof(to));
	core_send(host->core, host->from, host->frame,
		  packet_icmp6(host->frame, size, &source, &target));
}

/* RFC 4861, 4.4. */
static void advertise(const struct host *host, uint8_t *icmp)
{
	struct in6_addr target;

	memcpy(&target, icmp + 8, sizeof(target));
	if (memcmp(&target, &host->address6, 16) &&
	    memcmp(&target, &host->local6, 16))
		return;
	icmp[0] = ICMP6_ADVERTISES;
	icmp[1] = 0;
	packet_put32(icmp + 4, 0x60000000); /* solicited, override */
	icmp[24] = ND_TARGET;
	icmp[25] = 1;
	memcpy(icmp + 26, host->mac, NIC_MAC);
	send_icmp6(host, &target, 32);
}

/* RFC 4861, 4.2: no router, but a prefix; and a name server (RFC 8106). */
static void advertise_subnet(const struct host *host, uint8_t *icmp)
{
	uint8_t *prefix = icmp + 16, *names = prefix + 32;

	memset(icmp, 0, 16 + 32 + 24);
	icmp[0] = ICMP6_ADVERTISES_ROUTER;
	icmp[4] = 64; /* hops */
	icmp[5] = 0x40; /* more is known by DHCPv6 */
	prefix[0] = 3;
	prefix[1] = 4;
	prefix[2] = 64;
	prefix[3] = 0xc0; /* on this link, to make addresses of */
	packet_put32(prefix + 4, UINT32_MAX);
	packet_put32(prefix + 8, UINT32_MAX);
	memcpy(prefix + 16, &host->core->network->net6, 16);
	names[0] = 25;
	names[1] = 3;
	packet_put32(names + 4, UINT32_MAX);
	memcpy(names + 8, &host->address6, 16);
	send_icmp6(host, &host->local6, 16 + 32 + 24);
}

static void host_dhcp6(const struct host *host, const uint8_t *udp,
		       uint32_t length)
{
	const uint8_t *source = udp - PACKET_IP6 + IP6_SOURCE;
	const struct packet_end from = { host->mac, host->local6.s6_addr,
					 PACKET_DHCP6_SERVER };
	const struct packet_end to = { host->core->port[host->from].mac,
				       source, DHCP6_PORT_CLIENT };
	uint8_t room[PACKET_HEADERS + DHCP6_REPLY_MAX], *frame;
	uint32_t size;

	if (packet_get16(udp + 2) != PACKET_DHCP6_SERVER ||
	    packet_get16(udp + UDP_LENGTH) > length ||
	    packet_get16(udp + UDP_LENGTH) < PACKET_UDP)
		return;
	size = dhcp6_answer(host->core->network, host->mac, udp + PACKET_UDP,
			    packet_get16(udp + UDP_LENGTH) - PACKET_UDP,
			    room + PACKET_HEADERS);
	if (!size)
		return;
	frame = packet_udp(room, size, true, &from, &to, &size);
	core_send(host->core, host->from, frame, size);
}

static void host_ip6(const struct host *host)
{
	uint8_t *ip = host->frame + PACKET_ETHERNET, *icmp = ip + PACKET_IP6;
	struct in6_addr target;
	uint32_t length;

	if (host->size < PACKET_ETHERNET + PACKET_IP6 + 8 ||
	    !host->core->network->has6)
		return;
	length = packet_get16(ip + IP6_LENGTH);
	memcpy(&target, ip + IP6_TARGET, sizeof(target));
	if (length < 8 ||
	    length > host->size - PACKET_ETHERNET - PACKET_IP6)
		return;
	if (ip[IP6_NEXT] == PACKET_PROTOCOL_UDP)
		host_dhcp6(host, icmp, length);
	if (ip[IP6_NEXT] != PACKET_PROTOCOL_ICMP6)
		return;
	if (icmp[0] == ICMP6_SOLICITS && length >= 24) {
		advertise(host, icmp);
	} else if (icmp[0] == ICMP6_SOLICITS_ROUTER) {
		advertise_subnet(host, icmp);
	} else if (icmp[0] == ICMP6_ECHO &&
		   (!memcmp(&target, &host->address6, 16) ||
		    !memcmp(&target, &host->local6, 16))) {
		icmp[0] = ICMP6_ECHO_REPLY;
		send_icmp6(host, &target, length);
	}
}

void service_host(struct core *core, unsigned int from, const uint8_t *bytes,
		  uint32_t size)
{
	const struct network *network = core->network;
	uint8_t frame[MESSAGE_MAX];
	struct host host = {
		.core = core,
		.from = from,
		.frame = frame,
		.size = size,
		.address6 = network_names6(network),
		.local6 = { { { 0xfe, 0x80, [15] = 2 } } },
	};

	if (size < PACKET_ETHERNET || size > sizeof(frame))
		return;
	/* Answers are longer by an option, and shorter than this. */
	memset(frame, 0, 256);
	memcpy(frame, bytes, size);
	mac_of(host.mac, network_names4(network));
	packet_put32(host.address, network_names4(network));
	switch (packet_get16(frame + 12)) {
	case PACKET_TYPE_ARP:
		if (network->has4)
			host_arp(&host);
		break;
	case PACKET_TYPE_IP4:
		if (network->has4)
			host_ip4(&host);
		break;
	case PACKET_TYPE_IP6:
		host_ip6(&host);
		break;
	default:
		break;
	}
}
