/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver asks of the network card by its control queue (virtio 1.2,
 * 5.1.6.5), and the filter of frames that it sets so.
 */
#include "virtio/net_impl.h"

#include "vm/bytes.h"

#define OK  0
#define ERR 1

#define CLASS_RX       0
#define CLASS_MAC      1
#define CLASS_VLAN     2
#define CLASS_ANNOUNCE 3
#define CLASS_MQ       4
#define CLASS_OFFLOADS 5

#define MAC_TABLE_SET 0
#define MAC_ADDR_SET  1
#define VLAN_ADD      0
#define VLAN_DEL      1
#define RX_MODES      6

#define COMMAND 2 /* bytes: class and command */

/* --- the filter ------------------------------------------------------------------ */

void virtio_net_filter_reset(struct virtio_net *v, bool promiscuous)
{
	struct net_filter *f = &v->filter;

	host_lock(&f->lock);
	f->promiscuous = promiscuous;
	f->all_multicast = f->all_unicast = false;
	f->no_multicast = f->no_unicast = f->no_broadcast = false;
	f->unicasts = f->multicasts = 0;
	memset(f->vlan, 0, sizeof(f->vlan));
	host_unlock(&f->lock);
}

static bool listed(const uint8_t *table, uint32_t count, const uint8_t *mac)
{
	if (count > NET_TABLE_MAX)
		return true;
	for (uint32_t i = 0; i < count; i++)
		if (!memcmp(table + NIC_MAC * i, mac, NIC_MAC))
			return true;
	return false;
}

static bool vlan_wanted(const struct virtio_net *v, const uint8_t *head)
{
	unsigned int vlan = (head[14] << 8 | head[15]) % NET_VLANS;

	if (head[12] != 0x81 || head[13] || !virtio_has(&v->virtio,
							NET_F_CTRL_VLAN))
		return true;
	return v->filter.vlan[vlan / 64] >> vlan % 64 & 1;
}

static bool address_wanted(const struct virtio_net *v, const uint8_t *mac)
{
	static const uint8_t broadcast[NIC_MAC] = { 0xff, 0xff, 0xff,
						    0xff, 0xff, 0xff };
	const struct net_filter *f = &v->filter;

	if (!memcmp(mac, broadcast, NIC_MAC))
		return !f->no_broadcast;
	if (mac[0] & 1)
		return !f->no_multicast &&
		       (f->all_multicast ||
			listed(f->multicast, f->multicasts, mac));
	return !f->no_unicast &&
	       (f->all_unicast ||
		!memcmp(mac, v->virtio.config + NET_CFG_MAC, NIC_MAC) ||
		listed(f->unicast, f->unicasts, mac));
}

bool virtio_net_wants(struct virtio_net *v, const uint8_t head[16])
{
	struct net_filter *f = &v->filter;
	bool wanted;

	host_lock(&f->lock);
	wanted = f->promiscuous ||
		 (vlan_wanted(v, head) && address_wanted(v, head));
	host_unlock(&f->lock);
	return wanted;
}

/* --- commands; the data begins at COMMAND of v->control ------------------------------ */

static uint32_t data_size(const struct virtio_net *v)
{
	return v->control.out_size - COMMAND;
}

/* Exactly `size` bytes of data, no more and no less. */
static bool data(const struct virtio_net *v, void *to, uint32_t size)
{
	return data_size(v) == size &&
	       virtio_buffer_read(&v->control, COMMAND, to, size) == size;
}

static uint8_t set_rx(struct virtio_net *v, uint8_t command)
{
	struct net_filter *f = &v->filter;
	bool *const mode[RX_MODES] = {
		&f->promiscuous,  &f->all_multicast, &f->all_unicast,
		&f->no_multicast, &f->no_unicast,    &f->no_broadcast,
	};
	uint64_t feature = command < 2 ? NET_F_CTRL_RX : NET_F_CTRL_RX_EXTRA;
	uint8_t on;

	if (command >= RX_MODES || !virtio_has(&v->virtio, feature) ||
	    !data(v, &on, 1))
		return ERR;
	host_lock(&f->lock);
	*mode[command] = on;
	host_unlock(&f->lock);
	return OK;
}

/* One table, from *at of the data on; false: it is cut off. */
static bool read_table(struct virtio_net *v, uint32_t *at, uint8_t *table,
		       uint32_t *count)
{
	uint32_t entries;

	if (virtio_buffer_read(&v->control, *at, &entries, 4) != 4)
		return false;
	*at += 4;
	if (entries > (v->control.out_size - *at) / NIC_MAC)
		return false;
	*count = entries > NET_TABLE_MAX ? NET_TABLE_MAX + 1 : entries;
	if (entries <= NET_TABLE_MAX)
		virtio_buffer_read(&v->control, *at, table, NIC_MAC * entries);
	*at += NIC_MAC * entries;
	return true;
}

