/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks as JSON: what is kept, and what is printed. Properties are text, as
 * network_set() takes them, so that there is one place that checks them.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net/network.h"

#define VERSION	    1
#define TIME_FORMAT "%Y-%m-%dT%H:%M:%SZ"

static json_t *subnets(const struct network *network)
{
	json_t *list = json_array();
	char text[NETWORK_SUBNET];

	if (network->has4)
		json_array_append_new(list, json_string(network_subnet4(
						    network, text)));
	if (network->has6)
		json_array_append_new(list, json_string(network_subnet6(
						    network, text)));
	return list;
}

static json_t *peers(const struct network *network)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < network->peers; i++)
		json_array_append_new(list, json_string(network->peer[i]));
	return list;
}

static json_t *allows(const struct network *network)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < network->allows; i++)
		json_array_append_new(list, json_string(network->allow[i]));
	return list;
}

static json_t *dhcp(const struct network *network)
{
	struct in_addr first = { htonl(network->dhcp_first) };
	struct in_addr last = { htonl(network->dhcp_last) };
	char a[NET_ADDRESS], b[NET_ADDRESS];

	if (!network->dhcp)
		return json_string("off");
	return json_sprintf("%s-%s",
			    inet_ntop(AF_INET, &first, a, sizeof(a)),
			    inet_ntop(AF_INET, &last, b, sizeof(b)));
}

json_t *network_pack(const struct network *network)
{
	time_t when = network->created;
	char created[32] = "";
	struct tm utc;

	if (gmtime_r(&when, &utc))
		strftime(created, sizeof(created), TIME_FORMAT, &utc);
	return json_pack("{si ss ss ss so so ss si ss si sI so so ss}", "version",
			 VERSION, "name", network->name, "kind",
			 network_kinds[network->kind], "backing",
			 network_backings[network->backing], "subnets",
			 subnets(network), "dhcp", dhcp(network), "domain",
			 network->domain, "mtu", (int)network->mtu, "uplink",
			 network->uplink, "vlan", (int)network->vlan, "vxlan",
			 (json_int_t)network->vxlan, "peers", peers(network),
			 "allow", allows(network), "created", created);
}

/* A property that is there, and no default's. */
static int take(struct network *network, struct network_change *change,
		const json_t *value, const char *property,
		struct net_error *error)
{
	char number[24];

	if (json_is_integer(value)) {
		if (!json_integer_value(value))
			return 0;
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
		return network_set(network, change, property, number, error);
	}
	if (!json_is_string(value))
		return value ? net_error_set(error, "its %s is no text",
					     property) : 0;
	if (!*json_string_value(value))
		return 0;
	return network_set(network, change, property, json_string_value(value),
			   error);
}

static int take_list(struct network *network, struct network_change *change,
		     const json_t *list, const char *property,
		     struct net_error *error)
{
	const json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
		if (take(network, change, value, property, error))
			return -1;
	return 0;
}

static int64_t take_time(const json_t *value)
{
	const char *text = json_string_value(value);
	struct tm utc = { 0 };
	const char *end = text ? strptime(text, TIME_FORMAT, &utc) : NULL;

	return end && !*end ? (int64_t)timegm(&utc) : 0;
}

int network_unpack(struct network *network, const json_t *json,
		   struct net_error *error)
{
	static const char *const texts[] = { "kind", "backing", "dhcp",
					     "domain", "mtu", "uplink",
					     "vlan", "vxlan" };
	json_int_t version =
		json_integer_value(json_object_get(json, "version"));
	const char *name = json_string_value(json_object_get(json, "name"));
	struct network_change change = { 0 };

	memset(network, 0, sizeof(*network));
	if (version > VERSION)
		return net_error_set(error, "a newer lodge made it");
	if (version < 1 || !name || !network_name_valid(name))
		return net_error_set(error, "it is no record of a network");
	strcpy(network->name, name);
	if (take_list(network, &change, json_object_get(json, "subnets"),
		      "subnet", error) ||
	    take_list(network, &change, json_object_get(json, "peers"), "peer",
		      error) ||
	    take_list(network, &change, json_object_get(json, "allow"),
		      "allow", error))
		return -1;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (take(network, &change, json_object_get(json, texts[i]),
			 texts[i], error))
			return -1;
	network->created = take_time(json_object_get(json, "created"));
	return network_complete(network, &change, error);
}
