/* SPDX-License-Identifier: Apache-2.0 */
#include "net/udp.h"

#include "net/sum.h"

#define TYPE	 12 /* in Ethernet's header */
#define IP4	 0x0800u
#define IP6	 0x86ddu
#define UDP_SIZE 8u

/* In the header of IPv4 (RFC 791, 3.1). */
#define IP4_SIZE     20u
#define IP4_VERSION  0x45u /* and the length of one without options */
#define IP4_TOS	     1
#define IP4_LENGTH   2
#define IP4_ID	     4
#define IP4_FRAGMENT 6
#define IP4_MAY_NOT  0x4000u /* be fragmented */
#define IP4_TTL	     8
#define IP4_PROTOCOL 9
#define IP4_SUM	     10
#define IP4_SOURCE   12

/* In that of IPv6 (RFC 8200, 3). */
#define IP6_SIZE    40u
#define IP6_VERSION 0x60u
#define IP6_LENGTH  4 /* of what follows */
#define IP6_NEXT    6
#define IP6_LIMIT   7
#define IP6_SOURCE  8

/* In UDP's. */
#define TO_PORT	   2
#define UDP_LENGTH 4
#define UDP_SUM	   6

/* Where a header has its addresses: the target behind the source. */
static const struct layout {
	uint32_t size;	  /* of the header */
	unsigned int at;
	unsigned int address; /* how long each is */
} layouts[] = {
	{ IP4_SIZE, IP4_SOURCE, sizeof(struct in_addr) },
	{ IP6_SIZE, IP6_SOURCE, sizeof(struct in6_addr) },
};

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
static uint64_t sum_of(const uint8_t *ip, const struct layout *l,
		       uint32_t length)
{
	uint8_t pseudo[4] = { 0, IPPROTO_UDP };
	uint64_t sum = sum_more(0, ip + l->at, 2 * l->address);

	put16(pseudo + 2, length);
	return sum_more(sum_more(sum, pseudo, sizeof(pseudo)), ip + l->size,
			length);
}

static bool is_udp4(const uint8_t *frame, size_t size)
{
	return size >= UDP_ETHERNET + IP4_SIZE && get16(frame + TYPE) == IP4 &&
	       frame[UDP_ETHERNET + IP4_PROTOCOL] == IPPROTO_UDP;
}

static bool is_udp6(const uint8_t *frame, size_t size)
{
	return size >= UDP_ETHERNET + IP6_SIZE && get16(frame + TYPE) == IP6 &&
	       frame[UDP_ETHERNET + IP6_NEXT] == IPPROTO_UDP;
}

bool udp_is_any(const uint8_t *frame, size_t size)
{
	return is_udp4(frame, size) || is_udp6(frame, size);
}

/* IP's and UDP's headers, and what they say of each other. */
static bool is_whole4(const uint8_t *ip, size_t size)
{
	const unsigned int length = get16(ip + IP4_LENGTH);

	return ip[0] == IP4_VERSION && length > IP4_SIZE + UDP_SIZE &&
	       length <= size && !(get16(ip + IP4_FRAGMENT) & ~IP4_MAY_NOT) &&
	       get16(ip + IP4_SIZE + UDP_LENGTH) == length - IP4_SIZE &&
	       !sum_end(sum_more(0, ip, IP4_SIZE));
}

static bool is_whole6(const uint8_t *ip, size_t size)
{
	const unsigned int length = get16(ip + IP6_LENGTH);

	return ip[0] >> 4 == IP6_VERSION >> 4 && length > UDP_SIZE &&
	       IP6_SIZE + length <= size &&
	       get16(ip + IP6_SIZE + UDP_LENGTH) == length;
}

/* Without a sum is none over IPv6 (RFC 8200, 8.1). */
static bool is_sum_right(const uint8_t *ip, const struct udp_datagram *d)
{
	const struct layout *l = &layouts[d->v6];

	if (!get16(ip + l->size + UDP_SUM))
		return !d->v6;
	return !sum_end(sum_of(ip, l, d->size + UDP_SIZE));
}

static struct in6_addr address_at(const uint8_t *at, bool v6)
{
	struct in6_addr address6;
	struct in_addr address4;

