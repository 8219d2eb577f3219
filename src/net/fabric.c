/* SPDX-License-Identifier: Apache-2.0 */
#include "net/fabric.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/linux/json_file.h"
#include "net/address.h"
#include "net/fabric_run.h"

#define FOLDERS	  "/run/lodge-networks"
#define ADDRESSES "addresses.json"

/* --- who may ------------------------------------------------------------------------ */

bool fabric_permitted(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
						 0 };
	struct __user_cap_data_struct data[2] = { 0 };

	return !syscall(SYS_capget, &head, data) &&
	       (data[0].effective & 1u << CAP_NET_ADMIN);
}

int fabric_refuse(const char *name, struct net_error *error)
{
	return net_error_set(error, "network %s is a bridge, which takes "
			     "CAP_NET_ADMIN (root); without it: --net user, or "
			     "a network with --backing switch", name);
}

/* --- names -------------------------------------------------------------------------- */

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t from, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (; size; size--)
		from = (from ^ *at++) * 0x100000001b3;
	return from;
}

#define HASH 0xcbf29ce484222325

/* What the names of a network's things end in. */
static uint64_t make_tail(char tail[12], const char *name, const char *store)
{
	uint64_t id = hash(HASH, store, strlen(store) + 1);

	id = hash(id, name, strlen(name));
	id ^= id >> 32;
	snprintf(tail, 12, "%.5s-%05x", name, (unsigned int)(id & 0xfffff));
	return id;
}

void fabric_name(struct fabric *fabric, const struct network *network,
		 const char *store)
{
	char tail[12];
	uint64_t id;

	*fabric = (struct fabric){ .network = *network };
	for (unsigned int i = 0; i < network->allows; i++) {
		make_tail(tail, network->allow[i], store);
		snprintf(fabric->allowed[i], IFNAMSIZ, FABRIC_PREFIX "%.11s",
			 tail);
	}
	id = make_tail(tail, network->name, store);
	snprintf(fabric->bridge, IFNAMSIZ, FABRIC_PREFIX "%.11s", tail);
	snprintf(fabric->vxlan, IFNAMSIZ, "lx-%.11s", tail);
	snprintf(fabric->vlan, IFNAMSIZ, "lv-%.11s", tail);
	snprintf(fabric->table, sizeof(fabric->table), "lodge-%s", tail);
	snprintf(fabric->folder, sizeof(fabric->folder), FOLDERS "/%016llx",
		 (unsigned long long)id);
}

void fabric_tap(const struct fabric *fabric, const uint8_t mac[NIC_MAC],
		char tap[IFNAMSIZ])
{
	uint64_t id = hash(HASH, fabric->folder, strlen(fabric->folder));

	id = hash(id, mac, NIC_MAC);
	snprintf(tap, IFNAMSIZ, "lt%012llx",
		 (unsigned long long)(id ^ id >> 48) & 0xffffffffffff);
}

void fabric_name_set(const char *name, bool six, char set[FABRIC_NAME])
{
	snprintf(set, FABRIC_NAME, "name%c-%016llx", six ? '6' : '4',
		 (unsigned long long)hash(HASH, name, strlen(name)));
}

/* --- what is wanted -------------------------------------------------------------------- */

/* The address that a card makes itself of its own (RFC 4291, appendix A). */
static struct in6_addr address6(const struct in6_addr *prefix,
				const uint8_t mac[NIC_MAC])
{
	const uint8_t id[8] = { mac[0] ^ 2, mac[1], mac[2], 0xff,
				0xfe,	    mac[3], mac[4], mac[5] };
	struct in6_addr address = *prefix;

	memcpy(address.s6_addr + 8, id, sizeof(id));
	return address;
}

static void add_port(void *ctx, const char *machine, const char *mac)
{
	static const struct in6_addr local = { { { 0xfe, 0x80 } } };
	struct fabric *fabric = ctx;
	struct fabric_port port = { 0 }, *more;

	if (!address_parse_mac(mac, port.mac) ||
	    fabric->ports == FABRIC_PORTS_MAX)
		return;
	more = reallocarray(fabric->port, fabric->ports + 1, sizeof(*more));
	if (!more)
		return;
	snprintf(port.machine, sizeof(port.machine), "%s", machine);
	fabric_tap(fabric, port.mac, port.tap);
	port.local6 = address6(&local, port.mac);
	port.ip6 = address6(&fabric->network.net6, port.mac);
	fabric->port = more;
	fabric->port[fabric->ports++] = port;
}

