/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a machine may send to its switch: frames of all kinds, those
 * most of all that the switch itself looks into: ARP, neighbours, DHCP, names.
 * Whatever reaches another port is from the sender's MAC and addresses. Both
 * have rules. What may go by a shortcut the switch would have let pass too. Some
 * inputs are answers of name servers, which come as they are.
 */
#include "fuzz_device.h"

#include <stdlib.h>
#include <string.h>

#include "net/switch/core.h"
#include "net/switch/packet.h"
#include "net/switch/service.h"

#define FRAME_MAX 1600u

static struct network network;
static struct core *core;
static unsigned int first, second;
static uint32_t lease;
static const uint8_t mac[2][NIC_MAC] = { { 0x52, 0x54, 0, 0, 0, 1 },
					 { 0x52, 0x54, 0, 0, 0, 2 } };

/* What the other machine gets of the first one. */
static bool give_other(void *ctx, const struct core_frame *frame)
{
	uint8_t bytes[FRAME_MAX];
	const uint8_t *ip = bytes + PACKET_ETHERNET;

	memset(bytes, 0, sizeof(bytes));
	core_read(frame, bytes, frame->nic.size);
	if (memcmp(bytes + NIC_MAC, mac[0], NIC_MAC))
		abort();
	switch (packet_get16(bytes + 12)) {
	case PACKET_TYPE_ARP:
		if (memcmp(ip + ARP_SENDER_MAC, mac[0], NIC_MAC) ||
		    (packet_get32(ip + ARP_SENDER) &&
		     packet_get32(ip + ARP_SENDER) != lease))
			abort();
		break;
	case PACKET_TYPE_IP4:
		if (packet_get32(ip + IP4_SOURCE) &&
		    packet_get32(ip + IP4_SOURCE) != lease)
			abort();
		break;
	case PACKET_TYPE_IP6:
		if (ip[IP6_NEXT] == PACKET_PROTOCOL_ICMP6 &&
		    (ip[PACKET_IP6] == ICMP6_ADVERTISES_ROUTER ||
		     ip[PACKET_IP6] == ICMP6_REDIRECT))
			abort();
		break;
	default:
		abort();
	}
	return true;
}

static bool give_first(void *ctx, const struct core_frame *frame)
{
	uint8_t bytes[FRAME_MAX];

	if (frame->nic.size > sizeof(bytes))
		abort();
	core_read(frame, bytes, frame->nic.size);
	return true;
}

static bool give_own(void *ctx, const struct core_frame *frame)
{
	uint8_t bytes[FRAME_MAX];

	core_read(frame, bytes, frame->nic.size);
	service_host(core, first, bytes, frame->nic.size);
	return true;
}

static void make_switch(void)
{
	struct network_change change = { 0 };
	struct net_error error;

	network_init(&network, "lab");
	if (network_set(&network, &change, "subnet", "10.1.0.0/24", &error) ||
	    network_set(&network, &change, "subnet", "fd00:1::/64", &error) ||
	    network_complete(&network, &change, &error))
		abort();
	core = calloc(1, sizeof(*core));
	if (!core)
		abort();
	core_init(core, &network);
	core->port[CORE_OWN].used = true;
	core->port[CORE_OWN].give = give_own;
	first = (unsigned int)core_plug(core, &(struct core_card){
		.mac = mac[0], .machine = "one", .give = give_first });
	second = (unsigned int)core_plug(core, &(struct core_card){
		.mac = mac[1], .machine = "two", .give = give_other });
	/* Flows and names are noted; next to all passes. */
	filter_set(core, json_pack("{s[sss]s[ss]}", "one",
				   "out deny tcp 10.1.0.0/24 22",
				   "out allow udp a", "out allow", "two",
				   "in deny tcp one 23", "in allow"));
	lease = core->port[first].lease;
}

