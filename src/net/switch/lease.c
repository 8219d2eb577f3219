/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/linux/json_file.h"
#include "net/address.h"

static struct lease *of_mac(struct leases *leases, const uint8_t *mac)
{
	for (unsigned int i = 0; i < leases->count; i++)
		if (!memcmp(leases->lease[i].mac, mac, NIC_MAC))
			return &leases->lease[i];
	return NULL;
}

static struct lease *of_address(struct leases *leases, uint32_t address)
{
	for (unsigned int i = 0; i < leases->count; i++)
		if (leases->lease[i].address == address)
			return &leases->lease[i];
	return NULL;
}

static bool in_range(const struct leases *leases, uint32_t address)
{
	const struct network *network = leases->network;

	return network->has4 && network->dhcp &&
	       address >= network->dhcp_first && address <= network->dhcp_last;
}

/* The first that nobody ever had; 0: there is none. */
static uint32_t fresh(struct leases *leases)
{
	const struct network *network = leases->network;
	uint32_t address = network->dhcp_first;

	for (; in_range(leases, address); address++)
		if (!of_address(leases, address))
			return address;
	return 0;
}

/* One for another card: a new one, or that of whom nobody has seen longest. */
static struct lease *choose(struct leases *leases)
{
	struct lease *oldest = NULL;
	uint32_t address = leases->count < LEASES_MAX ? fresh(leases) : 0;

	if (address) {
		leases->lease[leases->count].address = address;
		return &leases->lease[leases->count++];
	}
	for (unsigned int i = 0; i < leases->count; i++) {
		struct lease *lease = &leases->lease[i];

		if (!lease->live && in_range(leases, lease->address) &&
		    (!oldest || lease->used < oldest->used))
			oldest = lease;
	}
	return oldest;
}

uint32_t leases_take(struct leases *leases, const uint8_t mac[NIC_MAC],
		     const char *machine)
{
	struct lease *lease;

	if (!leases->network->has4 || !leases->network->dhcp)
		return 0;
	lease = of_mac(leases, mac);
	if (!lease)
		lease = choose(leases);
	if (!lease)
		return 0;
	memcpy(lease->mac, mac, NIC_MAC);
	lease->live = true;
	lease->used = ++leases->uses;
	snprintf(lease->machine, sizeof(lease->machine), "%s", machine);
	return lease->address;
}

static void forget(struct leases *leases, struct lease *lease)
{
	if (lease)
		*lease = leases->lease[--leases->count];
}

/* Not to be remembered for want of room does no harm: it is asked for again. */
void leases_fix(struct leases *leases, const uint8_t mac[NIC_MAC],
		const char *machine, uint32_t address)
{
	struct lease *lease;

	forget(leases, of_mac(leases, mac));
	forget(leases, of_address(leases, address));
	if (leases->count == LEASES_MAX)
		return;
	lease = &leases->lease[leases->count++];
	*lease = (struct lease){ .address = address,
				 .fixed = true,
				 .live = true,
				 .used = ++leases->uses };
	memcpy(lease->mac, mac, NIC_MAC);
	snprintf(lease->machine, sizeof(lease->machine), "%s", machine);
}

void leases_drop(struct leases *leases, const uint8_t mac[NIC_MAC])
{
	struct lease *lease = of_mac(leases, mac);

	if (!lease)
		return;
	lease->live = false;
	lease->used = ++leases->uses;
}

/* --- the file ------------------------------------------------------------------- */

int leases_write(const struct leases *leases, int folder)
{
	json_t *list = json_array();
	int err;

	for (unsigned int i = 0; i < leases->count; i++) {
		const struct lease *lease = &leases->lease[i];
		struct in_addr in = { htonl(lease->address) };
		char mac[ADDRESS_MAC], text[NET_ADDRESS];

		json_array_append_new(
			list, json_pack("{ss ss ss sI sb}", "mac",
					address_mac(mac, lease->mac), "address",
					inet_ntop(AF_INET, &in, text,
						  sizeof(text)),
					"machine", lease->machine, "used",
					(json_int_t)lease->used, "fixed",
					(int)lease->fixed));
	}
	err = list ? json_file_replace(list, folder, LEASES_FILE) : -ENOMEM;
	json_decref(list);
	return err;
}

static void take(struct leases *leases, const json_t *json)
{
	const char *mac = json_string_value(json_object_get(json, "mac"));
	const char *text = json_string_value(json_object_get(json, "address"));
	const char *machine =
		json_string_value(json_object_get(json, "machine"));
	json_int_t used = json_integer_value(json_object_get(json, "used"));
	struct lease lease = {
		.used = used > 0 ? (uint64_t)used : 0,
		.fixed = json_is_true(json_object_get(json, "fixed")),
	};
	struct in_addr in;

	if (leases->count == LEASES_MAX || !mac || !text || !machine ||
	    !address_parse_mac(mac, lease.mac) ||
	    inet_pton(AF_INET, text, &in) != 1 || !network_name_valid(machine))
		return;
	lease.address = ntohl(in.s_addr);
	strcpy(lease.machine, machine);
	if (!(lease.fixed ? network_host4(leases->network, lease.address) :
			    in_range(leases, lease.address)) ||
	    of_mac(leases, lease.mac) ||
	    of_address(leases, lease.address))
		return;
	if (lease.used > leases->uses)
		leases->uses = lease.used;
	leases->lease[leases->count++] = lease;
}

void leases_unpack(struct leases *leases, const json_t *json)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json, i, one)
		take(leases, one);
}

void leases_read(struct leases *leases, int folder)
{
	json_t *json = json_file_read(folder, LEASES_FILE);

	leases_unpack(leases, json);
	json_decref(json);
}
