/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch between four ports: who gets which frame, what a port may say, how
 * much of it, and what the switch answers itself.
 */
#include <errno.h>
#include <string.h>

#include "core_rig.h"
#include "net/switch/packet.h"
#include "net/switch/service.h"

#define PORTS 4u

struct got {
	unsigned int frames;
	uint32_t size;
	uint8_t last[2048];
};

static struct got got[PORTS];
static unsigned int port[PORTS]; /* 0: the network's own */
static uint64_t now;
static const uint8_t all[NIC_MAC] = { 255, 255, 255, 255, 255, 255 };
static const uint8_t names_mac[NIC_MAC] = { 0x52, 0x55, 10, 1, 0, 2 };

static bool give(void *ctx, const struct core_frame *frame)
{
	struct got *g = ctx;

	g->frames++;
	g->size = frame->nic.size;
	core_read(frame, g->last,
		  g->size < sizeof(g->last) ? g->size : sizeof(g->last));
	return true;
}

/* The network's own port answers, as where there is no router. */
static bool give_own(void *ctx, const struct core_frame *frame)
{
	uint8_t bytes[2048];

	give(&got[0], frame);
	core_read(frame, bytes, frame->nic.size);
	service_host(core, port[1], bytes, frame->nic.size);
	return true;
}

static const char *const names[PORTS] = { "", "One", "two", "two" };

static int plug(const uint8_t *mac, const char *machine, uint32_t address,
		uint16_t vlan, struct got *to)
{
	const struct core_card card = { .mac = mac,
					.machine = machine,
					.address = address,
					.vlan = vlan,
					.give = give,
					.ctx = to };

	return core_plug(core, &card);
}

static void build(const char *dhcp, const char *kind)
{
	const char *const more[] = { "subnet", "fd00:1::/64", "dhcp", dhcp,
				     "kind", kind, NULL };

	core_rig_build(more, give_own, NULL);
	memset(got, 0, sizeof(got));
	now = 1000;
	for (unsigned int i = 1; i < PORTS; i++)
		port[i] = core_rig_plug(i, names[i], give, &got[i]);
}

static int setup(void **state)
{
	build("10.1.0.100-10.1.0.103", "isolated");
	return 0;
}

static uint32_t lease(unsigned int n)
{
	return 0x0a010000 + 99 + n;
}

static void forget(void)
{
	memset(got, 0, sizeof(got));
}

static void input(unsigned int from, uint8_t *frame, uint32_t size)
{
	/* Only so much of it is the switch's own. */
	uint32_t head = size < GUARD_HEAD ? size : GUARD_HEAD;
	const struct core_frame f = {
		.nic = { .size = size },
		.head = frame,
		.head_size = head,
		.rest = frame + head,
	};

	core_input(core, port[from], &f, now);
}

static unsigned int refused(unsigned int n)
{
	return (unsigned int)core->port[port[n]].refused;
}

/* --- frames ------------------------------------------------------------------- */

static uint32_t ethernet(uint8_t *frame, unsigned int from, const uint8_t *to,
			 uint32_t type)
{
	memset(frame, 0, 512);
	memcpy(frame, to, NIC_MAC);
	mac_of(frame + NIC_MAC, from);
	packet_put16(frame + 12, type);
	return PACKET_ETHERNET;
}

static uint32_t make_ip4(uint8_t *frame, unsigned int from, const uint8_t *to,
			 uint32_t source, uint32_t target)
{
	uint8_t *ip = frame + ethernet(frame, from, to, PACKET_TYPE_IP4);

	ip[0] = 0x45;
	packet_put16(ip + IP4_LENGTH, 100);
	ip[IP4_PROTOCOL] = 6;
	packet_put32(ip + IP4_SOURCE, source);
	packet_put32(ip + IP4_TARGET, target);
	return 114;
}

static uint32_t make_arp(uint8_t *frame, unsigned int from, uint32_t sender,
			 uint32_t target, unsigned int operation)
{
	static const uint8_t kind[] = { 0, 1, 8, 0, 6, 4, 0 };
	uint8_t *arp = frame + ethernet(frame, from, all, PACKET_TYPE_ARP);

	memcpy(arp, kind, sizeof(kind));
	arp[ARP_OPERATION + 1] = (uint8_t)operation;
	mac_of(arp + ARP_SENDER_MAC, from);
	packet_put32(arp + ARP_SENDER, sender);
	packet_put32(arp + ARP_TARGET, target);
	return PACKET_ETHERNET + PACKET_ARP;
}