/*
 * Those that were given out: {"MAC": "ADDRESS"}, of one that was asked for
 * {"MAC": ["ADDRESS"]}; 0: not that card, or stale.
 */
static uint32_t given(const struct network *network, const json_t *all,
		      const char *mac)
{
	const json_t *value = json_object_get(all, mac);
	const json_t *fixed = json_array_get(value, 0);
	const char *text = json_string_value(fixed ? fixed : value);
	struct in_addr in;
	uint32_t address;

	if (!text || inet_pton(AF_INET, text, &in) != 1)
		return 0;
	address = ntohl(in.s_addr);
	if (fixed)
		return network_host4(network, address) ? address : 0;
	return address >= network->dhcp_first && address <= network->dhcp_last ?
		       address : 0;
}

static bool is_given(const struct network *network, const json_t *all,
		     uint32_t address)
{
	const json_t *value;
	const char *mac;

	json_object_foreach((json_t *)all, mac, value)
		if (given(network, all, mac) == address)
			return true;
	return false;
}

static uint32_t give(const struct network *network, json_t *all,
		     const char *mac)
{
	char text[NET_ADDRESS];
	uint32_t address = network->dhcp_first;
	struct in_addr in;

	while (address <= network->dhcp_last &&
	       is_given(network, all, address))
		address++;
	if (address > network->dhcp_last)
		return 0;
	in.s_addr = htonl(address);
	inet_ntop(AF_INET, &in, text, sizeof(text));
	json_object_set_new(all, mac, json_string(text));
	return address;
}

/* Cards that are not there lose theirs when there is none left. */
static void forget_absent(const struct fabric *fabric, json_t *all)
{
	const json_t *value;
	const char *mac;
	void *next;

	json_object_foreach_safe(all, next, mac, value) {
		bool here = false;
		char text[ADDRESS_MAC];

		for (unsigned int i = 0; i < fabric->ports; i++)
			here = here || !strcmp(mac, address_mac(text,
						fabric->port[i].mac));
		if (!here)
			json_object_del(all, mac);
	}
}

/* Each card keeps the address it once was given. */
static void give_addresses(struct network_store *store, struct fabric *fabric)
{
	const struct network *network = &fabric->network;
	int folder = network_store_folder(store, network->name);
	json_t *all = folder < 0 ? NULL : json_file_read(folder, ADDRESSES);
	bool changed = false;
	char mac[ADDRESS_MAC];

	if (!json_is_object(all)) {
		json_decref(all);
		all = json_object();
	}
	for (unsigned int i = 0; i < fabric->ports; i++) {
		struct fabric_port *port = &fabric->port[i];

		address_mac(mac, port->mac);
		port->ip4 = given(network, all, mac);
		if (port->ip4)
			continue;
		port->ip4 = give(network, all, mac);
		if (!port->ip4) {
			forget_absent(fabric, all);
			port->ip4 = give(network, all, mac);
		}
		changed = true;
	}
	if (changed && folder >= 0)
		json_file_replace(all, folder, ADDRESSES);
	json_decref(all);
	if (folder >= 0)
		close(folder);
}

/* --- what is made so ----------------------------------------------------------------------- */

int fabric_check_address(const struct network *network, const char *address,
			 struct net_error *error)
{
	char text[NETWORK_SUBNET];
	struct in_addr in;

	if (!address)
		return 0;
	if (inet_pton(AF_INET, address, &in) != 1)
		return net_error_set(error, "address=%s: give an IPv4 address",
				     address);
	if (!network->has4 || !network->dhcp)
		return net_error_set(error, "network %s: address=%s: it gives "
				     "no addresses (--dhcp off)",
				     network->name, address);
	if (!network_host4(network, ntohl(in.s_addr)))
		return net_error_set(error, "network %s: address=%s: give one "
				     "of %s, behind its first two",
				     network->name, address,
				     network_subnet4(network, text));
	return 0;
}

