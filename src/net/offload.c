/* SPDX-License-Identifier: Apache-2.0 */
#include "net/offload.h"

#include <string.h>

#include "net/sum.h"

#define IP4_LENGTH   2
#define IP4_ID	     4
#define IP4_SUM	     10
#define IP4_SOURCE   12
#define IP6_LENGTH   4
#define IP6_SOURCE   8
#define IP6_SIZE     40
#define TCP_SEQUENCE 4
#define TCP_FLAGS    13
#define TCP_SUM	     16
#define UDP_SUM	     6

#define UDP 17 /* of IP's protocols */

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* --- packets in one piece ------------------------------------------------------ */

/* Where IP begins: behind the Ethernet header and a VLAN tag. */
static unsigned int ip_at(const uint8_t *frame)
{
	return get16(frame + 12) == 0x8100 ? 18 : 14;
}

/* Lengths and checksums of TCP in the `size` bytes at `frame`. */
static void seal(uint8_t *frame, uint32_t size, unsigned int ip,
		 unsigned int tcp, bool v6)
{
	uint32_t length = size - tcp;
	uint8_t pseudo[4] = { 0, 6, 0, 0 };
	uint64_t sum;

	put16(pseudo + 2, length);
	sum = sum_more(0, pseudo, sizeof(pseudo));
	if (v6) {
		put16(frame + ip + IP6_LENGTH, size - ip - IP6_SIZE);
		sum = sum_more(sum, frame + ip + IP6_SOURCE, 32);
	} else {
		put16(frame + ip + IP4_LENGTH, size - ip);
		put16(frame + ip + IP4_SUM, 0);
		sum_store(frame + ip + IP4_SUM,
			  sum_more(0, frame + ip, (frame[ip] & 15) * 4u));
		sum = sum_more(sum, frame + ip + IP4_SOURCE, 8);
	}
	put16(frame + tcp + TCP_SUM, 0);
	sum_store(frame + tcp + TCP_SUM, sum_more(sum, frame + tcp, length));
}

/* Whether the header is one that seal() may work on. */
static bool is_tcp(const uint8_t *head, const struct nic_frame *frame)
{
	unsigned int ip = ip_at(head), tcp = frame->sum_start;

	if (frame->cut == NIC_CUT_TCP6)
		return get16(head + ip - 2) == 0x86dd &&
		       tcp >= ip + IP6_SIZE;
	return get16(head + ip - 2) == 0x0800 &&
	       (head[ip] & 15) >= 5 && tcp >= ip + (head[ip] & 15) * 4u;
}

/* Fills in what is open. */
static void close_sum(const struct nic_frame *frame, uint8_t *to)
{
	uint8_t *sum = to + frame->sum_start + frame->sum_offset;

	if (frame->cut && is_tcp(to, frame)) {
		seal(to, frame->size, ip_at(to), frame->sum_start,
		     frame->cut == NIC_CUT_TCP6);
		return;
	}
	sum_store(sum, sum_more(0, to + frame->sum_start,
				frame->size - frame->sum_start));
	/* 0 says that there is none (RFC 768). */
	if (frame->sum_offset == UDP_SUM && !get16(sum))
		put16(sum, 0xffff);
}

void offload_copy(const struct nic_frame *frame, uint8_t *to)
{
	nic_frame_read(frame, 0, to, frame->size);
	if (frame->sum == NIC_SUM_OPEN)
		close_sum(frame, to);
}

/* A datagram over IPv4, all of it. */
static bool is_udp4(const uint8_t *head, const struct nic_frame *frame)
{
	const unsigned int ip = ip_at(head);

	return !frame->cut && frame->sum_offset == UDP_SUM &&
	       frame->size >= NIC_HEAD &&
	       nic_frame_protocol(head, frame->size) == UDP &&
	       get16(head + ip - 2) == 0x0800 &&
	       frame->sum_start == ip + (head[ip] & 15) * 4u;
}

void offload_copy_near(const struct nic_frame *frame, uint8_t *to)
{
	nic_frame_read(frame, 0, to, frame->size);
	if (frame->sum != NIC_SUM_OPEN)
		return;
	if (is_udp4(to, frame))
		put16(to + frame->sum_start + UDP_SUM, 0);
	else
		close_sum(frame, to);
}

/* --- segments ------------------------------------------------------------------- */

bool offload_begin(struct offload_cutter *cutter,
		   const struct nic_frame *frame, uint8_t *room)
{
	*cutter = (struct offload_cutter){
		.frame = frame,
		.head = room,
		.segment = room + OFFLOAD_HEADER_MAX,
	};
	if (frame->header > OFFLOAD_HEADER_MAX || frame->header < 34)
		return false;
	nic_frame_read(frame, 0, cutter->head, frame->header);
	cutter->ip = ip_at(cutter->head);
	return is_tcp(cutter->head, frame);
}

/* What differs from the header of the first one. */
static void number(struct offload_cutter *cutter, bool last)
{
	const struct nic_frame *frame = cutter->frame;
	uint8_t *tcp = cutter->segment + frame->sum_start;
	uint8_t *id = cutter->segment + cutter->ip + IP4_ID;
	uint32_t sequence = get32(tcp + TCP_SEQUENCE) + cutter->done;

	put16(tcp + TCP_SEQUENCE, sequence >> 16);
	put16(tcp + TCP_SEQUENCE + 2, sequence);
	if (frame->cut == NIC_CUT_TCP4)
		put16(id, get16(id) + cutter->count);
	if (cutter->count)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t)~(TCP_FIN | TCP_PSH);
}

bool offload_next(struct offload_cutter *cutter)
{
	const struct nic_frame *frame = cutter->frame;
	uint32_t left = frame->size - frame->header - cutter->done;
	uint32_t part = left < frame->segment ? left : frame->segment;

	if (!left)
		return false;
	memcpy(cutter->segment, cutter->head, frame->header);
	nic_frame_read(frame, frame->header + cutter->done,
		       cutter->segment + frame->header, part);
	cutter->size = frame->header + part;
	number(cutter, part == left);
	seal(cutter->segment, cutter->size, cutter->ip, frame->sum_start,
	     frame->cut == NIC_CUT_TCP6);
	cutter->done += part;
	cutter->count++;
	return true;
}
