/* SPDX-License-Identifier: Apache-2.0 */
#include "net/udp.h"

#include <string.h>

#include "net/sum.h"

#define TYPE	 12 /* in Ethernet's header */
#define IP4	 0x0800u
#define IP4_SIZE 20u
#define UDP_SIZE 8u

/* In IP's header (RFC 791, 3.1). */
#define VERSION	 0x45u /* and the length of one without options */
#define TOS	 1
#define LENGTH	 2
#define ID	 4
#define FRAGMENT 6
#define MAY_NOT	 0x4000u /* be fragmented */
#define TTL	 8
#define PROTOCOL 9
#define SUM	 10
#define SOURCE	 12
#define TARGET	 16

/* In UDP's. */
#define TO_PORT	   2
#define UDP_LENGTH 4
#define UDP_SUM	   6

static unsigned int get16(const uint8_t *at)
{
	return (unsigned int)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Of the pseudo header, UDP's and the data. */
static uint64_t sum_of(const uint8_t *ip, uint32_t length)
{
	uint8_t pseudo[4] = { 0, IPPROTO_UDP };
	uint64_t sum = sum_more(0, ip + SOURCE, 8);

	put16(pseudo + 2, length);
	return sum_more(sum_more(sum, pseudo, sizeof(pseudo)), ip + IP4_SIZE,
			length);
}

bool udp_is_any(const uint8_t *frame, size_t size)
{
	return size >= UDP_ETHERNET + IP4_SIZE && get16(frame + TYPE) == IP4 &&
	       frame[UDP_ETHERNET + PROTOCOL] == IPPROTO_UDP;
}

/* IP's and UDP's headers, and what they say of each other. */
static bool is_whole(const uint8_t *ip, size_t size)
{
	const unsigned int length = get16(ip + LENGTH);

	return ip[0] == VERSION && length > IP4_SIZE + UDP_SIZE &&
	       length <= size &&
	       !(get16(ip + FRAGMENT) & ~MAY_NOT) && ip[TTL] > 1 &&
	       get16(ip + IP4_SIZE + UDP_LENGTH) == length - IP4_SIZE &&
	       !sum_end(sum_more(0, ip, IP4_SIZE));
}

bool udp_parse(struct udp_datagram *d, const void *frame, size_t size)
{
	const uint8_t *ip = (const uint8_t *)frame + UDP_ETHERNET;
	const uint8_t *udp = ip + IP4_SIZE;

	if (size <= UDP_HEADS || !udp_is_any(frame, size) ||
	    !is_whole(ip, size - UDP_ETHERNET))
		return false;
	d->frame = frame;
	d->frame_size = size;
	memcpy(&d->from, ip + SOURCE, sizeof(d->from));
	memcpy(&d->to, ip + TARGET, sizeof(d->to));
	memcpy(&d->from_port, udp, sizeof(d->from_port));
	memcpy(&d->to_port, udp + TO_PORT, sizeof(d->to_port));
	d->ttl = ip[TTL];
	d->tos = ip[TOS];
	d->size = get16(udp + UDP_LENGTH) - UDP_SIZE;
	return !get16(udp + UDP_SUM) ||
	       !sum_end(sum_of(ip, d->size + UDP_SIZE));
}

void udp_build(uint8_t *frame, const struct udp_datagram *d,
	       const uint8_t to[UDP_MAC], const uint8_t from[UDP_MAC],
	       uint16_t id)
{
	const uint32_t length = UDP_SIZE + d->size;
	uint8_t *ip = frame + UDP_ETHERNET, *udp = ip + IP4_SIZE;

	memcpy(frame, to, UDP_MAC);
	memcpy(frame + UDP_MAC, from, UDP_MAC);
	put16(frame + TYPE, IP4);
	memset(ip, 0, IP4_SIZE);
	ip[0] = VERSION;
	ip[TOS] = d->tos;
	put16(ip + LENGTH, IP4_SIZE + length);
	put16(ip + ID, id);
	ip[TTL] = d->ttl;
	ip[PROTOCOL] = IPPROTO_UDP;
	memcpy(ip + SOURCE, &d->from, sizeof(d->from));
	memcpy(ip + TARGET, &d->to, sizeof(d->to));
	sum_store(ip + SUM, sum_more(0, ip, IP4_SIZE));
	memcpy(udp, &d->from_port, sizeof(d->from_port));
	memcpy(udp + TO_PORT, &d->to_port, sizeof(d->to_port));
	put16(udp + UDP_LENGTH, length);
	put16(udp + UDP_SUM, 0);
	sum_store(udp + UDP_SUM, sum_of(ip, length));
	/* 0 says that there is none. */
	if (!get16(udp + UDP_SUM))
		put16(udp + UDP_SUM, 0xffff);
}