	if (!v6) {
		memcpy(&address4, at, sizeof(address4));
		return udp_map4(address4);
	}
	memcpy(&address6, at, sizeof(address6));
	return address6;
}

/* An address of IPv4 in a packet of IPv6 would be taken for the other's. */
static bool is_mixed(const struct udp_datagram *d)
{
	return d->v6 && (IN6_IS_ADDR_V4MAPPED(&d->from) ||
			 IN6_IS_ADDR_V4MAPPED(&d->to));
}

bool udp_parse(struct udp_datagram *d, const void *frame, size_t size)
{
	const uint8_t *ip = (const uint8_t *)frame + UDP_ETHERNET, *udp;
	const struct layout *l;

	d->v6 = is_udp6(frame, size);
	if (size <= udp_heads(d->v6) || (!d->v6 && !is_udp4(frame, size)) ||
	    !(d->v6 ? is_whole6 : is_whole4)(ip, size - UDP_ETHERNET))
		return false;
	l = &layouts[d->v6];
	udp = ip + l->size;
	d->frame = frame;
	d->frame_size = size;
	d->from = address_at(ip + l->at, d->v6);
	d->to = address_at(ip + l->at + l->address, d->v6);
	memcpy(&d->from_port, udp, sizeof(d->from_port));
	memcpy(&d->to_port, udp + TO_PORT, sizeof(d->to_port));
	d->ttl = ip[d->v6 ? IP6_LIMIT : IP4_TTL];
	d->tos = d->v6 ? 0 : ip[IP4_TOS];
	d->size = get16(udp + UDP_LENGTH) - UDP_SIZE;
	return d->ttl > 1 && !is_mixed(d) && is_sum_right(ip, d);
}

static void build4(uint8_t *ip, const struct udp_datagram *d, uint16_t id)
{
	memset(ip, 0, IP4_SIZE);
	ip[0] = IP4_VERSION;
	ip[IP4_TOS] = d->tos;
	put16(ip + IP4_LENGTH, IP4_SIZE + UDP_SIZE + d->size);
	put16(ip + IP4_ID, id);
	ip[IP4_TTL] = d->ttl;
	ip[IP4_PROTOCOL] = IPPROTO_UDP;
}

static void build6(uint8_t *ip, const struct udp_datagram *d)
{
	memset(ip, 0, IP6_SIZE);
	ip[0] = IP6_VERSION;
	put16(ip + IP6_LENGTH, UDP_SIZE + d->size);
	ip[IP6_NEXT] = IPPROTO_UDP;
	ip[IP6_LIMIT] = d->ttl;
}

/* The last bytes of one of IPv4 that is mapped are that. */
static void put_address(uint8_t *at, const struct layout *l,
			const struct in6_addr *address)
{
	memcpy(at, address->s6_addr + sizeof(*address) - l->address,
	       l->address);
}

void udp_build(uint8_t *frame, const struct udp_datagram *d,
	       const uint8_t to[UDP_MAC], const uint8_t from[UDP_MAC],
	       uint16_t id)
{
	const struct layout *l = &layouts[d->v6];
	const uint32_t length = UDP_SIZE + d->size;
	uint8_t *ip = frame + UDP_ETHERNET, *udp = ip + l->size;

	memcpy(frame, to, UDP_MAC);
	memcpy(frame + UDP_MAC, from, UDP_MAC);
	put16(frame + TYPE, d->v6 ? IP6 : IP4);
	if (d->v6)
		build6(ip, d);
	else
		build4(ip, d, id);
	put_address(ip + l->at, l, &d->from);
	put_address(ip + l->at + l->address, l, &d->to);
	if (!d->v6)
		sum_store(ip + IP4_SUM, sum_more(0, ip, IP4_SIZE));
	memcpy(udp, &d->from_port, sizeof(d->from_port));
	memcpy(udp + TO_PORT, &d->to_port, sizeof(d->to_port));
	put16(udp + UDP_LENGTH, length);
	put16(udp + UDP_SUM, 0);
	sum_store(udp + UDP_SUM, sum_of(ip, l, length));
	/* 0 says that there is none. */
	if (!get16(udp + UDP_SUM))
		put16(udp + UDP_SUM, 0xffff);
}