static const uint8_t *address6(unsigned int n, bool local)
{
	static uint8_t address[16];
	uint8_t mac[NIC_MAC];

	memset(address, 0, sizeof(address));
	if (local)
		memcpy(address, (const uint8_t[]){ 0xfe, 0x80 }, 2);
	else
		memcpy(address, &network.net6, 8);
	mac_of(mac, n);
	packet_interface_id(address + 8, mac);
	return address;
}

static uint32_t make_icmp6(uint8_t *frame, unsigned int from, uint8_t type,
			   const uint8_t *source, const uint8_t *target)
{
	uint8_t *ip = frame + ethernet(frame, from, all, PACKET_TYPE_IP6);

	frame[0] = 0x33;
	ip[0] = 0x60;
	packet_put16(ip + IP6_LENGTH, 24);
	ip[IP6_NEXT] = PACKET_PROTOCOL_ICMP6;
	ip[IP6_HOPS] = 255;
	if (source)
		memcpy(ip + IP6_SOURCE, source, 16);
	memcpy(ip + IP6_TARGET, "\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	ip[PACKET_IP6] = type;
	if (target)
		memcpy(ip + PACKET_IP6 + 8, target, 16);
	return PACKET_ETHERNET + PACKET_IP6 + 24;
}

static uint32_t make_udp(uint8_t *frame, unsigned int from, uint32_t source,
			 uint32_t target, uint16_t to, const void *payload,
			 uint32_t size)
{
	uint8_t *udp = frame + PACKET_ETHERNET + PACKET_IP4;

	make_ip4(frame, from, names_mac, source, target);
	frame[PACKET_ETHERNET + IP4_PROTOCOL] = PACKET_PROTOCOL_UDP;
	packet_put16(udp, 1024);
	packet_put16(udp + 2, to);
	packet_put16(udp + UDP_LENGTH, PACKET_UDP + size);
	memcpy(udp + PACKET_UDP, payload, size);
	return PACKET_ETHERNET + PACKET_IP4 + PACKET_UDP + size;
}

/* --- tests ---------------------------------------------------------------------- */

static void test_learning(void **state)
{
	uint8_t frame[512], mac[NIC_MAC];
	uint32_t size;

	/* Not known yet: all get it. */
	mac_of(mac, 2);
	size = make_ip4(frame, 1, mac, lease(1), lease(2));
	input(1, frame, size);
	assert_int_equal(got[0].frames, 1);
	assert_int_equal(got[2].frames, 1);
	assert_int_equal(got[3].frames, 1);
	assert_int_equal(got[1].frames, 0);
	assert_memory_equal(got[2].last, frame, size);
	/* It answers, and is known from then on. */
	mac_of(mac, 1);
	size = make_ip4(frame, 2, mac, lease(2), lease(1));
	input(2, frame, size);
	assert_int_equal(got[1].frames, 1);
	forget();
	mac_of(mac, 2);
	size = make_ip4(frame, 1, mac, lease(1), lease(2));
	input(1, frame, size);
	assert_int_equal(got[2].frames, 1);
	assert_int_equal(got[3].frames, 0);
	/* Nobody sees what is for the sender itself. */
	mac_of(mac, 1);
	size = make_ip4(frame, 1, mac, lease(1), lease(1));
	forget();
	input(1, frame, size);
	assert_int_equal(got[0].frames + got[1].frames + got[2].frames, 0);
	/* In time it is forgotten. */
	now += TABLE_AGE + 1;
	mac_of(mac, 2);
	size = make_ip4(frame, 1, mac, lease(1), lease(2));
	input(1, frame, size);
	assert_int_equal(got[3].frames, 1);
}

static void test_table(void **state)
{
	static struct table table;
	uint8_t mac[NIC_MAC] = { 0x52 };

	memset(&table, 0, sizeof(table));
	for (unsigned int i = 0; i < 5000; i++) {
		packet_put32(mac + 2, i);
		table_learn(&table, mac, 7, i);
	}
	assert_in_range(table.of_port[7], 1, TABLE_PORT_MAX);
	packet_put32(mac + 2, 1);
	assert_int_equal(table_find(&table, mac, 5000), 7);
	/* It moves, and the count with it. */
	table_learn(&table, mac, 8, 5001);
	assert_int_equal(table_find(&table, mac, 5001), 8);
	assert_int_equal(table.of_port[8], 1);
	table_forget(&table, 7);
	assert_int_equal(table.of_port[7], 0);
	assert_int_equal(table_find(&table, mac, 5001), 8);
	packet_put32(mac + 2, 2);
	assert_int_equal(table_find(&table, mac, 5001), TABLE_NOWHERE);
}

static void test_storm(void **state)
{
	uint8_t frame[512], mac[NIC_MAC];
	uint32_t size = make_ip4(frame, 1, all, lease(1), UINT32_MAX);

	for (unsigned int i = 0; i < 5000; i++)
		input(1, frame, size);
	assert_int_equal(got[2].frames, CORE_FLOOD_BURST);
	assert_int_equal(core->port[port[1]].stormed, 5000 - CORE_FLOOD_BURST);
	/* Others may, and so may this one to somebody known. */
	size = make_ip4(frame, 2, all, lease(2), UINT32_MAX);
	input(2, frame, size);
	assert_int_equal(got[3].frames, CORE_FLOOD_BURST + 1);
	mac_of(mac, 2);
	size = make_ip4(frame, 1, mac, lease(1), lease(2));
	input(1, frame, size);
	assert_int_equal(got[2].frames, CORE_FLOOD_BURST + 1);
	now += 10;
	size = make_ip4(frame, 1, all, lease(1), UINT32_MAX);
	forget();
	for (unsigned int i = 0; i < 100; i++)
		input(1, frame, size);
	assert_int_equal(got[3].frames, 10 * CORE_FLOOD_RATE / 1000);
}

static void test_fixed_address(void **state)
{
	const uint32_t address = 0x0a010032;
	uint8_t frame[512], mac[NIC_MAC];
	int n;

	mac_of(mac, 9);
	assert_int_equal(plug(mac, "x", lease(1), 0, got), -EADDRINUSE);
	assert_int_equal(plug(mac, "x", 0x0a010001, 0, got), -EINVAL);
	assert_int_equal(plug(mac, "x", 0x0a0100ff, 0, got), -EINVAL);
	assert_int_equal(plug(mac, "x", 0x0a020032, 0, got), -EINVAL);
	/* It need not be of the DHCP range, and is the card's alone. */
	n = plug(mac, "x", address, 0, got);
	assert_true(n > 0);
	assert_int_equal(core->port[n].lease, address);
	port[1] = (unsigned int)n;
	input(1, frame, make_ip4(frame, 9, all, address, lease(2)));
	assert_int_equal(refused(1), 0);
	input(1, frame, make_ip4(frame, 9, all, address + 1, lease(2)));
	assert_int_equal(refused(1), 1);
	/* It is kept, also where the address had been another's. */
	core_unplug(core, (unsigned int)n);
	assert_int_equal(leases_take(&core->leases, mac, "x"), address);
	core_unplug(core, port[2]);
	mac_of(mac, 8);
	assert_true(plug(mac, "y", lease(2), 0, got) > 0);
	mac_of(mac, 2);
	n = plug(mac, "two", 0, 0, got);
	assert_true(n > 0);
	assert_int_not_equal(core->port[n].lease, lease(2));
}

static void test_tags(void **state)
{
	uint8_t frame[512], mac[NIC_MAC], to[NIC_MAC];
	uint32_t size;

	core_unplug(core, port[2]);
	mac_of(mac, 2);
	port[2] = (unsigned int)plug(mac, "two", 0, 7, &got[2]);
	/* To all: the network's own port is with every tag. */
	input(1, frame, make_ip4(frame, 1, all, lease(1), UINT32_MAX));
	assert_int_equal(got[0].frames, 1);
	assert_int_equal(got[2].frames, 0);
	assert_int_equal(got[3].frames, 1);
	input(2, frame, make_ip4(frame, 2, all, lease(2), UINT32_MAX));
	assert_int_equal(got[0].frames, 2);
	assert_int_equal(got[1].frames, 0);
	/* To one that is known. */
	mac_of(to, 2);
	size = make_ip4(frame, 1, to, lease(1), lease(2));
	input(1, frame, size);
	assert_int_equal(got[2].frames, 0);
	assert_int_equal(core->port[port[1]].strange, 1);
	/* A tag in a frame is no way there. */
	memmove(frame + 16, frame + 12, size - 12);
	memcpy(frame + 12, "\x81\0\0\7", 4);
	input(1, frame, size + 4);
	assert_int_equal(refused(1), 1);
	assert_int_equal(got[2].frames, 0);
}

/* What a client asks of DHCPv6, and is told: its own and the server's names,
 * the name server, the domain. */
static void test_dhcp6(void **state)
{
	static const uint8_t question[] = { 11, 1, 2, 3, 0, 1, 0, 2, 7, 8,
					    0,	6, 0, 2, 0, 23 };
	static const uint8_t domain[] = { 0, 24, 0, 10, 8, 'i', 'n', 't', 'e',
					  'r', 'n', 'a', 'l', 0 };
	uint8_t frame[512], *ip = frame + PACKET_ETHERNET;
	uint8_t *udp = ip + PACKET_IP6;
	const uint8_t *answer = got[1].last + PACKET_ETHERNET + PACKET_IP6 +
				PACKET_UDP;
	const struct in6_addr server = network_names6(&network);

	make_icmp6(frame, 1, 0, address6(1, true), NULL);
	ip[IP6_NEXT] = PACKET_PROTOCOL_UDP;
	packet_put16(ip + IP6_LENGTH, PACKET_UDP + sizeof(question));
	packet_put16(udp, 546);
	packet_put16(udp + 2, 547);
	packet_put16(udp + UDP_LENGTH, PACKET_UDP + sizeof(question));
	memcpy(udp + PACKET_UDP, question, sizeof(question));
	input(1, frame, 62 + sizeof(question));
	assert_int_equal(got[1].frames, 1);
	assert_int_equal(packet_get16(got[1].last + 54), 547);
	assert_int_equal(packet_get16(got[1].last + 56), 546);
	assert_memory_equal(answer, "\7\1\2\3\0\1\0\2\7\10\0\2\0\12\0\3",
			    16);
	assert_memory_equal(answer + 24, "\0\27\0\20", 4);
	assert_memory_equal(answer + 28, &server, 16);
	assert_memory_equal(answer + 44, domain, sizeof(domain));
	assert_int_equal(got[1].size, 62 + 44 + sizeof(domain));
	/* Addresses are not its to give, nor is it another server. */
	udp[PACKET_UDP] = 1;
	input(1, frame, 62 + sizeof(question));
	udp[PACKET_UDP] = 11;
	udp[PACKET_UDP + 5] = 2;
	input(1, frame, 62 + sizeof(question));
	/* An option that is cut off. */
	udp[PACKET_UDP + 5] = 1;
	udp[PACKET_UDP + 7] = 200;
	input(1, frame, 62 + sizeof(question));
	assert_int_equal(got[1].frames, 2);
}

static void test_spoof4(void **state)
{
	uint8_t frame[512];
	uint32_t size = make_ip4(frame, 2, all, lease(1), lease(3));
	unsigned int wrong = 0;

	input(1, frame, size); /* another's MAC */
	assert_int_equal(refused(1), ++wrong);
	size = make_ip4(frame, 1, all, lease(2), lease(3));
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_ip4(frame, 1, all, 0x0a010063, lease(3));
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_ip4(frame, 1, all, 0, lease(3));
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_arp(frame, 1, lease(2), lease(3), ARP_REPLY);
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_arp(frame, 1, 0, lease(3), ARP_REPLY);
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_arp(frame, 1, lease(1), lease(3), ARP_REPLY);
	mac_of(frame + PACKET_ETHERNET + ARP_SENDER_MAC, 2);
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_ip4(frame, 1, all, lease(1), lease(3));
	packet_put16(frame + 12, 0x8100); /* a VLAN's */
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_udp(frame, 1, lease(1), UINT32_MAX, 68, "x", 1);
	packet_put16(frame + PACKET_ETHERNET + PACKET_IP4, 67);
	input(1, frame, size); /* as a DHCP server */
	assert_int_equal(refused(1), ++wrong);
	assert_int_equal(got[2].frames + got[3].frames, 0);
	/* What is right passes: a probe, its own, a reply. */
	size = make_arp(frame, 1, 0, lease(1), ARP_REQUEST);
	input(1, frame, size);
	size = make_arp(frame, 1, lease(1), lease(3), ARP_REPLY);
	input(1, frame, size);
	size = make_ip4(frame, 1, all, lease(1), lease(3));
	input(1, frame, size);
	assert_int_equal(refused(1), wrong);
	assert_int_equal(got[2].frames, 3);
}

static void test_spoof6(void **state)
{
	uint8_t frame[512], mine[16], odd[16] = { 0xfd, 0, 0, 1, [15] = 9, [8] = 7 };
	unsigned int wrong = 0, right = 0;
	uint32_t size;

	/* An address made of another's MAC, and one of no subnet. */
	size = make_icmp6(frame, 1, 128, address6(2, false), NULL);
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_icmp6(frame, 1, 128, (const uint8_t *)"\x20\1abcdefghijklmn",
			  NULL);
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	/* The router's own. */
	size = make_icmp6(frame, 1, 128,
			  (const uint8_t *)"\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\2",
			  NULL);
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	/* A router's message, a redirect, about another's address. */
	for (unsigned int type = 134; type < 138; type += 3) {
		size = make_icmp6(frame, 1, (uint8_t)type, address6(1, true),
				  NULL);
		input(1, frame, size);
		assert_int_equal(refused(1), ++wrong);
	}
	memcpy(mine, address6(1, true), sizeof(mine));
	size = make_icmp6(frame, 1, 136, mine, address6(2, true));
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	/* Hidden behind an extension, or beyond what is looked at. */
	size = make_icmp6(frame, 1, 0, address6(1, true), NULL);
	frame[14 + IP6_NEXT] = 0;
	frame[54] = 58;
	frame[62] = 134;
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	frame[55] = 40;
	input(1, frame, 500);
	assert_int_equal(refused(1), ++wrong);
	frame[14 + IP6_NEXT] = 44; /* in a fragment */
	frame[55] = 0;
	frame[57] = 1;
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	assert_int_equal(got[2].frames, 0);
	/* First come, first served: odd ones are whose first uses them. */
	size = make_icmp6(frame, 2, 135, NULL, odd);
	input(2, frame, size);
	assert_int_equal(got[3].frames, ++right);
	size = make_icmp6(frame, 1, 128, odd, NULL);
	input(1, frame, size);
	assert_int_equal(refused(1), ++wrong);
	size = make_icmp6(frame, 2, 128, odd, NULL);
	input(2, frame, size);
	assert_int_equal(got[3].frames, ++right);
	core_unplug(core, port[2]);
	size = make_icmp6(frame, 1, 128, odd, NULL);
	input(1, frame, size);
	assert_int_equal(got[3].frames, ++right);
	assert_int_equal(refused(1), wrong);
}

/* Without DHCP an address is whose first uses it. */
static void test_unleased(void **state)
{
	uint8_t frame[512];
	uint32_t size;

	build("off", "isolated");
	assert_int_equal(core->port[port[1]].lease, 0);
	size = make_ip4(frame, 1, all, 0x0a010009, lease(3));
	input(1, frame, size);
	assert_int_equal(refused(1), 0);
	size = make_ip4(frame, 2, all, 0x0a010009, lease(3));
	input(2, frame, size);
	assert_int_equal(refused(2), 1);
	size = make_ip4(frame, 2, all, 0x0a010002, lease(3)); /* the switch's */
	input(2, frame, size);
	size = make_ip4(frame, 2, all, 0x0a020009, lease(3));
	input(2, frame, size);
	assert_int_equal(refused(2), 3);
}

static void test_leases(void **state)
{
	uint8_t mac[NIC_MAC];
	json_t *json;

	for (unsigned int i = 1; i < PORTS; i++)
		assert_int_equal(core->port[port[i]].lease, lease(i));
	mac_of(mac, 3);
	assert_int_equal(plug(mac, "x", 0, 0, got), -EEXIST);
	mac_of(mac, 4);
	assert_int_equal(leases_take(&core->leases, mac, "four"), lease(4));
	mac_of(mac, 5);
	assert_int_equal(plug(mac, "x", 0, 0, got), -EADDRNOTAVAIL);
	/* An address stays its card's until another needs it. */
	core_unplug(core, port[2]);
	core_unplug(core, port[1]);
	mac_of(mac, 2);
	assert_int_equal(leases_take(&core->leases, mac, "two"), lease(2));
	mac_of(mac, 5);
	assert_int_equal(leases_take(&core->leases, mac, "five"), lease(1));
	/* What a file says is believed as far as it can be. */
	json = json_loads("[7, {}, {\"mac\": \"52:54:00:00:00:0a\", \"address\":"
			  " \"10.1.0.102\", \"machine\": \"a\", \"used\": 9},"
			  "{\"mac\": \"52:54:00:00:00:0b\", \"address\":"
			  " \"10.1.0.102\", \"machine\": \"b\"},"
			  "{\"mac\": \"52:54:00:00:00:0c\", \"address\":"
			  " \"10.1.0.2\", \"machine\": \"c\"},"
			  "{\"mac\": \"52:54:00:00:00:0d\", \"address\":"
			  " \"10.1.0.101\", \"machine\": \"../d\"}]", 0, NULL);
	assert_non_null(json);
	core->leases.count = 0;
	leases_unpack(&core->leases, json);
	json_decref(json);
	assert_int_equal(core->leases.count, 1);
	mac_of(mac, 10);
	assert_int_equal(leases_take(&core->leases, mac, "a"), lease(3));
}

/* --- what it answers --------------------------------------------------------------- */

/* The UDP payload that port `n` got last; its size. */
static uint32_t payload(unsigned int n, const uint8_t **bytes)
{
	const uint8_t *udp = got[n].last + PACKET_ETHERNET + PACKET_IP4;
	uint32_t size = packet_get16(udp + UDP_LENGTH);
	uint8_t pseudo[12] = { 0 };

	memcpy(pseudo, got[n].last + PACKET_ETHERNET + IP4_SOURCE, 8);
	pseudo[9] = PACKET_PROTOCOL_UDP;
	packet_put16(pseudo + 10, size);
	assert_int_equal(packet_sum(udp, size, packet_sum(pseudo, 12, 0)),
			 0xffff);
	assert_int_equal(packet_sum(udp - PACKET_IP4, PACKET_IP4, 0), 0xffff);
	assert_int_equal(got[n].size, 42 + size - PACKET_UDP);
	*bytes = udp + PACKET_UDP;
	return size - PACKET_UDP;
}

static uint32_t make_dhcp(uint8_t *frame, unsigned int from, uint8_t type,
			  uint32_t wish)
{
	uint8_t message[300] = { 1, 1, 6, 0, 'x', 'i', 'd', '!' };

	mac_of(message + 28, from);
	memcpy(message + 236, (const uint8_t[]){ 0x63, 0x82, 0x53, 0x63, 53, 1,
						 type, 50, 4 }, 9);
	packet_put32(message + 245, wish);
	message[249] = 255;
	return make_udp(frame, from, 0, UINT32_MAX, 67, message,
			sizeof(message));
}

static void test_dhcp(void **state)
{
	static const uint8_t end[] = { 6, 4, 10, 1, 0, 2, 12, 3, 't', 'w',
				       'o', 15, 8 };
	const uint8_t *reply;
	uint8_t frame[512];
	uint32_t size;

	input(2, frame, make_dhcp(frame, 2, 1, 0));
	assert_int_equal(got[2].frames, 1);
	assert_int_equal(got[0].frames + got[1].frames + got[3].frames, 0);
	size = payload(2, &reply);
	assert_int_equal(reply[0], 2);
	assert_memory_equal(reply + 4, "xid!", 4);
	assert_int_equal(packet_get32(reply + 16), lease(2));
	assert_int_equal(reply[242], 2); /* an offer */
	assert_non_null(memmem(reply, size, end, sizeof(end)));
	assert_non_null(memmem(reply, size, "\1\4\xff\xff\xff\0", 6));
	/* No way out: no router. */
	assert_null(memmem(reply + 240, size - 240, "\3\4\12\1\0\1", 6));
	input(2, frame, make_dhcp(frame, 2, 3, lease(2)));
	payload(2, &reply);
	assert_int_equal(reply[242], 5);
	input(2, frame, make_dhcp(frame, 2, 3, lease(1)));
	payload(2, &reply);
	assert_int_equal(reply[242], 6);
	assert_int_equal(packet_get32(got[2].last + 14 + IP4_TARGET),
			 UINT32_MAX);
	/* Another's card in it, no cookie, options that do not end. */
	forget();
	size = make_dhcp(frame, 2, 1, 0);
	frame[42 + 33]++;
	input(2, frame, size);
	size = make_dhcp(frame, 2, 1, 0);
	frame[42 + 236]++;
	input(2, frame, size);
	size = make_dhcp(frame, 2, 1, 0);
	frame[42 + 241] = 200;
	input(2, frame, size);
	assert_int_equal(got[2].frames, 0);
}

/* Asks for a name with its labels as they are in a message. */
static unsigned int ask(unsigned int from, const char *labels, uint8_t type,
			const uint8_t **reply, uint32_t *size)
{
	uint8_t message[300] = { 'i', 'd', 1, 0, 0, 1 }, frame[512];
	uint32_t length = (uint32_t)strlen(labels) + 1;

	memcpy(message + 12, labels, length);
	message[12 + length + 1] = type;
	message[12 + length + 3] = 1;
	forget();
	input(from, frame, make_udp(frame, from, lease(from), 0x0a010002, 53,
				    message, 12 + length + 4));
	if (!got[from].frames)
		return 999;
	*size = payload(from, reply);
	assert_memory_equal(*reply, "id", 2);
	assert_int_equal((*reply)[2], 0x85);
	return (*reply)[3] & 15;
}

static void test_names(void **state)
{
	const uint8_t *reply;
	uint8_t frame[512];
	uint32_t size;

	assert_int_equal(ask(1, "\3two", 1, &reply, &size), 0);
	assert_int_equal(reply[7], 2); /* cards of that name */
	assert_memory_equal(reply + size - 16 - 4, "\x0a\1\0\x65", 4);
	assert_memory_equal(reply + size - 4, "\x0a\1\0\x66", 4);
	assert_int_equal(ask(2, "\3oNE\10internal", 1, &reply, &size), 0);
	assert_int_equal(reply[7], 1);
	assert_memory_equal(reply + size - 4, "\x0a\1\0\x64", 4);
	/* Its IPv6 address is what it uses. */
	assert_int_equal(ask(2, "\3one", 28, &reply, &size), 0);
	assert_int_equal(reply[7], 0);
	size = make_icmp6(frame, 1, 135, NULL, address6(1, false));
	input(1, frame, size);
	assert_int_equal(ask(2, "\3one", 28, &reply, &size), 0);
	assert_int_equal(reply[7], 1);
	assert_memory_equal(reply + size - 16, address6(1, false), 16);
	assert_int_equal(ask(1, "\003100\0010\0011\00210\7in-addr\4arpa", 12,
			     &reply, &size), 0);
	assert_memory_equal(reply + size - 14, "\3One\10internal", 14);
	assert_int_equal(ask(1, "\003200\0010\0011\00210\7in-addr\4arpa", 12,
			     &reply, &size), 3);
	assert_int_equal(ask(1, "\4four", 1, &reply, &size), 3);
	assert_int_equal(ask(1, "\4four\10internal", 1, &reply, &size), 3);
	assert_int_equal(ask(1, "\7example\3org", 1, &reply, &size), 5);
	/* It ends, and has no name any more. */
	core_unplug(core, port[1]);
	assert_int_equal(ask(2, "\3one", 1, &reply, &size), 3);
}

/* Where there is a way out, others' names are the router's to answer. */
static void test_outside(void **state)
{
	const uint8_t *reply;
	uint32_t size;

	build("on", "nat");
	assert_int_equal(core->port[port[1]].lease, 0x0a010010);
	for (unsigned int i = 1; i < PORTS; i++)
		core->guard.port[port[i]].lease = core->port[port[i]].lease =
			lease(i);
	core->port[CORE_OWN].give = give;
	core->port[CORE_OWN].ctx = &got[0];
	assert_int_equal(ask(1, "\7example\3org", 1, &reply, &size), 999);
	assert_int_equal(got[0].frames, 1);
	assert_int_equal(ask(1, "\3two", 1, &reply, &size), 0);
	assert_int_equal(got[0].frames, 0);
}

static void test_host(void **state)
{
	uint8_t frame[512], mine[16];
	uint32_t size = make_arp(frame, 1, lease(1), 0x0a010002, ARP_REQUEST);

	input(1, frame, size);
	assert_int_equal(got[1].frames, 1);
	assert_memory_equal(got[1].last + 14 + ARP_SENDER_MAC, names_mac, 6);
	assert_int_equal(got[1].last[14 + ARP_OPERATION + 1], ARP_REPLY);
	size = make_ip4(frame, 1, names_mac, lease(1), 0x0a010002);
	frame[14 + IP4_PROTOCOL] = PACKET_PROTOCOL_ICMP;
	frame[34] = ICMP_ECHO;
	input(1, frame, size);
	assert_int_equal(got[1].frames, 2);
	assert_int_equal(got[1].last[34], ICMP_ECHO_REPLY);
	assert_int_equal(packet_sum(got[1].last + 34, 80, 0), 0xffff);
	memcpy(mine, address6(1, true), 16);
	size = make_icmp6(frame, 1, ICMP6_SOLICITS_ROUTER, mine, NULL);
	packet_put16(frame + 14 + IP6_LENGTH, 8);
	input(1, frame, size - 16);
	assert_int_equal(got[1].frames, 3);
	assert_int_equal(got[1].last[54], ICMP6_ADVERTISES_ROUTER);
	assert_int_equal(packet_get16(got[1].last + 60), 0); /* no router */
	assert_memory_equal(got[1].last + 54 + 32, &network.net6, 8);
	size = make_icmp6(frame, 1, ICMP6_SOLICITS, mine,
			  network_names6(&network).s6_addr);
	input(1, frame, size);
	assert_int_equal(got[1].frames, 4);
	assert_int_equal(got[1].last[54], ICMP6_ADVERTISES);
	assert_memory_equal(got[1].last + 54 + 26, names_mac, 6);
}

/* Who alone got a frame, for whom rules are asked. */
static void test_reached(void **state)
{
	uint8_t frame[512], mac[NIC_MAC];
	uint32_t size;

	input(1, frame, make_ip4(frame, 1, all, lease(1), UINT32_MAX));
	assert_int_equal(core->reached, 0);
	mac_of(mac, 2);
	size = make_ip4(frame, 1, mac, lease(1), lease(2));
	input(1, frame, size);
	assert_int_equal(core->reached, 0); /* not known yet */
	mac_of(mac, 1);
	input(2, frame, make_ip4(frame, 2, mac, lease(2), lease(1)));
	assert_int_equal(core->reached, port[1]);
	mac_of(mac, 2);
	input(1, frame, make_ip4(frame, 1, mac, lease(3), lease(2)));
	assert_int_equal(core->reached, 0); /* it is refused */
	input(1, frame, size = make_ip4(frame, 1, mac, lease(1), lease(2)));
	assert_int_equal(core->reached, port[2]);

	assert_false(core_ruled(core, port[1]));
	filter_set(core, json_pack("{s[s]}", "One", "out deny tcp any 1"));
	assert_true(core_ruled(core, port[1]));
	assert_false(core_ruled(core, port[2]));
	filter_set(core, NULL);
	assert_false(core_ruled(core, port[1]));
}

/* Another address of the subnet, of which a card without a lease has many. */
static void use_address(unsigned int n, uint32_t address)
{
	uint8_t frame[512];

	input(n, frame, make_ip4(frame, n, all, address, UINT32_MAX));
}

/* What a card may say that it is from, and when it may not any more. */
static void test_claims(void **state)
{
	const struct guard_port *guard = &core->guard.port[port[1]];
	uint8_t frame[512], mac[NIC_MAC];
	struct claims claims;

	mac_of(mac, 1);
	guard_claims(&core->guard, port[1], &claims);
	assert_memory_equal(claims.mac, mac, NIC_MAC);
	assert_int_equal(claims.address4[0], lease(1));
	assert_int_equal(claims.address4[1], 0);
	assert_int_equal(claims.address6[0].s6_addr[0], 0);
	assert_int_equal(guard->changes, 0);
	/* It asks for an address: then that is its own. */
	input(1, frame, make_icmp6(frame, 1, ICMP6_SOLICITS, NULL,
				   address6(1, true)));
	assert_int_equal(guard->changes, 1);
	guard_claims(&core->guard, port[1], &claims);
	assert_memory_equal(&claims.address6[0], address6(1, true), 16);
	assert_int_equal(guard->lost, 0);
}

static void test_lost(void **state)
{
	const struct guard_port *guard;
	struct claims claims;

	build("off", "isolated");
	guard = &core->guard.port[port[1]];
	for (uint32_t i = 0; i < CLAIMS_ADDRESSES; i++)
		use_address(1, 0x0a010020 + i);
	assert_int_equal(guard->changes, CLAIMS_ADDRESSES);
	assert_int_equal(guard->lost, 0);
	guard_claims(&core->guard, port[1], &claims);
	assert_int_equal(claims.address4[15], 0x0a01002f);
	use_address(1, 0x0a010040); /* in the place of the first */
	assert_int_equal(guard->lost, 1);
	guard_claims(&core->guard, port[1], &claims);
	assert_int_equal(claims.address4[0], 0x0a010040);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_learning, setup, core_rig_teardown),
		cmocka_unit_test(test_table),
		cmocka_unit_test_setup_teardown(test_storm, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_fixed_address, setup,
						core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_tags, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_dhcp6, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_spoof4, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_spoof6, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_reached, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_claims, setup, core_rig_teardown),
		cmocka_unit_test_teardown(test_lost, core_rig_teardown),
		cmocka_unit_test_teardown(test_unleased, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_leases, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_dhcp, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, core_rig_teardown),
		cmocka_unit_test_teardown(test_outside, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_host, setup, core_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