/* A card that is there, other than `mac`, with the address; NULL: none. */
static const struct fabric_port *holder(const struct fabric *fabric,
					const json_t *all, const uint8_t *mac,
					uint32_t address)
{
	char text[ADDRESS_MAC];

	for (unsigned int i = 0; i < fabric->ports; i++)
		if (memcmp(fabric->port[i].mac, mac, NIC_MAC) &&
		    given(&fabric->network, all,
			  address_mac(text, fabric->port[i].mac)) == address)
			return &fabric->port[i];
	return NULL;
}

/* Cards that are not there lose the address. */
static void release(const struct network *network, json_t *all,
		    uint32_t address)
{
	const json_t *value;
	const char *mac;
	void *next;

	json_object_foreach_safe(all, next, mac, value)
		if (given(network, all, mac) == address)
			json_object_del(all, mac);
}

static int fix(struct network_store *store, struct fabric *fabric,
	       const uint8_t *mac, const char *address,
	       struct net_error *error)
{
	int folder = network_store_folder(store, fabric->network.name), err;
	json_t *all = folder < 0 ? NULL : json_file_read(folder, ADDRESSES);
	const struct fabric_port *other;
	char text[ADDRESS_MAC];
	struct in_addr in;

	if (!json_is_object(all)) {
		json_decref(all);
		all = json_object();
	}
	inet_pton(AF_INET, address, &in);
	other = holder(fabric, all, mac, ntohl(in.s_addr));
	if (other) {
		err = net_error_set(error, "network %s: address=%s: machine %s "
				    "has it; give another",
				    fabric->network.name, address,
				    other->machine);
	} else {
		release(&fabric->network, all, ntohl(in.s_addr));
		json_object_set_new(all, address_mac(text, mac),
				    json_pack("[s]", address));
		err = folder < 0 ? -ENOENT :
				   json_file_replace(all, folder, ADDRESSES);
		if (err)
			net_error_set(error, "network %s: %s",
				      fabric->network.name, strerror(-err));
	}
	json_decref(all);
	if (folder >= 0)
		close(folder);
	return err ? -1 : 0;
}

static bool was_made(const struct fabric *fabric)
{
	return !access(fabric->folder, F_OK);
}

/*
 * Rules before what they are about: no frame passes without. The folder first:
 * by that it is known that there may be something to take away.
 */
static int make(const struct fabric *fabric, struct net_error *error)
{
	json_t *present = fabric_nft_list("table", "bridge", fabric->table);
	json_t *rules = fabric_rules(fabric, present);
	int failed = fabric_names_folder(fabric, error) ||
		     fabric_nft(rules, error) ||
		     fabric_links_make(fabric, error) ||
		     fabric_names_make(fabric, error);

	json_decref(rules);
	json_decref(present);
	return failed ? -1 : 0;
}

static void take_away(const struct fabric *fabric)
{
	json_t *rules = fabric_no_rules(fabric);
	struct net_error unused;

	fabric_links_remove(fabric);
	fabric_nft(rules, &unused);
	json_decref(rules);
	fabric_names_stop(fabric);
}

