/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP segments in frames, as a stack behind a card needs to look at them (RFC
 * 9293), over IPv4 and IPv6 without extension headers; no fragments.
 */
#ifndef LODGE_NET_TCP_H
#define LODGE_NET_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TCP_FIN 0x01u
#define TCP_SYN 0x02u
#define TCP_RST 0x04u
#define TCP_ACK 0x10u

struct tcp_segment {
	const uint8_t *frame;
	uint32_t at; /* where TCP's header begins */
	uint32_t sequence, ack;
	uint32_t size; /* of the data */
	unsigned int flags, window;
};

/* False: it is none. */
bool tcp_parse(struct tcp_segment *segment, const void *frame, size_t size);

#define TCP_PLAIN 74u /* the longest segment without data and options */

/* One without data or options that answers or asks another. */
struct tcp_plain {
	uint8_t frame[TCP_PLAIN];
	uint32_t size;
};

/* A plain one for him who sent `segment`, its window closed. */
void tcp_answer(struct tcp_plain *plain, const struct tcp_segment *segment,
		uint32_t sequence, uint32_t ack, unsigned int flags);

/* Whether `segment` goes the other way of the same connection, or the same. */
bool tcp_is_reply(const struct tcp_segment *segment,
		  const struct tcp_plain *plain);
bool tcp_is_same(const struct tcp_segment *segment,
		 const struct tcp_plain *plain);

/* Of the connection, the same both ways. */
unsigned int tcp_hash(const struct tcp_segment *segment);

#endif
