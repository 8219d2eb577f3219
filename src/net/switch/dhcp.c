/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/dhcp.h"

#include <string.h>

#include "net/switch/packet.h"

#define OPTIONS	   240u /* behind the cookie */
#define COOKIE	   0x63825363u
#define LEASE_TIME 86400u /* seconds */
#define BROADCAST  0x8000u

enum { /* where things are in a message */
	OP = 0,
	XID = 4,
	FLAGS = 10,
	CIADDR = 12,
	YIADDR = 16,
	CHADDR = 28,
};

enum {
	DISCOVER = 1,
	OFFER = 2,
	REQUEST = 3,
	ACK = 5,
	NAK = 6,
	INFORM = 8,
};

enum { /* options */
	PAD = 0,
	MASK = 1,
	ROUTER = 3,
	NAME_SERVER = 6,
	HOST_NAME = 12,
	DOMAIN = 15,
	MTU = 26,
	BROADCAST_ADDRESS = 28,
	WISH = 50,
	TIME = 51,
	TYPE = 53,
	SERVER = 54,
	END = 255,
};

/* The option, if it is there with `size` bytes. */
static const uint8_t *find(const uint8_t *message, uint32_t size, uint8_t name,
			   uint8_t length)
{
	uint32_t at = OPTIONS;

	while (at < size && message[at] != END) {
		if (message[at] == PAD) {
			at++;
			continue;
		}
		if (at + 2 > size || at + 2 + message[at + 1] > size)
			return NULL;
		if (message[at] == name)
			return message[at + 1] == length ? message + at + 2
							 : NULL;
		at += 2u + message[at + 1];
	}
	return NULL;
}

static uint32_t wish_of(const uint8_t *message, uint32_t size)
{
	const uint8_t *wish = find(message, size, WISH, 4);

	return wish ? packet_get32(wish) : packet_get32(message + CIADDR);
}

/* The type of the answer; 0: none. */
static uint8_t decide(const struct network *network,
		      const struct dhcp_client *client, const uint8_t *message,
		      uint32_t size)
{
	const uint8_t *type = find(message, size, TYPE, 1);
	const uint8_t *server = find(message, size, SERVER, 4);

	if (!type)
		return 0;
	switch (*type) {
	case DISCOVER:
		return OFFER;
	case REQUEST:
		if (server && packet_get32(server) != network_names4(network))
			return 0;
		return wish_of(message, size) == client->lease ? ACK : NAK;
	case INFORM:
		return ACK;
	default:
		return 0;
	}
}

/* --- the answer ------------------------------------------------------------------- */

static void put(struct dhcp_reply *reply, uint8_t name, const void *bytes,
		size_t size)
{
	uint8_t *at = reply->bytes + reply->size;

	at[0] = name;
	at[1] = (uint8_t)size;
	memcpy(at + 2, bytes, size);
	reply->size += 2 + (uint32_t)size;
}

static void put32(struct dhcp_reply *reply, uint8_t name, uint32_t value)
{
	uint8_t bytes[4];

	packet_put32(bytes, value);
	put(reply, name, bytes, sizeof(bytes));
}

static void put_network(struct dhcp_reply *reply,
			const struct network *network,
			const struct dhcp_client *client)
{
	uint32_t mask = ~(UINT32_MAX >> network->bits4);
	uint8_t mtu[2];

	put32(reply, MASK, mask);
	put32(reply, BROADCAST_ADDRESS, network->net4 | ~mask);
	if (network->kind == NETWORK_NAT)
		put32(reply, ROUTER, network_router4(network));
	put32(reply, NAME_SERVER, network_names4(network));
	put(reply, HOST_NAME, client->name, strlen(client->name));
	put(reply, DOMAIN, network->domain, strlen(network->domain));
	packet_put16(mtu, network->mtu);
	if (network->mtu)
		put(reply, MTU, mtu, sizeof(mtu));
}

bool dhcp_answer(const struct network *network,
		 const struct dhcp_client *client, const uint8_t *message,
		 uint32_t size, struct dhcp_reply *reply)
{
	uint8_t type;
	bool informs;

	if (size < OPTIONS || message[OP] != 1 || message[1] != 1 ||
	    message[2] != NIC_MAC ||
	    packet_get32(message + OPTIONS - 4) != COOKIE ||
	    memcmp(message + CHADDR, client->mac, NIC_MAC))
		return false;
	type = client->lease ? decide(network, client, message, size) : 0;
	if (!type)
		return false;
	informs = *find(message, size, TYPE, 1) == INFORM;
	memset(reply, 0, sizeof(*reply));
	reply->bytes[OP] = 2;
	memcpy(reply->bytes + 1, message + 1, 2);
	memcpy(reply->bytes + XID, message + XID, 4);
	memcpy(reply->bytes + FLAGS, message + FLAGS, 2);
	memcpy(reply->bytes + CHADDR, client->mac, NIC_MAC);
	packet_put32(reply->bytes + OPTIONS - 4, COOKIE);
	reply->size = OPTIONS;
	put(reply, TYPE, &type, 1);
	put32(reply, SERVER, network_names4(network));
	if (type != NAK) {
		memcpy(reply->bytes + CIADDR, message + CIADDR, 4);
		if (!informs) {
			packet_put32(reply->bytes + YIADDR, client->lease);
			put32(reply, TIME, LEASE_TIME);
		}
		put_network(reply, network, client);
	}
	reply->bytes[reply->size++] = END;
	reply->target = client->lease;
	reply->broadcast = type == NAK ||
			   packet_get16(message + FLAGS) & BROADCAST;
	return true;
}
