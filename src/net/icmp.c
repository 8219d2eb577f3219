/* SPDX-License-Identifier: Apache-2.0 */
#include "net/icmp.h"

#include <stdbool.h>
#include <string.h>

#include "net/sum.h"

#define ETHERNET 14u
#define TYPE	 12
#define LOOPBACK 127
#define HEADER	 8u /* ICMP's, of an error */

/* In IPv4's header, of which there are no options. */
#define IP4_SIZE     20u
#define IP4_PROTOCOL 9
#define IP4_SUM	     10
#define IP4_SOURCE   12

/* In IPv6's. */
#define IP6_SIZE   40u
#define IP6_LENGTH 4
#define IP6_NEXT   6
#define IP6_SOURCE 8
#define IP6_MOST   1280u /* of an error (RFC 4443, 2.4) */
#define INFORMS	   128u	 /* types from here on are no errors (2.1) */
#define ICMP6_SUM  2

static unsigned int get16(const uint8_t *at)
{
	return (unsigned int)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static bool is_wrong4(const uint8_t *ip, size_t size)
{
	return size >= IP4_SIZE + HEADER && ip[0] == 0x45 &&
	       ip[IP4_PROTOCOL] == IPPROTO_ICMP && ip[IP4_SOURCE] == LOOPBACK;
}

static void mend4(const struct icmp_host *host, uint8_t *ip)
{
	memcpy(ip + IP4_SOURCE, &host->host, sizeof(host->host));
	memset(ip + IP4_SUM, 0, 2);
	sum_store(ip + IP4_SUM, sum_more(0, ip, IP4_SIZE));
}

static bool is_loopback6(const uint8_t *ip)
{
	return !memcmp(ip + IP6_SOURCE, &in6addr_loopback,
		       sizeof(in6addr_loopback));
}

static bool is_wrong6(const uint8_t *ip, size_t size)
{
	return size >= IP6_SIZE + HEADER && ip[0] >> 4 == 6 &&
	       ip[IP6_NEXT] == IPPROTO_ICMPV6 && ip[IP6_SIZE] < INFORMS &&
	       (size > IP6_MOST || is_loopback6(ip));
}

static void mend6(const struct icmp_host *host, uint8_t *ip, size_t size)
{
	uint8_t *icmp = ip + IP6_SIZE;
	uint8_t pseudo[4] = { 0, IPPROTO_ICMPV6 };
	uint64_t sum;

	if (is_loopback6(ip))
		memcpy(ip + IP6_SOURCE, &host->host6, sizeof(host->host6));
	put16(ip + IP6_LENGTH, (unsigned int)(size - IP6_SIZE));
	memcpy(pseudo + 2, ip + IP6_LENGTH, 2);
	memset(icmp + ICMP6_SUM, 0, 2);
	sum = sum_more(sum_more(0, ip + IP6_SOURCE, 32), pseudo, 4);
	sum_store(icmp + ICMP6_SUM, sum_more(sum, icmp, size - IP6_SIZE));
}

const void *icmp_mend(const struct icmp_host *host, const void *frame,
		      size_t *size, uint8_t copy[ICMP_LONG])
{
	const uint8_t *from = frame;
	const unsigned int type = *size > ETHERNET ? get16(from + TYPE) : 0;

	if (type == 0x86dd && is_wrong6(from + ETHERNET, *size - ETHERNET)) {
		if (*size > ETHERNET + IP6_MOST)
			*size = ETHERNET + IP6_MOST;
		memcpy(copy, from, *size);
		mend6(host, copy + ETHERNET, *size - ETHERNET);
		return copy;
	}
	if (type != 0x0800 || *size > ICMP_LONG ||
	    !is_wrong4(from + ETHERNET, *size - ETHERNET))
		return frame;
	memcpy(copy, from, *size);
	mend4(host, copy + ETHERNET);
	return copy;
}