/* Who changes what there is takes turns. The descriptor, or -1. */
static int take_turn(struct network_store *store)
{
	int fd = openat(store->folder, ".fabric",
			O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	while (fd >= 0 && flock(fd, LOCK_EX) && errno == EINTR)
		;
	return fd;
}

static json_t *load_rules(struct network_store *store, const char *name)
{
	int folder = network_store_folder(store, name);
	json_t *rules = rules_load(folder);

	if (folder >= 0)
		close(folder);
	return rules;
}

/* With `mend` one that is in use is made so; without, it is left alone. */
static int reconcile(struct network_store *store, const char *name, bool mend,
		     struct net_error *error)
{
	struct network network;
	struct fabric fabric;
	int turn = take_turn(store), failed = 0;
	int found = network_store_find(store, name, &network, error);

	/* Of one that is no network any more the name is enough. */
	if (found || network.backing != NETWORK_BRIDGE)
		network_init(&network, name);
	fabric_name(&fabric, &network, store->path);
	network_store_users(store, name, add_port, &fabric);
	if (fabric.ports && network.backing == NETWORK_BRIDGE && mend) {
		fabric.rules = load_rules(store, name);
		if (network.has4 && network.dhcp)
			give_addresses(store, &fabric);
		failed = make(&fabric, error);
	} else if (!fabric.ports && was_made(&fabric)) {
		take_away(&fabric);
	}
	json_decref(fabric.rules);
	free(fabric.port);
	if (turn >= 0)
		close(turn);
	return failed;
}

int fabric_reconcile(struct network_store *store, const char *name,
		     struct net_error *error)
{
	return reconcile(store, name, true, error);
}

int fabric_fix(struct network_store *store, const char *name,
	       const uint8_t mac[NIC_MAC], const char *address,
	       struct net_error *error)
{
	int turn = take_turn(store), failed;
	struct network network;
	struct fabric fabric;

	failed = network_store_find(store, name, &network, error);
	if (!failed) {
		fabric_name(&fabric, &network, store->path);
		network_store_users(store, name, add_port, &fabric);
		failed = fix(store, &fabric, mac, address, error);
		free(fabric.port);
	}
	if (turn >= 0)
		close(turn);
	return failed ? -1 : 0;
}

int fabric_set_rules(struct network_store *store, const char *name,
		     const char *machine, json_t *list,
		     struct net_error *error)
{
	int turn = take_turn(store), folder, err;

	folder = network_store_folder(store, name);
	err = folder < 0 ? -ENOENT : rules_save(folder, machine, list);
	if (folder >= 0)
		close(folder);
	if (turn >= 0)
		close(turn);
	if (err)
		return net_error_set(error, "network %s: %s", name,
				     strerror(-err));
	return fabric_reconcile(store, name, error);
}

void fabric_sweep(void)
{
	struct network_store store;
	struct network *list;
	struct net_error error;
	int count;

	if (access(FOLDERS, W_OK) || network_store_open(&store, &error))
		return;
	count = network_store_list(&store, &list, &error);
	for (int i = 0; i < count; i++) {
		struct fabric fabric;

		fabric_name(&fabric, &list[i], store.path);
		if (was_made(&fabric))
			reconcile(&store, list[i].name, false, &error);
	}
	if (count >= 0)
		free(list);
	network_store_close(&store);
}

/* --- what was dropped ------------------------------------------------------------------------ */

/* "TAP-WHY" */
static void add_drops(json_t *drops, const struct fabric *fabric,
		      const json_t *counter)
{
	const char *name;
	json_int_t packets;

	if (json_unpack((json_t *)counter, "{sssI}", "name", &name, "packets",
			&packets))
		return;
	for (unsigned int i = 0; i < fabric->ports; i++) {
		const struct fabric_port *port = &fabric->port[i];
		size_t length = strlen(port->tap);
		json_t *of;

		if (strncmp(name, port->tap, length) || name[length] != '-')
			continue;
		of = json_object_get(drops, port->machine);
		if (!of) {
			of = json_object();
			json_object_set_new(drops, port->machine, of);
		}
		packets += json_integer_value(
			json_object_get(of, name + length + 1));
		json_object_set_new(of, name + length + 1,
				    json_integer(packets));
		return;
	}
	name = strrchr(name, '-');
	if (name)
		json_object_set_new(drops, name + 1, json_integer(packets));
}

json_t *fabric_drops(struct network_store *store,
		     const struct network *network)
{
	static const char *const family[] = { "bridge", "inet" };
	struct fabric fabric;
	json_t *drops = NULL;
	const json_t *object, *of;
	size_t k;

	if (network->backing != NETWORK_BRIDGE)
		return NULL;
	fabric_name(&fabric, network, store->path);
	if (!was_made(&fabric))
		return NULL;
	network_store_users(store, network->name, add_port, &fabric);
	for (unsigned int i = 0; i < 2; i++) {
		json_t *all = fabric_nft_list("table", family[i],
					      fabric.table);

		if (all && !drops)
			drops = json_object();
		json_array_foreach(json_object_get(all, "nftables"), k, object) {
			of = json_object_get(object, "counter");
			if (of)
				add_drops(drops, &fabric, of);
		}
		json_decref(all);
	}
	free(fabric.port);
	return drops;
}
