/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of ICMP (RFC 792, RFC 4443) that a stack tells a guest of, as libslirp
 * 4.7 makes them: those of this host's loopback come from there, which no guest
 * takes from a card, and over IPv6 they are as long as what they are about.
 */
#ifndef LODGE_NET_ICMP_H
#define LODGE_NET_ICMP_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define ICMP_LONG 1514u /* more than any error that is mended */

/* The host, as the guest knows it. */
struct icmp_host {
	struct in_addr host;
	struct in6_addr host6;
};

/*
 * The frame, or if it has to be mended a copy in `copy` that comes from the
 * host and is no longer than an error may be. Anything else stays as it is.
 */
const void *icmp_mend(const struct icmp_host *host, const void *frame,
		      size_t *size, uint8_t copy[ICMP_LONG]);

#endif