/* Headers that a frame of that kind has, over its first bytes. */
static void shape(uint8_t *frame, uint8_t kind, uint32_t size)
{
	uint8_t *ip = frame + PACKET_ETHERNET;
	uint8_t *udp = ip + PACKET_IP4;

	memcpy(frame + NIC_MAC, mac[0], NIC_MAC);
	if (kind & 0x80)
		memset(frame, 255, NIC_MAC);
	else if (kind & 0x20)
		memcpy(frame, mac[1], NIC_MAC);
	switch (kind % 6) {
	case 0:
		break;
	case 1:
		packet_put16(frame + 12, PACKET_TYPE_ARP);
		memcpy(ip, (const uint8_t[]){ 0, 1, 8, 0, 6, 4, 0 }, 7);
		memcpy(ip + ARP_SENDER_MAC, mac[0], NIC_MAC);
		break;
	case 2: /* DHCP */
	case 3: /* a name */
		packet_put16(frame + 12, PACKET_TYPE_IP4);
		ip[0] = 0x45;
		packet_put16(ip + IP4_FRAGMENT, 0);
		ip[IP4_PROTOCOL] = PACKET_PROTOCOL_UDP;
		packet_put32(ip + IP4_SOURCE, lease);
		packet_put32(ip + IP4_TARGET, network_names4(&network));
		packet_put16(udp, 1024);
		packet_put16(udp + 2, kind % 6 == 2 ? 67 : 53);
		packet_put16(udp + UDP_LENGTH, size > 34 ? size - 34 : 0);
		if (kind % 6 == 3) {
			memcpy(udp + 10, (const uint8_t[]){ 1, 0, 0, 1, 0, 0 },
			       6);
			break;
		}
		memcpy(udp + 8, (const uint8_t[]){ 1, 1, 6 }, 3);
		memcpy(udp + 8 + 28, mac[0], NIC_MAC);
		packet_put32(udp + 8 + 236, 0x63825363);
		break;
	default:
		packet_put16(frame + 12, PACKET_TYPE_IP6);
		ip[0] = 0x60;
		ip[IP6_HOPS] = 255;
		memset(ip + IP6_SOURCE, 0, 16);
		if (kind & 0x40)
			memcpy(ip + IP6_SOURCE,
			       (const uint8_t[]){ 0xfe, 0x80, [8] = 0x50, 0x54,
						  0, 0xff, 0xfe, 0, 0, 1 }, 16);
		if (kind % 6 == 4) {
			ip[IP6_NEXT] = PACKET_PROTOCOL_ICMP6;
		} else if (kind & 8) {
			ip[IP6_NEXT] = PACKET_PROTOCOL_UDP;
			packet_put16(ip + IP6_LENGTH, size > 54 ? size - 54 : 0);
			packet_put16(ip + PACKET_IP6 + 2, PACKET_DHCP6_SERVER);
			packet_put16(ip + PACKET_IP6 + UDP_LENGTH,
				     size > 54 ? size - 54 : 0);
			ip[PACKET_IP6 + PACKET_UDP] = 11;
		}
		break;
	}
}

static void learn(const uint8_t *answer, uint32_t size)
{
	uint8_t frame[14 + 20 + 8 + 512] = { 0 }, *ip = frame + 14;

	packet_put16(frame + 12, PACKET_TYPE_IP4);
	ip[0] = 0x45;
	ip[IP4_PROTOCOL] = PACKET_PROTOCOL_UDP;
	packet_put32(ip + IP4_SOURCE, network_names4(&network));
	packet_put16(ip + 20, PACKET_DNS);
	memcpy(ip + 28, answer, size);
	filter_learn(core, frame, 42 + size);
}

static void check_shortcut(const struct core_frame *frame)
{
	struct claims claims;

	guard_claims(&core->guard, first, &claims);
	if (claims_pass(&claims, mac[1], frame->head, frame->head_size) &&
	    !guard_check(&core->guard, first, frame->head, frame->head_size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t now;
	uint8_t frame[FRAME_MAX] = { 0 };
	struct core_frame core_frame = { .head = frame };
	uint32_t whole;

	if (!core)
		make_switch();
	if (size < 3)
		return 0;
	if (data[0] == 0xff) {
		learn(data + 1, size - 1 < 512 ? (uint32_t)size - 1 : 512);
		return 0;
	}
	/* Payloads come behind the headers of their kind. */
	whole = 14 + (data[1] | (uint32_t)data[2] << 8) % (FRAME_MAX - 14);
	if (size - 3 < whole && data[1] & 1)
		whole = size - 3 < 14 ? 14 : (uint32_t)size - 3;
	memcpy(frame, data + 3, size - 3 < whole ? size - 3 : whole);
	shape(frame, data[0], whole);
	core_frame.nic.size = whole;
	core_frame.head_size = whole < GUARD_HEAD ? whole : GUARD_HEAD;
	core_frame.rest = frame + core_frame.head_size;
	check_shortcut(&core_frame);
	now += 1000;
	core_input(core, first, &core_frame, now);
	return 0;
}
