/* SPDX-License-Identifier: Apache-2.0 */
#include "net/segment.h"

#include <string.h>

#define ETHERNET 14u
#define TCP	 6u
#define TCP_MIN	 20u
#define LARGE	 32768u /* about what one segment is to have */

#define IP4_MIN	     20u
#define IP6_SIZE     40u
#define IP4_LENGTH   2
#define IP4_FRAGMENT 6
#define IP4_PROTOCOL 9
#define IP4_SUM	     10
#define IP4_SOURCE   12
#define IP6_NEXT     6
#define IP6_SOURCE   8

#define MORE_FRAGMENTS 0x2000u
#define OFFSET_MASK    0x1fffu

#define TCP_SIZE  12
#define TCP_FLAGS 13
#define TCP_SUM	  16
#define TCP_SYN	  0x02u

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint32_t sum_of(const uint8_t *at, uint32_t size)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < size; i += 2)
		sum += get16(at + i);
	return sum;
}

/* Where TCP's header begins, and how long it is; 0: no whole one there. */
static uint32_t find_tcp(const uint8_t *frame, uint32_t size, uint32_t *header)
{
	uint32_t type = size >= ETHERNET + IP6_SIZE ? get16(frame + 12) : 0;
	const uint8_t *ip = frame + ETHERNET;
	uint32_t at;

	if (type == 0x0800 && ip[0] >> 4 == 4 && ip[IP4_PROTOCOL] == TCP &&
	    !(get16(ip + IP4_FRAGMENT) & (MORE_FRAGMENTS | OFFSET_MASK)))
		at = ETHERNET + (ip[0] & 15) * 4u;
	else if (type == 0x86dd && ip[IP6_NEXT] == TCP)
		at = ETHERNET + IP6_SIZE;
	else
		return 0;
	if (at < ETHERNET + IP4_MIN || at + TCP_MIN > size)
		return 0;
	*header = (frame[at + TCP_SIZE] >> 4) * 4u;
	return *header >= TCP_MIN && at + *header <= size ? at : 0;
}

/* What a segment has room for in a packet of the MTU's size. */
static uint32_t room_of(uint32_t tcp, unsigned int mtu)
{
	uint32_t heads = tcp - ETHERNET + TCP_MIN;

	return mtu > heads ? mtu - heads : 0;
}

/* The place of the MSS option's value; 0: none, or at an odd one. */
static uint32_t find_mss(const uint8_t *tcp, uint32_t header)
{
	uint32_t at = TCP_MIN;

	while (at + 4 <= header && tcp[at] != OPTION_END) {
		if (tcp[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (tcp[at] == OPTION_MSS)
			return tcp[at + 1] == 4 && !(at & 1) ? at + 2 : 0;
		if (tcp[at + 1] < 2)
			return 0;
		at += tcp[at + 1];
	}
	return 0;
}

void segment_offer(uint8_t *frame, uint32_t size, unsigned int mtu)
{
	uint32_t header, at = find_tcp(frame, size, &header);
	uint8_t *tcp = frame + at;
	uint32_t mss, old, sum;

	if (!at || !(tcp[TCP_FLAGS] & TCP_SYN))
		return;
	mss = find_mss(tcp, header);
	old = mss ? get16(tcp + mss) : 0;
	if (!mss || old != room_of(at, mtu) || old > LARGE / 2)
		return;
	put16(tcp + mss, LARGE / old * old);
	/* RFC 1624: the sum of the one less, of the other more. */
	sum = (~get16(tcp + TCP_SUM) & 0xffff) + (~old & 0xffff) +
	      get16(tcp + mss);
	put16(tcp + TCP_SUM, ~fold(sum));
}

bool segment_open(const void *frame, uint32_t size, unsigned int mtu,
		  uint8_t head[SEGMENT_HEAD], struct span span[2],
		  struct nic_frame *out)
{
	uint32_t header, at = find_tcp(frame, size, &header), sum;
	const bool v6 = get16((const uint8_t *)frame + 12) == 0x86dd;
	uint32_t room = at ? room_of(at, mtu) : 0;

	if (size <= ETHERNET + mtu || !room || at + header > SEGMENT_HEAD ||
	    size <= SEGMENT_HEAD)
		return false;
	memcpy(head, frame, SEGMENT_HEAD);
	sum = TCP + size - at;
	sum += v6 ? sum_of(head + ETHERNET + IP6_SOURCE, 32)
		  : sum_of(head + ETHERNET + IP4_SOURCE, 8);
	put16(head + at + TCP_SUM, fold(sum));
	span[0] = (struct span){ head, SEGMENT_HEAD };
	span[1] = (struct span){ (char *)frame + SEGMENT_HEAD,
				 size - SEGMENT_HEAD };
	*out = (struct nic_frame){
		.span = span,
		.spans = 2,
		.size = size,
		.sum = NIC_SUM_OPEN,
		.cut = v6 ? NIC_CUT_TCP6 : NIC_CUT_TCP4,
		.sum_start = (uint16_t)at,
		.sum_offset = TCP_SUM,
		.header = (uint16_t)(at + header),
		.segment = (uint16_t)(room - (header - TCP_MIN)),
	};
	return true;
}

/* --- fragments ------------------------------------------------------------------- */

bool segment_too_long(const uint8_t *frame, uint32_t size, unsigned int mtu)
{
	const uint8_t *ip = frame + ETHERNET;
	uint32_t header;

	if (size <= ETHERNET + mtu || get16(frame + 12) != 0x0800)
		return false;
	header = (ip[0] & 15) * 4u;
	return ip[0] >> 4 == 4 && header >= IP4_MIN && header + 8 <= mtu &&
	       ETHERNET + header < size;
}

uint32_t segment_fragment(const uint8_t *frame, uint32_t size,
			  unsigned int mtu, uint32_t *done, uint8_t *to)
{
	uint32_t header = (frame[ETHERNET] & 15) * 4u, heads = ETHERNET + header;
	uint32_t left = size - heads - *done, part = (mtu - header) & ~7u;
	uint32_t fragment = get16(frame + ETHERNET + IP4_FRAGMENT);
	uint8_t *ip = to + ETHERNET;

	if (!left)
		return 0;
	if (left <= mtu - header)
		part = left;
	memcpy(to, frame, heads);
	memcpy(to + heads, frame + heads + *done, part);
	put16(ip + IP4_LENGTH, header + part);
	fragment = ((fragment & OFFSET_MASK) + *done / 8) |
		   (part < left ? MORE_FRAGMENTS : fragment & MORE_FRAGMENTS);
	put16(ip + IP4_FRAGMENT, fragment);
	put16(ip + IP4_SUM, 0);
	put16(ip + IP4_SUM, ~fold(sum_of(ip, header)));
	*done += part;
	return heads + part;
}
