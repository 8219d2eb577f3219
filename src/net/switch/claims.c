/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/claims.h"

#include <string.h>

#include "net/switch/packet.h"

#define PORTS	  4u      /* bytes of both */
#define FRAGMENTS 0x3fffu /* more of them, or an offset */

static bool has4(const struct claims *claims, uint32_t address)
{
	for (unsigned int i = 0; i < CLAIMS_ADDRESSES; i++)
		if (claims->address4[i] == address)
			return address;
	return false;
}

static bool has6(const struct claims *claims, const uint8_t *address)
{
	static const struct in6_addr zero;

	for (unsigned int i = 0; i < CLAIMS_ADDRESSES; i++)
		if (!memcmp(&claims->address6[i], address, sizeof(zero)))
			return memcmp(address, &zero, sizeof(zero));
	return false;
}

static bool is_service(uint32_t port)
{
	return port == PACKET_DNS || port == PACKET_DHCP_SERVER ||
	       port == PACKET_DHCP6_SERVER;
}

/* What is at `at` is TCP or UDP, as `protocol` says, and no service's. */
static bool carries(uint8_t protocol, const uint8_t *head, uint32_t size,
		    uint32_t at)
{
	if (size < at + PORTS)
		return false;
	if (protocol == PACKET_PROTOCOL_TCP)
		return true;
	return protocol == PACKET_PROTOCOL_UDP &&
	       !is_service(packet_get16(head + at)) &&
	       !is_service(packet_get16(head + at + 2));
}

static bool pass4(const struct claims *from, const uint8_t *head,
		  uint32_t size)
{
	const uint8_t *ip = head + PACKET_ETHERNET;

	return size >= PACKET_ETHERNET + PACKET_IP4 && ip[0] >> 4 == 4 &&
	       (ip[0] & 15) >= 5 &&
	       !(packet_get16(ip + IP4_FRAGMENT) & FRAGMENTS) &&
	       has4(from, packet_get32(ip + IP4_SOURCE)) &&
	       carries(ip[IP4_PROTOCOL], head, size,
		       PACKET_ETHERNET + 4 * (ip[0] & 15u));
}

static bool pass6(const struct claims *from, const uint8_t *head,
		  uint32_t size)
{
	const uint8_t *ip = head + PACKET_ETHERNET;

	return size >= PACKET_ETHERNET + PACKET_IP6 && ip[0] >> 4 == 6 &&
	       has6(from, ip + IP6_SOURCE) &&
	       carries(ip[IP6_NEXT], head, size, PACKET_ETHERNET + PACKET_IP6);
}

bool claims_pass(const struct claims *from, const uint8_t to[NIC_MAC],
		 const uint8_t *head, uint32_t size)
{
	if (size < PACKET_ETHERNET || memcmp(head, to, NIC_MAC) ||
	    memcmp(head + NIC_MAC, from->mac, NIC_MAC))
		return false;
	switch (packet_get16(head + 12)) {
	case PACKET_TYPE_IP4:
		return pass4(from, head, size);
	case PACKET_TYPE_IP6:
		return pass6(from, head, size);
	default:
		return false;
	}
}
