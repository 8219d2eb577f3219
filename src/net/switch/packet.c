/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/packet.h"

#include <string.h>

#define HOPS 64

uint32_t packet_sum(const uint8_t *bytes, uint32_t size, uint32_t sum)
{
	for (; size > 1; size -= 2, bytes += 2)
		sum += packet_get16(bytes);
	if (size)
		sum += (uint32_t)bytes[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void ethernet(uint8_t *frame, const struct packet_end *from,
		     const struct packet_end *to, uint32_t type)
{
	memcpy(frame, to->mac, NIC_MAC);
	memcpy(frame + NIC_MAC, from->mac, NIC_MAC);
	packet_put16(frame + 12, type);
}

static void ip6(uint8_t *ip, uint32_t size, uint8_t next, uint8_t hops,
		const struct packet_end *from, const struct packet_end *to)
{
	memset(ip, 0, PACKET_IP6);
	ip[0] = 6 << 4;
	packet_put16(ip + IP6_LENGTH, size);
	ip[IP6_NEXT] = next;
	ip[IP6_HOPS] = hops;
	memcpy(ip + IP6_SOURCE, from->address, 16);
	memcpy(ip + IP6_TARGET, to->address, 16);
}

static void ip4(uint8_t *ip, uint32_t size, uint8_t protocol,
		const struct packet_end *from, const struct packet_end *to)
{
	memset(ip, 0, PACKET_IP4);
	ip[0] = 4 << 4 | PACKET_IP4 / 4;
	packet_put16(ip + IP4_LENGTH, PACKET_IP4 + size);
	ip[IP4_HOPS] = HOPS;
	ip[IP4_PROTOCOL] = protocol;
	memcpy(ip + IP4_SOURCE, from->address, 4);
	memcpy(ip + IP4_TARGET, to->address, 4);
	packet_put16(ip + IP4_SUM, ~packet_sum(ip, PACKET_IP4, 0));
}

/* The pseudo header's part, then all of `bytes`. */
static uint32_t transport_sum(const struct packet_end *from,
			      const struct packet_end *to, bool six,
			      uint8_t protocol, const uint8_t *bytes,
			      uint32_t size)
{
	uint32_t sum = packet_sum(from->address, six ? 16 : 4,
				  protocol + size);

	sum = packet_sum(to->address, six ? 16 : 4, sum);
	return ~packet_sum(bytes, size, sum) & 0xffff;
}

uint8_t *packet_udp(uint8_t *frame, uint32_t size, bool six,
		    const struct packet_end *from, const struct packet_end *to,
		    uint32_t *whole)
{
	uint8_t *udp = frame + PACKET_HEADERS - PACKET_UDP;
	uint8_t *ip = udp - (six ? PACKET_IP6 : PACKET_IP4);
	uint32_t sum;

	size += PACKET_UDP;
	packet_put16(udp, from->port);
	packet_put16(udp + 2, to->port);
	packet_put16(udp + UDP_LENGTH, size);
	packet_put16(udp + UDP_SUM, 0);
	sum = transport_sum(from, to, six, PACKET_PROTOCOL_UDP, udp, size);
	packet_put16(udp + UDP_SUM, sum ? sum : 0xffff);
	if (six)
		ip6(ip, size, PACKET_PROTOCOL_UDP, HOPS, from, to);
	else
		ip4(ip, size, PACKET_PROTOCOL_UDP, from, to);
	ethernet(ip - PACKET_ETHERNET, from, to,
		 six ? PACKET_TYPE_IP6 : PACKET_TYPE_IP4);
	*whole = (uint32_t)(udp - ip) + size + PACKET_ETHERNET;
	return ip - PACKET_ETHERNET;
}

uint32_t packet_icmp6(uint8_t *frame, uint32_t size,
		      const struct packet_end *from,
		      const struct packet_end *to)
{
	uint8_t *ip = frame + PACKET_ETHERNET, *icmp = ip + PACKET_IP6;

	packet_put16(icmp + 2, 0);
	packet_put16(icmp + 2, transport_sum(from, to, true,
					     PACKET_PROTOCOL_ICMP6, icmp,
					     size));
	ip6(ip, size, PACKET_PROTOCOL_ICMP6, 255, from, to);
	ethernet(frame, from, to, PACKET_TYPE_IP6);
	return PACKET_ETHERNET + PACKET_IP6 + size;
}