static uint8_t set_table(struct virtio_net *v)
{
	struct net_filter *f = &v->filter;
	uint8_t table[2][NET_TABLE_MAX * NIC_MAC];
	uint32_t count[2], at = COMMAND;

	if (!read_table(v, &at, table[0], &count[0]) ||
	    !read_table(v, &at, table[1], &count[1]) ||
	    at != v->control.out_size)
		return ERR;
	host_lock(&f->lock);
	f->unicasts = count[0];
	f->multicasts = count[1];
	if (count[0] <= NET_TABLE_MAX)
		memcpy(f->unicast, table[0], NIC_MAC * count[0]);
	if (count[1] <= NET_TABLE_MAX)
		memcpy(f->multicast, table[1], NIC_MAC * count[1]);
	host_unlock(&f->lock);
	return OK;
}

static uint8_t set_address(struct virtio_net *v)
{
	uint8_t mac[NIC_MAC];

	if (!virtio_has(&v->virtio, NET_F_CTRL_MAC_ADDR) ||
	    !data(v, mac, NIC_MAC))
		return ERR;
	host_lock(&v->filter.lock);
	memcpy(v->virtio.config + NET_CFG_MAC, mac, NIC_MAC);
	host_unlock(&v->filter.lock);
	return OK;
}

static uint8_t set_mac(struct virtio_net *v, uint8_t command)
{
	if (command == MAC_TABLE_SET && virtio_has(&v->virtio, NET_F_CTRL_RX))
		return set_table(v);
	return command == MAC_ADDR_SET ? set_address(v) : ERR;
}

static uint8_t set_vlan(struct virtio_net *v, uint8_t command)
{
	struct net_filter *f = &v->filter;
	uint64_t bit;
	uint16_t vlan;

	if (!virtio_has(&v->virtio, NET_F_CTRL_VLAN) || command > VLAN_DEL ||
	    !data(v, &vlan, 2) || vlan >= NET_VLANS)
		return ERR;
	bit = (uint64_t)1 << vlan % 64;
	host_lock(&f->lock);
	if (command == VLAN_ADD)
		f->vlan[vlan / 64] |= bit;
	else
		f->vlan[vlan / 64] &= ~bit;
	host_unlock(&f->lock);
	return OK;
}

/* The driver has told the network where it is. */
static uint8_t set_announced(struct virtio_net *v, uint8_t command)
{
	if (command || !virtio_has(&v->virtio, NET_F_GUEST_ANNOUNCE) ||
	    data_size(v) || !virtio_net_set_status(v, NET_S_ANNOUNCE, false))
		return ERR;
	return OK;
}

static uint8_t set_pairs(struct virtio_net *v, uint8_t command)
{
	uint16_t pairs;

	if (command || !virtio_has(&v->virtio, NET_F_MQ) ||
	    !data(v, &pairs, 2) || !pairs || pairs > v->pairs_max)
		return ERR;
	atomic_store(&v->pairs, pairs);
	return OK;
}

static uint8_t set_offloads(struct virtio_net *v, uint8_t command)
{
	uint64_t offloads;

	if (command || !virtio_has(&v->virtio, NET_F_CTRL_OFFLOADS) ||
	    !data(v, &offloads, 8) ||
	    (offloads & ~(v->virtio.driver_features & NET_OFFLOADS)))
		return ERR;
	virtio_net_set_offloads(v, offloads);
	return OK;
}

static uint8_t run(struct virtio_net *v)
{
	static uint8_t (*const classes[])(struct virtio_net *v,
					  uint8_t command) = {
		[CLASS_RX] = set_rx,
		[CLASS_MAC] = set_mac,
		[CLASS_VLAN] = set_vlan,
		[CLASS_ANNOUNCE] = set_announced,
		[CLASS_MQ] = set_pairs,
		[CLASS_OFFLOADS] = set_offloads,
	};
	uint8_t word[COMMAND];

	virtio_buffer_read(&v->control, 0, word, COMMAND);
	if (word[0] >= sizeof(classes) / sizeof(classes[0]))
		return ERR;
	return classes[word[0]](v, word[1]);
}

void virtio_net_commands(struct virtio_net *v, struct virtio_queue *q)
{
	while (!atomic_load(&v->quiet) && virtio_queue_pop(q, &v->control)) {
		uint32_t written = 0;
		uint8_t ack;

		if (v->control.out_size < COMMAND || !v->control.in_size) {
			virtio_broken(&v->virtio, "a command cut off");
		} else {
			ack = run(v);
			written = virtio_buffer_write(q, &v->control, 0, &ack,
						      1);
		}
		virtio_queue_push(q, &v->control, written);
	}
}
