/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number of digits alone, from `min` to `max`; *end: behind it. */
static bool number(const char *text, const char **end, unsigned int min,
		   unsigned int max, unsigned int *value)
{
	unsigned int n = 0;

	*end = text;
	while (isdigit((unsigned char)**end) && *end - text < 6)
		n = n * 10 + (unsigned int)(*(*end)++ - '0');
	*value = n;
	return *end > text && n >= min && n <= max;
}

/* ADDRESS/BITS, cut in two. */
static bool cut_net(const char *text, char address[NET_ADDRESS],
		    unsigned int max, unsigned int *bits)
{
	const char *slash = strchr(text, '/'), *end;

	if (!slash || slash - text >= NET_ADDRESS)
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	return number(slash + 1, &end, 1, max, bits) && !*end;
}

bool address_parse_net4(const char *text, uint32_t *network,
			unsigned int *bits)
{
	char address[NET_ADDRESS];
	struct in_addr in;

	if (!cut_net(text, address, 32, bits) ||
	    inet_pton(AF_INET, address, &in) != 1)
		return false;
	*network = ntohl(in.s_addr);
	return !(*network & (UINT32_MAX >> 1 >> (*bits - 1)));
}

bool address_parse_net6(const char *text, struct in6_addr *network,
			unsigned int *bits)
{
	char address[NET_ADDRESS];

	if (!cut_net(text, address, 128, bits) ||
	    inet_pton(AF_INET6, address, network) != 1)
		return false;
	for (unsigned int i = *bits; i < 128; i++)
		if (network->s6_addr[i / 8] & 0x80u >> i % 8)
			return false;
	return true;
}

bool address_parse_mac(const char *text, uint8_t mac[NIC_MAC])
{
	bool zero = true;

	if (strlen(text) != 3 * NIC_MAC - 1)
		return false;
	for (unsigned int i = 0; i < NIC_MAC; i++, text += 3) {
		char digits[3] = { text[0], text[1], 0 };

		if (!isxdigit((unsigned char)text[0]) ||
		    !isxdigit((unsigned char)text[1]) ||
		    (text[2] && text[2] != ':'))
			return false;
		mac[i] = (uint8_t)strtoul(digits, NULL, 16);
		zero = zero && !mac[i];
	}
	return !zero && !(mac[0] & 1);
}

const char *address_mac(char text[ADDRESS_MAC], const uint8_t mac[NIC_MAC])
{
	snprintf(text, ADDRESS_MAC, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5]);
	return text;
}

/* --- ports ------------------------------------------------------------------- */

static bool is_address(const char *text)
{
	struct in6_addr in;

	return !strcmp(text, "*") || inet_pton(AF_INET, text, &in) == 1 ||
	       inet_pton(AF_INET6, text, &in) == 1;
}

/* What stands before the ports; *rest: behind it. */
static bool parse_host(const char *text, char host[NET_ADDRESS],
		       const char **rest)
{
	const char *first = strchr(text, ':'), *end = first;

	host[0] = '\0';
	*rest = text;
	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end || end[1] != ':')
			return false;
		*rest = end + 2;
	} else if (first && strchr(first + 1, ':')) {
		*rest = first + 1;
	} else {
		return true;
	}
	if (end == text || end - text >= NET_ADDRESS)
		return false;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';
	return is_address(host);
}

bool address_parse_publish(const char *text, struct net_publish *publish)
{
	unsigned int port, guest;
	const char *at;

	*publish = (struct net_publish){ 0 };
	if (!parse_host(text, publish->host, &at) ||
	    !number(at, &at, 1, 65535, &port) || *at != ':' ||
	    !number(at + 1, &at, 1, 65535, &guest))
		return false;
	publish->port = (uint16_t)port;
	publish->guest = (uint16_t)guest;
	publish->udp = !strcmp(at, "/udp");
	return !*at || publish->udp || !strcmp(at, "/tcp");
}

const char *address_publish(char text[ADDRESS_PUBLISH],
			    const struct net_publish *publish)
{
	const bool v6 = strchr(publish->host, ':');

	snprintf(text, ADDRESS_PUBLISH, "%s%s%s%s%u:%u%s", v6 ? "[" : "",
		 publish->host, v6 ? "]" : "", publish->host[0] ? ":" : "",
		 publish->port, publish->guest, publish->udp ? "/udp" : "");
	return text;
}

static void put4(struct sockaddr_storage *to, struct in_addr address,
		 uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)to;

	memset(to, 0, sizeof(*to));
	in->sin_family = AF_INET;
	in->sin_addr = address;
	in->sin_port = htons(port);
}

static void put6(struct sockaddr_storage *to, const struct in6_addr *address,
		 uint16_t port)
{
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	in->sin6_family = AF_INET6;
	in->sin6_addr = *address;
	in->sin6_port = htons(port);
}

unsigned int address_hosts(const struct net_publish *publish,
			   struct sockaddr_storage host[ADDRESS_HOSTS])
{
	const bool any = !strcmp(publish->host, "*");
	struct in6_addr in6 = any ? in6addr_any : in6addr_loopback;
	struct in_addr in4 = { htonl(any ? INADDR_ANY : INADDR_LOOPBACK) };

	if (publish->host[0] && !any) {
		if (inet_pton(AF_INET6, publish->host, &in6) == 1) {
			put6(&host[0], &in6, publish->port);
		} else {
			inet_pton(AF_INET, publish->host, &in4);
			put4(&host[0], in4, publish->port);
		}
		return 1;
	}
	put4(&host[0], in4, publish->port);
	put6(&host[1], &in6, publish->port);
	return 2;
}

socklen_t address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					      : sizeof(struct sockaddr_in);
}
