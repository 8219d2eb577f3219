/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/nets.h"

#include <string.h>

#include "net/address.h"
#include "net/fabric.h"

const char *const nets_models[BOARD_NIC_MODELS] = {
	[BOARD_NIC_VIRTIO] = "virtio",
	[BOARD_NIC_E1000] = "e1000",
};

/* The first card before this one with the same address; -1: none. */
static int twin(const struct nets *nets, unsigned int index)
{
	for (unsigned int i = 0; i < index; i++)
		if (!memcmp(nets->given[i].config.mac,
			    nets->given[index].config.mac, NIC_MAC))
			return (int)i;
	return -1;
}

static void choose_mac(struct nets *nets, unsigned int index, const char *name)
{
	struct net_config *config = &nets->given[index].config;
	unsigned int number = index;

	if (config->mac_given)
		return;
	do {
		net_make_mac(config->mac, name, number);
		number += BOARD_NICS_MAX;
	} while (twin(nets, index) >= 0);
}

/* Which --net cannot be had, where the reason does not say so itself. */
static int refuse(const struct net_config *config, const char *why,
		  struct vmm_error *error)
{
	const char *name = config->mode->name;
	const char *subject = config->subject;
	size_t length = strlen(name);

	if (!strncmp(why, "--", 2))
		return vmm_error_set(error, "%s", why);
	if (!strncmp(why, name, length) && why[length] == '=')
		return vmm_error_set(error, "--net %s", why);
	return vmm_error_set(error, "--net %s%s%s: %s", name,
			     subject ? "=" : "", subject ? subject : "", why);
}

int nets_open(struct nets *nets, const struct machine_net *given,
	      unsigned int count, const char *name, struct vmm_error *error)
{
	struct net_error why;

	fabric_sweep();
	nets->count = 0;
	for (unsigned int i = 0; i < count; i++) {
		nets->given[i] = given[i];
		nets->given[i].config.machine = name;
		nets->given[i].config.guarded = nets->guarded;
		choose_mac(nets, i, name);
		if (given[i].config.mode->settle)
			nets->given[i].config.mode =
				given[i].config.mode->settle(&given[i].config);
		if (net_open(&nets->net[i], &nets->given[i].config, &why)) {
			nets_close(nets);
			return refuse(&given[i].config, why.text, error);
		}
		if (nets->net[i]->mtu)
			nets->given[i].config.mtu = nets->net[i]->mtu;
		nets->count++;
	}
	return 0;
}

void nets_cards(const struct nets *nets, struct board_nic *nic)
{
	for (unsigned int i = 0; i < nets->count; i++) {
		const struct net_config *config = &nets->given[i].config;

		nic[i] = (struct board_nic){
			.net = nets->net[i],
			.model = nets->given[i].model,
			.mtu = config->mtu,
			.queues = config->queues,
		};
		memcpy(nic[i].mac, config->mac, NIC_MAC);
	}
}

struct host_idle *nets_idle(const struct nets *nets)
{
	for (unsigned int i = 0; i < nets->count; i++)
		if (nets->net[i]->idle)
			return nets->net[i]->idle;
	return NULL;
}

static json_t *counts(struct nic_count *count)
{
	return json_pack("{sIsIsIsI}", "frames",
			 (json_int_t)atomic_load(&count->frames), "bytes",
			 (json_int_t)atomic_load(&count->bytes), "dropped",
			 (json_int_t)atomic_load(&count->dropped), "refused",
			 (json_int_t)atomic_load(&count->refused));
}

static json_t *publishes(const struct net_config *config)
{
	json_t *list = json_array();
	char text[ADDRESS_PUBLISH];

	for (unsigned int i = 0; i < config->publishes; i++)
		json_array_append_new(list, json_string(address_publish(
						    text, &config->publish[i])));
	return list;
}

json_t *nets_inspect(const struct nets *nets, struct board *board)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < nets->count; i++) {
		const struct net_config *config = &nets->given[i].config;
		struct nic *nic = board_nic(board, i);
		char mac[ADDRESS_MAC];

		json_array_append_new(
			list,
			json_pack("{sssssssisisbsosososs*}", "mode",
				  config->mode->name, "model",
				  nets_models[nets->given[i].model], "mac",
				  address_mac(mac, config->mac), "mtu",
				  (int)config->mtu, "queues",
				  (int)config->queues, "link",
				  (int)nets->net[i]->link, "publish",
				  publishes(config), "sent", counts(&nic->sent),
				  "received", counts(&nic->received),
				  "device", nets->net[i]->device));
	}
	return list;
}

void nets_close(struct nets *nets)
{
	for (unsigned int i = 0; i < nets->count; i++)
		net_close(nets->net[i]);
	nets->count = 0;
}
