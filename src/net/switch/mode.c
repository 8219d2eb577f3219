/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/mode.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"
#include "net/network_store.h"
#include "net/switch/uplink.h"
#include "net/tap.h"

/* Its tag; -1: it is none. Without one the network's own. */
static int tag_of(const struct net_config *config, uint16_t otherwise)
{
	const char *text = net_word(config, "vlan");
	size_t digits = text ? strspn(text, "0123456789") : 0;
	int tag = digits && digits < 5 && !text[digits] ? atoi(text) : 0;

	return !text ? otherwise :
	       tag && tag <= NETWORK_VLAN_MAX ? tag : -1;
}

static int check(const struct net_config *config, struct net_error *error)
{
	const char *address = net_word(config, "address");
	struct in_addr in;

	if (!network_name_valid(config->subject))
		return net_error_set(error, "%s: give the name of a network; "
				     "lodge net list shows them",
				     config->subject);
	if (address && inet_pton(AF_INET, address, &in) != 1)
		return net_error_set(error, "address=%s: give an IPv4 address "
				     "of the network, such as 10.89.0.5",
				     address);
	if (tag_of(config, 0) < 0)
		return net_error_set(error, "vlan=%s: give 1 to %d",
				     net_word(config, "vlan"),
				     NETWORK_VLAN_MAX);
	return 0;
}

static const struct net_mode *settle(const struct net_config *config)
{
	const struct net_mode *mode = config->mode;
	struct network_store store;
	struct network network;
	struct net_error error;

	if (network_store_open(&store, &error))
		return mode;
	if (!network_store_find(&store, config->subject, &network, &error) &&
	    network.backing == NETWORK_BRIDGE)
		mode = &net_bridge_mode;
	network_store_close(&store);
	return mode;
}

/* What the switch is asked for. */
static int fill_hello(struct wire_hello *hello,
		      const struct net_config *config,
		      const struct network *network, struct net_error *error)
{
	const char *address = net_word(config, "address");
	char text[NETWORK_SUBNET];
	struct in_addr in;

	hello->what = WIRE_PORT;
	memcpy(hello->mac, config->mac, NIC_MAC);
	snprintf(hello->machine, sizeof(hello->machine), "%s",
		 config->machine);
	hello->vlan = (uint16_t)tag_of(config, network->vlan);
	if (address) {
		inet_pton(AF_INET, address, &in);
		hello->address = ntohl(in.s_addr);
		if (!network->has4)
			return net_error_set(error, "address=%s: it has no "
					     "subnet of IPv4", address);
		if (!network_host4(network, hello->address))
			return net_error_set(error, "address=%s: give one of "
					     "%s, behind its first two",
					     address,
					     network_subnet4(network, text));
	}
	if (config->publishes && network->kind != NETWORK_NAT)
		return net_error_set(error, "--publish: nothing leads into a "
				     "network of kind %s; kind nat has a way "
				     "in", network_kinds[network->kind]);
	hello->publishes = config->publishes;
	for (unsigned int i = 0; i < config->publishes; i++)
		address_publish(hello->publish[i], &config->publish[i]);
	return 0;
}

static int join(struct uplink *u, struct net_error *error)
{
	const struct net_config *config = u->config;
	struct network_store store;
	struct network network;
	int err;

	if (network_store_open(&store, error))
		return -1;
	err = network_use_begin(&store, config->subject, config->machine,
				config->mac, &network, &u->use, error);
	network_store_close(&store);
	if (err)
		return -1;
	if (network.backing != NETWORK_SWITCH)
		return net_error_set(error, "it is a bridge of the kernel's; "
				     "give --net network=%s", network.name);
	if (!config->mtu_given)
		u->net.mtu = network.mtu;
	if (fill_hello(&u->hello, config, &network, error))
		return -1;
	return uplink_connect(u, error);
}

static int open_net(struct net **out, const struct net_config *config,
		    struct net_error *error)
{
	struct net_error why;
	struct uplink *u = uplink_create(config, &why);

	if (u && !join(u, &why)) {
		*out = &u->net;
		return 0;
	}
	if (u)
		u->net.ops->close(&u->net);
	return net_error_set(error, "--net %s=%s: %.180s", config->mode->name,
			     config->subject, why.text);
}

static const struct net_option switch_options[] = {
	{ "address", "ADDRESS" },
	{ "vlan", "TAG" },
};

#define OPTIONS (sizeof(switch_options) / sizeof(switch_options[0]))

const struct net_mode net_switch_mode = {
	.name = "switch",
	.subject = "NAME",
	.options = switch_options,
	.option_count = OPTIONS,
	.can_publish = true,
	.check = check,
	.open = open_net,
};

const struct net_mode net_network_mode = {
	.name = "network",
	.subject = "NAME",
	.options = switch_options,
	.option_count = OPTIONS,
	.can_publish = true,
	.check = check,
	.settle = settle,
	.open = open_net,
};
