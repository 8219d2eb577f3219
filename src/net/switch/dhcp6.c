/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/dhcp6.h"

#include <string.h>

#include "net/switch/packet.h"

#define HEADER	  4u	/* type and transaction */
#define CLIENT_MAX 130u /* of a client (11.1: 128 and its type) */

enum {
	INFORMATION_REQUEST = 11,
	REPLY = 7,

	CLIENT_ID = 1,
	SERVER_ID = 2,
	NAME_SERVERS = 23,
	DOMAINS = 24,
};

/* An option and its size; NULL: it is not there. */
static const uint8_t *find(const uint8_t *message, uint32_t size,
			   uint32_t wanted, uint32_t *length)
{
	uint32_t at = HEADER;

	while (size - at >= 4) {
		const uint8_t *option = message + at;

		*length = packet_get16(option + 2);
		if (*length > size - at - 4)
			return NULL;
		if (packet_get16(option) == wanted)
			return option + 4;
		at += 4 + *length;
	}
	return NULL;
}

static uint32_t put(uint8_t *to, uint32_t option, const void *bytes,
		    uint32_t length)
{
	packet_put16(to, option);
	packet_put16(to + 2, length);
	memcpy(to + 4, bytes, length);
	return 4 + length;
}

/* As in messages of DNS (RFC 1035, 3.1); how long it is. */
static uint32_t write_name(const char *name, uint8_t *to)
{
	uint32_t size = 0;

	while (*name) {
		const size_t label = strcspn(name, ".");

		to[size++] = (uint8_t)label;
		memcpy(to + size, name, label);
		size += (uint32_t)label;
		name += label + (name[label] == '.');
	}
	to[size++] = 0;
	return size;
}

uint32_t dhcp6_answer(const struct network *network,
		      const uint8_t mac[NIC_MAC], const uint8_t *message,
		      uint32_t size, uint8_t reply[DHCP6_REPLY_MAX])
{
	const struct in6_addr names = network_names6(network);
	uint8_t server[4 + NIC_MAC] = { 0, 3, 0, 1 }; /* a DUID-LL, 11.4 */
	uint8_t domain[NETWORK_DOMAIN_MAX + 2];
	const uint8_t *client, *asked;
	uint32_t length, other, at = HEADER;

	if (size < HEADER || message[0] != INFORMATION_REQUEST)
		return 0;
	memcpy(server + 4, mac, NIC_MAC);
	asked = find(message, size, SERVER_ID, &other);
	if (asked && (other != sizeof(server) ||
		      memcmp(asked, server, sizeof(server))))
		return 0;
	client = find(message, size, CLIENT_ID, &length);
	if (client && length > CLIENT_MAX)
		return 0;
	memcpy(reply, message, HEADER);
	reply[0] = REPLY;
	if (client)
		at += put(reply + at, CLIENT_ID, client, length);
	at += put(reply + at, SERVER_ID, server, sizeof(server));
	at += put(reply + at, NAME_SERVERS, &names, sizeof(names));
	at += put(reply + at, DOMAINS, domain,
		  write_name(network->domain, domain));
	return at;
}
