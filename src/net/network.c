/* SPDX-License-Identifier: Apache-2.0 */
#include "net/network.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"

#define ROUTER	 1 /* the hosts of a network that are its own */
#define NAMES	 2
#define OWN_LAST 15 /* left to addresses that people give, where there is room */
#define VXLAN_MAX 0xffffff
#define DOMAIN	 "internal" /* reserved for private use, ICANN 2024 */

const char *const network_kinds[NETWORK_KINDS] = {
	[NETWORK_NAT] = "nat",
	[NETWORK_ISOLATED] = "isolated",
	[NETWORK_ROUTED] = "routed",
};

const char *const network_backings[NETWORK_BACKINGS] = {
	[NETWORK_SWITCH] = "switch",
	[NETWORK_BRIDGE] = "bridge",
};

bool network_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (!length || length > NETWORK_NAME_MAX || *name == '.' ||
	    *name == '-')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	return true;
}

uint32_t network_router4(const struct network *network)
{
	return network->net4 + ROUTER;
}

uint32_t network_names4(const struct network *network)
{
	return network->net4 + NAMES;
}

static struct in6_addr host6(const struct network *network, uint8_t host)
{
	struct in6_addr address = network->net6;

	address.s6_addr[15] = host;
	return address;
}

struct in6_addr network_router6(const struct network *network)
{
	return host6(network, ROUTER);
}

struct in6_addr network_names6(const struct network *network)
{
	return host6(network, NAMES);
}

static const char *text4(char text[NET_ADDRESS], uint32_t address)
{
	struct in_addr in = { htonl(address) };

	inet_ntop(AF_INET, &in, text, NET_ADDRESS);
	return text;
}

const char *network_subnet4(const struct network *network,
			    char text[NETWORK_SUBNET])
{
	char address[NET_ADDRESS];

	snprintf(text, NETWORK_SUBNET, "%s/%u",
		 text4(address, network->net4), network->bits4);
	return text;
}

const char *network_subnet6(const struct network *network,
			    char text[NETWORK_SUBNET])
{
	char address[NET_ADDRESS];

	inet_ntop(AF_INET6, &network->net6, address, sizeof(address));
	snprintf(text, NETWORK_SUBNET, "%s/64", address);
	return text;
}

static uint32_t last4(const struct network *network)
{
	return network->net4 | (UINT32_MAX >> network->bits4);
}

bool network_host4(const struct network *network, uint32_t address)
{
	return network->has4 && address > network_names4(network) &&
	       address < last4(network);
}

void network_init(struct network *network, const char *name)
{
	memset(network, 0, sizeof(*network));
	snprintf(network->name, sizeof(network->name), "%s", name);
	network->dhcp = true;
}

/* --- one property ----------------------------------------------------------------- */

static int choose(const char *property, const char *value,
		  const char *const *names, unsigned int count, unsigned int *n,
		  struct net_error *error)
{
	char all[100] = "";

	for (*n = 0; *n < count; (*n)++) {
		if (!strcmp(names[*n], value))
			return 0;
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
			 *n ? *n + 1 < count ? ", " : " or " : "", names[*n]);
	}
	return net_error_set(error, "%s %s: give %s", property, value, all);
}

static int set_kind(struct network *network, struct network_change *change,
		    const char *value, struct net_error *error)
{
	unsigned int n;

	if (choose("kind", value, network_kinds, NETWORK_KINDS, &n, error))
		return -1;
	network->kind = (enum network_kind)n;
	return 0;
}

static int set_backing(struct network *network, struct network_change *change,
		       const char *value, struct net_error *error)
{
	unsigned int n;

	if (choose("backing", value, network_backings, NETWORK_BACKINGS, &n,
		   error))
		return -1;
	network->backing = (enum network_backing)n;
	change->backing = true;
	return 0;
}

static int set_subnet(struct network *network, struct network_change *change,
		      const char *value, struct net_error *error)
{
	const bool six = strchr(value, ':');
	unsigned int bits;

	if (!change->subnets)
		network->has4 = network->has6 = false;
	change->subnets = true;
	if (six ? network->has6 : network->has4)
		return net_error_set(error, "subnet %s: a network has one of "
				     "IPv%d", value, six ? 6 : 4);
	if (six) {
		network->has6 = address_parse_net6(value, &network->net6,
						   &bits) && bits == 64;
		return network->has6 ? 0 :
		       net_error_set(error, "subnet %s: give a network of /64 "
				     "such as fd00:1::/64", value);
	}
	network->has4 = address_parse_net4(value, &network->net4,
					   &network->bits4) &&
			network->bits4 >= NETWORK_BITS_MIN &&
			network->bits4 <= NETWORK_BITS_MAX;
	return network->has4 ? 0 :
	       net_error_set(error, "subnet %s: give a network of /%d to /%d "
			     "such as 10.1.0.0/24", value, NETWORK_BITS_MIN,
			     NETWORK_BITS_MAX);
}

