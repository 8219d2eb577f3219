/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of Ethernet, ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200), UDP
 * (RFC 768), ICMP (RFC 792), ICMPv6 (RFC 4443) and neighbour discovery
 * (RFC 4861), as far as a switch looks into frames and answers some.
 */
#ifndef LODGE_NET_SWITCH_PACKET_H
#define LODGE_NET_SWITCH_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/nic.h"

/* Sizes of headers. */
#define PACKET_ETHERNET 14u
#define PACKET_ARP	28u
#define PACKET_IP4	20u
#define PACKET_IP6	40u
#define PACKET_UDP	8u

#define PACKET_TYPE_IP4 0x0800u
#define PACKET_TYPE_ARP 0x0806u
#define PACKET_TYPE_IP6 0x86ddu

#define PACKET_PROTOCOL_ICMP	 1u
#define PACKET_PROTOCOL_TCP	 6u
#define PACKET_PROTOCOL_UDP	 17u
#define PACKET_PROTOCOL_FRAGMENT 44u
#define PACKET_PROTOCOL_ICMP6	 58u

#define PACKET_DNS	    53u
#define PACKET_DHCP_SERVER  67u
#define PACKET_DHCP_CLIENT  68u
#define PACKET_DHCP6_SERVER 547u

/* Where things are in a header. */
enum {
	ARP_OPERATION = 6,
	ARP_SENDER_MAC = 8,
	ARP_SENDER = 14,
	ARP_TARGET_MAC = 18,
	ARP_TARGET = 24,

	IP4_LENGTH = 2,
	IP4_FRAGMENT = 6,
	IP4_HOPS = 8,
	IP4_PROTOCOL = 9,
	IP4_SUM = 10,
	IP4_SOURCE = 12,
	IP4_TARGET = 16,

	IP6_LENGTH = 4,
	IP6_NEXT = 6,
	IP6_HOPS = 7,
	IP6_SOURCE = 8,
	IP6_TARGET = 24,

	UDP_LENGTH = 4,
	UDP_SUM = 6,
};

enum {
	ARP_REQUEST = 1,
	ARP_REPLY = 2,

	ICMP_ECHO_REPLY = 0,
	ICMP_ECHO = 8,

	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_SOLICITS_ROUTER = 133,
	ICMP6_ADVERTISES_ROUTER = 134,
	ICMP6_SOLICITS = 135,
	ICMP6_ADVERTISES = 136,
	ICMP6_REDIRECT = 137,
	ICMP6_GROUP_REPORT = 143,

	ND_SOURCE = 1,
	ND_TARGET = 2,
};

static inline uint32_t packet_get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static inline uint32_t packet_get32(const uint8_t *at)
{
	return packet_get16(at) << 16 | packet_get16(at + 2);
}

static inline void packet_put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void packet_put32(uint8_t *at, uint32_t value)
{
	packet_put16(at, value >> 16);
	packet_put16(at + 2, value & 0xffff);
}

/* Of IPv6: those that may stand before what is carried. */
static inline bool packet_is_extension(uint8_t next)
{
	return next == 0 || next == 43 || next == PACKET_PROTOCOL_FRAGMENT ||
	       next == 60;
}

/* The lower half of an address that is made of a card's (RFC 4291, app. A). */
static inline void packet_interface_id(uint8_t id[8],
				       const uint8_t mac[NIC_MAC])
{
	const uint8_t made[8] = { mac[0] ^ 2, mac[1], mac[2], 0xff,
				  0xfe,	      mac[3], mac[4], mac[5] };

	for (unsigned int i = 0; i < 8; i++)
		id[i] = made[i];
}

/* The internet checksum of `size` bytes, with `sum` of others (RFC 1071). */
uint32_t packet_sum(const uint8_t *bytes, uint32_t size, uint32_t sum);

/* A frame that is being made: headers before a payload that is there. */
struct packet_end {
	const uint8_t *mac;
	const uint8_t *address; /* 4 or 16 bytes */
	uint16_t port;
};

#define PACKET_HEADERS (PACKET_ETHERNET + PACKET_IP6 + PACKET_UDP)

/*
 * Puts headers before `size` bytes of payload at frame + PACKET_HEADERS, of
 * UDP over IPv4 or IPv6; where the frame begins, and its size.
 */
uint8_t *packet_udp(uint8_t *frame, uint32_t size, bool six,
		    const struct packet_end *from, const struct packet_end *to,
		    uint32_t *whole);

/*
 * Puts an IPv6 header and an Ethernet one before `size` bytes of ICMPv6 at
 * frame + PACKET_ETHERNET + PACKET_IP6, and fills in its checksum. The size of
 * the frame.
 */
uint32_t packet_icmp6(uint8_t *frame, uint32_t size,
		      const struct packet_end *from,
		      const struct packet_end *to);

#endif
