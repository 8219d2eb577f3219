/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams of UDP (RFC 768) in frames, over IPv4 without options or IPv6
 * without extension headers, no fragments and no VLAN tag: what is needed to
 * pass them on without a stack.
 */
#ifndef LODGE_NET_UDP_H
#define LODGE_NET_UDP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define UDP_MAC	     6u
#define UDP_ETHERNET 14u
#define UDP_HEADS4   42u    /* of Ethernet, IPv4 and UDP */
#define UDP_HEADS6   62u    /* and of IPv6 */
#define UDP_DATA_MAX 65527u /* in one datagram */

/* Addresses and ports in the network's byte order. */
struct udp_datagram {
	const uint8_t *frame;
	size_t frame_size;
	struct in6_addr from, to; /* those of IPv4 mapped: udp_map4() */
	uint16_t from_port, to_port;
	bool v6;
	uint8_t ttl;
	uint8_t tos;   /* of IPv4 alone */
	uint32_t size; /* of the data, behind udp_heads(); never 0 */
};

/* An address of IPv4 as one of IPv6 (RFC 4291, 2.5.5.2). */
static inline struct in6_addr udp_map4(struct in_addr address)
{
	struct in6_addr mapped = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(mapped.s6_addr + 12, &address, sizeof(address));
	return mapped;
}

static inline uint32_t udp_heads(bool v6)
{
	return v6 ? UDP_HEADS6 : UDP_HEADS4;
}

/*
 * False: it is none, or one that a stack has to look at: malformed, with a sum
 * that is wrong, without data, at the end of its time to live.
 */
bool udp_parse(struct udp_datagram *datagram, const void *frame, size_t size);

/* Whether the frame carries UDP, be it a fragment of it over IPv4. */
bool udp_is_any(const uint8_t *frame, size_t size);

/*
 * Writes the headers of a frame, before `size` bytes of data. Of the datagram
 * it takes addresses, ports, time to live and type of service. Only IPv4 has an
 * `id`.
 */
void udp_build(uint8_t *frame, const struct udp_datagram *datagram,
	       const uint8_t to[UDP_MAC], const uint8_t from[UDP_MAC],
	       uint16_t id);

#endif