static int set_dhcp(struct network *network, struct network_change *change,
		    const char *value, struct net_error *error)
{
	char first[NET_ADDRESS];
	const char *dash = strchr(value, '-');
	struct in_addr from, to;

	change->dhcp = true;
	network->dhcp = strcmp(value, "off") != 0;
	network->dhcp_first = network->dhcp_last = 0;
	if (!network->dhcp || !strcmp(value, "on"))
		return 0;
	if (dash && dash - value < NET_ADDRESS) {
		snprintf(first, sizeof(first), "%.*s", (int)(dash - value),
			 value);
		if (inet_pton(AF_INET, first, &from) == 1 &&
		    inet_pton(AF_INET, dash + 1, &to) == 1 &&
		    ntohl(from.s_addr) <= ntohl(to.s_addr)) {
			network->dhcp_first = ntohl(from.s_addr);
			network->dhcp_last = ntohl(to.s_addr);
			return 0;
		}
	}
	return net_error_set(error, "dhcp %s: give FIRST-LAST, such as "
			     "10.1.0.100-10.1.0.199, on or off", value);
}

static bool domain_valid(const char *name)
{
	if (strlen(name) > NETWORK_DOMAIN_MAX)
		return false;
	while (*name) {
		size_t length = strcspn(name, ".");

		if (!length || *name == '-' || name[length - 1] == '-')
			return false;
		for (; length; length--, name++)
			if (!isalnum((unsigned char)*name) && *name != '-')
				return false;
		if (*name && !*++name)
			return false;
	}
	return true;
}

static int set_domain(struct network *network, struct network_change *change,
		      const char *value, struct net_error *error)
{
	if (!*value || !domain_valid(value))
		return net_error_set(error, "domain %s: give a name of letters, "
				     "digits and - with dots between", value);
	for (unsigned int i = 0; i <= strlen(value); i++)
		network->domain[i] = (char)tolower((unsigned char)value[i]);
	return 0;
}

static int number(const char *property, const char *value, unsigned int min,
		  unsigned int max, unsigned int *n, struct net_error *error)
{
	unsigned long long all = strtoull(value, NULL, 10);

	*n = (unsigned int)all;
	if (*value && strspn(value, "0123456789") == strlen(value) &&
	    all >= min && all <= max)
		return 0;
	return net_error_set(error, "%s %s: give %u to %u", property, value,
			     min, max);
}

static int set_mtu(struct network *network, struct network_change *change,
		   const char *value, struct net_error *error)
{
	unsigned int n;

	if (number("mtu", value, NIC_MTU_MIN, NIC_MTU_MAX, &n, error))
		return -1;
	network->mtu = (uint16_t)n;
	return 0;
}

static int set_uplink(struct network *network, struct network_change *change,
		      const char *value, struct net_error *error)
{
	if (strlen(value) >= sizeof(network->uplink) || strchr(value, '/'))
		return net_error_set(error, "uplink %s: give the name of an "
				     "interface such as eth0", value);
	strcpy(network->uplink, value);
	return 0;
}

static int set_vlan(struct network *network, struct network_change *change,
		    const char *value, struct net_error *error)
{
	unsigned int n;

	if (number("vlan", value, 0, NETWORK_VLAN_MAX, &n, error))
		return -1;
	network->vlan = (uint16_t)n;
	return 0;
}

static int set_vxlan(struct network *network, struct network_change *change,
		     const char *value, struct net_error *error)
{
	return number("vxlan", value, 0, VXLAN_MAX, &network->vxlan, error);
}

static int set_peer(struct network *network, struct network_change *change,
		    const char *value, struct net_error *error)
{
	struct in6_addr in;

	if (!change->peers)
		network->peers = 0;
	change->peers = true;
	if (inet_pton(AF_INET, value, &in) != 1 &&
	    inet_pton(AF_INET6, value, &in) != 1)
		return net_error_set(error, "peer %s: give the address of "
				     "another host", value);
	if (network->peers == NETWORK_PEERS_MAX)
		return net_error_set(error, "peer %s: more than %d of them",
				     value, NETWORK_PEERS_MAX);
	strcpy(network->peer[network->peers++], value);
	return 0;
}

