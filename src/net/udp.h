/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams of UDP (RFC 768) in frames, over IPv4 without options, fragments
 * or a VLAN tag: what is needed to pass them on without a stack.
 */
#ifndef LODGE_NET_UDP_H
#define LODGE_NET_UDP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDP_MAC	     6u
#define UDP_ETHERNET 14u
#define UDP_HEADS    42u    /* of Ethernet, IP and UDP */
#define UDP_DATA_MAX 65507u /* in one datagram */

/* Addresses and ports in the network's byte order. */
struct udp_datagram {
	const uint8_t *frame;
	size_t frame_size;
	struct in_addr from, to;
	uint16_t from_port, to_port;
	uint8_t ttl, tos;
	uint32_t size; /* of the data, behind UDP_HEADS; never 0 */
};

/*
 * False: it is none, or one that a stack has to look at: malformed, with a sum
 * that is wrong, without data, at the end of its time to live.
 */
bool udp_parse(struct udp_datagram *datagram, const void *frame, size_t size);

/* Whether the frame carries UDP over IPv4, be it a fragment of it. */
bool udp_is_any(const uint8_t *frame, size_t size);

/*
 * Writes the headers of a frame, before `size` bytes of data. Of the datagram
 * it takes addresses, ports, time to live and type of service.
 */
void udp_build(uint8_t *frame, const struct udp_datagram *datagram,
	       const uint8_t to[UDP_MAC], const uint8_t from[UDP_MAC],
	       uint16_t id);

#endif
