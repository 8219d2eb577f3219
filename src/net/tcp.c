/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tcp.h"

#include <string.h>

#define ETHERNET 14u
#define MAC	 6u
#define PROTOCOL 6u
#define TCP_MIN	 20u
#define IP4_MIN	 20u
#define IP6_SIZE 40u

#define IP4_LENGTH   2
#define IP4_FRAGMENT 6
#define IP4_PROTOCOL 9
#define IP4_SUM	     10
#define IP4_SOURCE   12
#define IP6_LENGTH   4
#define IP6_NEXT     6
#define IP6_SOURCE   8

#define SEQUENCE 4
#define ACK	 8
#define SIZE	 12 /* in words, in the upper 4 bits */
#define FLAGS	 13
#define WINDOW	 14
#define SUM	 16

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* Where TCP's header begins; *end: where the packet does. 0: it is no TCP. */
static uint32_t find(const uint8_t *frame, size_t size, uint32_t *end)
{
	const uint8_t *ip = frame + ETHERNET;
	uint32_t type = size >= ETHERNET + IP6_SIZE ? get16(frame + 12) : 0;

	if (type == 0x0800 && ip[0] >> 4 == 4 && (ip[0] & 15) >= 5 &&
	    ip[IP4_PROTOCOL] == PROTOCOL &&
	    !(get16(ip + IP4_FRAGMENT) & 0x3fff)) {
		*end = ETHERNET + get16(ip + IP4_LENGTH);
		return ETHERNET + (ip[0] & 15) * 4u;
	}
	if (type != 0x86dd || ip[IP6_NEXT] != PROTOCOL)
		return 0;
	*end = ETHERNET + IP6_SIZE + get16(ip + IP6_LENGTH);
	return ETHERNET + IP6_SIZE;
}

bool tcp_parse(struct tcp_segment *s, const void *frame, size_t size)
{
	uint32_t end = 0, header;
	const uint8_t *tcp;

	s->frame = frame;
	s->at = find(frame, size, &end);
	if (!s->at || end > size || s->at + TCP_MIN > end)
		return false;
	tcp = s->frame + s->at;
	header = (tcp[SIZE] >> 4) * 4u;
	if (header < TCP_MIN || s->at + header > end)
		return false;
	s->sequence = get32(tcp + SEQUENCE);
	s->ack = get32(tcp + ACK);
	s->size = end - s->at - header;
	s->flags = tcp[FLAGS];
	s->window = get16(tcp + WINDOW);
	return true;
}

static uint32_t sum_of(const uint8_t *at, uint32_t size)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < size; i += 2)
		sum += get16(at + i);
	return sum;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(at, ~sum);
}

static bool is_v6(const uint8_t *frame)
{
	return get16(frame + 12) == 0x86dd;
}

/* The IP header, turned round; the sum of TCP's pseudo header. */
static uint32_t answer_ip(uint8_t *ip, const uint8_t *from, bool v6)
{
	const unsigned int at = v6 ? IP6_SOURCE : IP4_SOURCE;
	const unsigned int size = v6 ? 16 : 4;

	memcpy(ip, from, v6 ? IP6_SIZE : IP4_MIN);
	memcpy(ip + at, from + at + size, size);
	memcpy(ip + at + size, from + at, size);
	if (v6) {
		put16(ip + IP6_LENGTH, TCP_MIN);
	} else {
		ip[0] = 0x45;
		put16(ip + IP4_LENGTH, IP4_MIN + TCP_MIN);
		put16(ip + IP4_SUM, 0);
		put_sum(ip + IP4_SUM, sum_of(ip, IP4_MIN));
	}
	return PROTOCOL + TCP_MIN + sum_of(ip + at, 2 * size);
}

void tcp_answer(struct tcp_plain *plain, const struct tcp_segment *segment,
		uint32_t sequence, uint32_t ack, unsigned int flags)
{
	const uint8_t *from = segment->frame;
	const bool v6 = is_v6(from);
	const uint32_t at = ETHERNET + (v6 ? IP6_SIZE : IP4_MIN);
	uint8_t *frame = plain->frame, *tcp = frame + at;
	uint32_t pseudo;

	plain->size = at + TCP_MIN;
	memcpy(frame, from + MAC, MAC);
	memcpy(frame + MAC, from, MAC);
	memcpy(frame + 2 * MAC, from + 2 * MAC, 2);
	pseudo = answer_ip(frame + ETHERNET, from + ETHERNET, v6);
	memset(tcp, 0, TCP_MIN);
	memcpy(tcp, from + segment->at + 2, 2);
	memcpy(tcp + 2, from + segment->at, 2);
	put32(tcp + SEQUENCE, sequence);
	put32(tcp + ACK, ack);
	put16(tcp + SIZE, TCP_MIN / 4 << 12 | flags);
	put_sum(tcp + SUM, pseudo + sum_of(tcp, TCP_MIN));
}

bool tcp_is_reply(const struct tcp_segment *segment,
		  const struct tcp_plain *plain)
{
	const uint8_t *a = segment->frame, *b = plain->frame;
	const bool v6 = is_v6(a);
	const uint32_t at = ETHERNET + (v6 ? IP6_SOURCE : IP4_SOURCE);
	const uint32_t size = v6 ? 16 : 4;
	const uint8_t *ports = b + plain->size - TCP_MIN;

	return is_v6(b) == v6 && !memcmp(a + at, b + at + size, size) &&
	       !memcmp(a + at + size, b + at, size) &&
	       !memcmp(a + segment->at, ports + 2, 2) &&
	       !memcmp(a + segment->at + 2, ports, 2);
}

bool tcp_is_same(const struct tcp_segment *segment,
		 const struct tcp_plain *plain)
{
	const uint8_t *a = segment->frame, *b = plain->frame;
	const bool v6 = is_v6(a);
	const uint32_t at = ETHERNET + (v6 ? IP6_SOURCE : IP4_SOURCE);
	const uint8_t *ports = b + plain->size - TCP_MIN;

	return is_v6(b) == v6 && !memcmp(a + at, b + at, v6 ? 32 : 8) &&
	       !memcmp(a + segment->at, ports, 4);
}

unsigned int tcp_hash(const struct tcp_segment *segment)
{
	const uint8_t *frame = segment->frame;
	const bool v6 = is_v6(frame);
	const uint32_t at = ETHERNET + (v6 ? IP6_SOURCE : IP4_SOURCE);
	uint32_t sum = sum_of(frame + at, v6 ? 32 : 8) +
		       sum_of(frame + segment->at, 4);

	return sum ^ sum >> 8 ^ sum >> 16;
}
