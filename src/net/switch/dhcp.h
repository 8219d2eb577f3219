/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCP server of a switch (RFC 2131, options of RFC 2132): each card is
 * offered the one address that it was leased when it was plugged in. DECLINE
 * and RELEASE change nothing.
 */
#ifndef LODGE_NET_SWITCH_DHCP_H
#define LODGE_NET_SWITCH_DHCP_H

#include "net/network.h"

#define DHCP_REPLY_MAX 576u

struct dhcp_client {
	const uint8_t *mac;
	uint32_t lease;
	const char *name; /* the machine's */
};

struct dhcp_reply {
	uint32_t size;
	bool broadcast; /* to everyone; else to `target` */
	uint32_t target;
	uint8_t bytes[DHCP_REPLY_MAX];
};

/* What a message, UDP's payload, is answered. False: nothing. */
bool dhcp_answer(const struct network *network,
		 const struct dhcp_client *client, const uint8_t *message,
		 uint32_t size, struct dhcp_reply *reply);

#endif