/* "none" stands for none of them. */
static int set_allow(struct network *network, struct network_change *change,
		     const char *value, struct net_error *error)
{
	if (!change->allows)
		network->allows = 0;
	change->allows = true;
	if (!strcmp(value, "none"))
		return 0;
	if (!network_name_valid(value))
		return net_error_set(error, "allow %s: give the name of a "
				     "network", value);
	if (network->allows == NETWORK_ALLOW_MAX)
		return net_error_set(error, "allow %s: more than %d of them",
				     value, NETWORK_ALLOW_MAX);
	strcpy(network->allow[network->allows++], value);
	return 0;
}

static const struct {
	const char *name;
	int (*set)(struct network *network, struct network_change *change,
		   const char *value, struct net_error *error);
} network_properties[] = {
	{ "kind", set_kind },	  { "backing", set_backing },
	{ "subnet", set_subnet }, { "dhcp", set_dhcp },
	{ "domain", set_domain }, { "mtu", set_mtu },
	{ "uplink", set_uplink }, { "vlan", set_vlan },
	{ "vxlan", set_vxlan },	  { "peer", set_peer },
	{ "allow", set_allow },
};

int network_set(struct network *network, struct network_change *change,
		const char *property, const char *value,
		struct net_error *error)
{
	for (size_t i = 0;
	     i < sizeof(network_properties) / sizeof(network_properties[0]);
	     i++)
		if (!strcmp(network_properties[i].name, property))
			return network_properties[i].set(network, change,
							 value, error);
	return net_error_set(error, "a network has no %s", property);
}

/* --- the whole ---------------------------------------------------------------------- */

/* A range of most of the subnet, where none was named. */
static void choose_range(struct network *network)
{
	uint32_t size = UINT32_MAX >> network->bits4;

	network->dhcp_first = network->net4 +
			      (size > 2 * OWN_LAST ? OWN_LAST : NAMES) + 1;
	network->dhcp_last = last4(network) - 1;
}

static int check_range(struct network *network, struct net_error *error)
{
	char first[NET_ADDRESS], last[NET_ADDRESS], text[NETWORK_SUBNET];

	if (!network->has4)
		return net_error_set(error, "dhcp: a network without a subnet "
				     "of IPv4 has no addresses to lease; say "
				     "--dhcp off");
	if (network->dhcp_first > network_names4(network) &&
	    network->dhcp_last < last4(network))
		return 0;
	return net_error_set(error, "dhcp %s-%s: give addresses of %s, behind "
			     "its first two", text4(first, network->dhcp_first),
			     text4(last, network->dhcp_last),
			     network_subnet4(network, text));
}

/* What a switch of ours cannot be asked for. */
static const char *needs_bridge(const struct network *network)
{
	return network->kind == NETWORK_ROUTED ? "kind routed" :
	       network->vxlan		       ? "vxlan" :
	       network->uplink[0]	       ? "uplink" :
	       network->allows		       ? "allow" :
						 NULL;
}

static int check_bridge(struct network *network,
			const struct network_change *change,
			struct net_error *error)
{
	const char *need = needs_bridge(network);

	if (need && !change->backing)
		network->backing = NETWORK_BRIDGE;
	if (need && network->backing == NETWORK_SWITCH)
		return net_error_set(error, "%s: needs --backing bridge, for "
				     "which lodge has to be root", need);
	if (network->backing == NETWORK_BRIDGE && network->vlan &&
	    !network->uplink[0])
		return net_error_set(error, "vlan %u: say on which interface, "
				     "by --uplink", network->vlan);
	if (network->peers && !network->vxlan)
		return net_error_set(error, "peer %s: goes with --vxlan",
				     network->peer[0]);
	return 0;
}

int network_complete(struct network *network,
		     const struct network_change *change,
		     struct net_error *error)
{
	if (!network->domain[0])
		strcpy(network->domain, DOMAIN);
	/* The old range is not one of the new subnet. */
	if (change->subnets && !change->dhcp)
		network->dhcp_first = network->dhcp_last = 0;
	if (network->has4 && network->dhcp && !network->dhcp_first)
		choose_range(network);
	if (!network->has4 && network->has6 && !change->dhcp)
		network->dhcp = false;
	if (network->dhcp && (network->has4 || network->has6) &&
	    check_range(network, error))
		return -1;
	return check_bridge(network, change, error);
}

bool network_overlap(const struct network *a, const struct network *b,
		     char text[NETWORK_SUBNET])
{
	if (a->has4 && b->has4 && a->net4 <= last4(b) && b->net4 <= last4(a)) {
		network_subnet4(b, text);
		return true;
	}
	if (a->has6 && b->has6 && !memcmp(&a->net6, &b->net6, 8)) {
		network_subnet6(b, text);
		return true;
	}
	return false;
}
