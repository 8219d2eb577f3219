/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/core.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/address.h"
#include "net/switch/service.h"

#define GROUP 0x01u /* in the first byte of a MAC: of more than one */

void core_init(struct core *core, const struct network *network)
{
	core->network = network;
	core->guard.network = network;
	core->leases.network = network;
}

void core_end(struct core *core)
{
	filter_end(core);
}

void core_read(const struct core_frame *frame, uint8_t *to, uint32_t size)
{
	uint32_t first = size < frame->head_size ? size : frame->head_size;

	memcpy(to, frame->head, first);
	if (size > first)
		memcpy(to + first, frame->rest, size - first);
}

/* --- ports ------------------------------------------------------------------------- */

/* An address for the card: 0, or why there is none (core_plug()). */
static int find_lease(struct core *core, const struct core_card *card,
		      uint32_t *lease)
{
	const struct network *network = core->network;

	if (!card->address) {
		*lease = leases_take(&core->leases, card->mac, card->machine);
		return !*lease && network->has4 && network->dhcp ?
			       -EADDRNOTAVAIL : 0;
	}
	if (!network_host4(network, card->address))
		return -EINVAL;
	for (unsigned int i = CORE_OWN + 1; i < CORE_PORTS; i++)
		if (core->port[i].used && guard_has4(&core->guard, i,
						     card->address))
			return -EADDRINUSE;
	*lease = card->address;
	leases_fix(&core->leases, card->mac, card->machine, card->address);
	return 0;
}

int core_plug(struct core *core, const struct core_card *card)
{
	unsigned int free = 0;
	struct core_port *port;
	uint32_t lease;
	int err;

	for (unsigned int i = CORE_PORTS; i-- > CORE_OWN + 1;) {
		if (!core->port[i].used)
			free = i;
		else if (!memcmp(core->port[i].mac, card->mac, NIC_MAC))
			return -EEXIST;
	}
	if (!free)
		return -ENOSPC;
	err = find_lease(core, card, &lease);
	if (err)
		return err;
	port = &core->port[free];
	*port = (struct core_port){
		.used = true,
		.lease = lease,
		.vlan = card->vlan,
		.give = card->give,
		.ctx = card->ctx,
		.flood = 1000 * CORE_FLOOD_BURST,
	};
	memcpy(port->mac, card->mac, NIC_MAC);
	snprintf(port->machine, sizeof(port->machine), "%s", card->machine);
	core->guard.port[free] = (struct guard_port){ .used = true,
						      .lease = lease };
	memcpy(core->guard.port[free].mac, card->mac, NIC_MAC);
	filter_plug(core, free);
	return (int)free;
}

void core_unplug(struct core *core, unsigned int port)
{
	leases_drop(&core->leases, core->port[port].mac);
	table_forget(&core->table, port);
	filter_unplug(core, port);
	core->guard.port[port].used = false;
	core->port[port].used = false;
}

bool core_ruled(const struct core *core, unsigned int port)
{
	return core->filter.port[port] || core->port[port].closed;
}

/* Whether frames of one reach the other at all. */
static bool joined(const struct core *core, unsigned int a, unsigned int b)
{
	return a == CORE_OWN || b == CORE_OWN ||
	       core->port[a].vlan == core->port[b].vlan;
}

/* --- frames ------------------------------------------------------------------------- */

/* False: there is no room. */
static bool offer(struct core_port *port, const struct core_frame *frame)
{
	if (!port->give(port->ctx, frame))
		return false;
	port->received.frames++;
	port->received.bytes += frame->nic.size;
	patience_earn(&port->patience, frame->nic.size);
	return true;
}

static void give(struct core *core, unsigned int index,
		 const struct core_frame *frame)
{
	struct core_port *port = &core->port[index];

	if (port->used && !offer(port, frame))
		port->dropped++;
}

void core_send(struct core *core, unsigned int port, const uint8_t *bytes,
	       uint32_t size)
{
	const struct core_frame frame = {
		.nic = { .size = size, .sum = NIC_SUM_GOOD },
		.head = bytes,
		.head_size = size,
	};

	give(core, port, &frame);
}

/* Whether it passes the rules of its receiver, who is there. */
static bool passes(struct core *core, unsigned int index,
		   const struct core_frame *frame)
{
	struct core_port *port = &core->port[index];

	if (!port->used)
		return false;
	if (index == CORE_OWN ||
	    filter_pass(core, index, true, frame->head, frame->head_size,
			core->now))
		return true;
	port->ruled[1]++;
	return false;
}

static void give_ruled(struct core *core, unsigned int index,
		       const struct core_frame *frame)
{
	if (passes(core, index, frame))
		give(core, index, frame);
}

/* Or it may wait: as core_input() has it. */
static unsigned int offer_ruled(struct core *core, unsigned int to,
				const struct core_frame *frame)
{
	if (!passes(core, to, frame))
		return 0;
	core->reached = to;
	return core_again(core, to, frame, 0);
}

unsigned int core_again(struct core *core, unsigned int to,
			const struct core_frame *frame, uint64_t waited)
{
	struct core_port *port = &core->port[to];

	patience_use(&port->patience, waited);
	if (offer(port, frame))
		return 0;
	if (port->patience.ns)
		return to;
	port->dropped++;
	return 0;
}

/* Whether the port may send one more for all; the network's own always. */
static bool may_flood(struct core_port *port, uint64_t now)
{
	uint64_t more = (now - port->flood_at) * CORE_FLOOD_RATE;

	port->flood_at = now;
	port->flood += more;
	if (port->flood > 1000 * CORE_FLOOD_BURST)
		port->flood = 1000 * CORE_FLOOD_BURST;
	if (port->flood < 1000)
		return false;
	port->flood -= 1000;
	return true;
}

static void flood(struct core *core, unsigned int from,
		  const struct core_frame *frame, uint64_t now)
{
	struct core_port *port = &core->port[from];

	if (from != CORE_OWN && !may_flood(port, now)) {
		port->stormed++;
		return;
	}
	for (unsigned int i = 0; i < CORE_PORTS; i++)
		if (i != from && joined(core, from, i))
			give_ruled(core, i, frame);
}

/* Where it is known to be: that port's. */
static unsigned int to_one(struct core *core, unsigned int from,
			   unsigned int to, const struct core_frame *frame)
{
	if (!joined(core, from, to)) {
		core->port[from].strange++;
		return 0;
	}
	if (from != CORE_OWN && to != CORE_OWN && to != from)
		return offer_ruled(core, to, frame);
	if (to != from)
		give_ruled(core, to, frame);
	return 0;
}

unsigned int core_input(struct core *core, unsigned int index,
			const struct core_frame *frame, uint64_t now)
{
	struct core_port *port = &core->port[index];
	unsigned int to;

	core->reached = 0;
	port->sent.frames++;
	port->sent.bytes += frame->nic.size;
	if (index != CORE_OWN &&
	    !guard_check(&core->guard, index, frame->head,
			 frame->head_size)) {
		port->refused++;
		return 0;
	}
	core->now = now;
	if (index == CORE_OWN) {
		filter_learn(core, frame->head, frame->head_size);
	} else if (!filter_pass(core, index, false, frame->head,
				frame->head_size, now)) {
		port->ruled[0]++;
		return 0;
	}
	table_learn(&core->table, frame->head + NIC_MAC, index, now);
	if (index != CORE_OWN && service_input(core, index, frame))
		return 0;
	to = frame->head[0] & GROUP ? TABLE_NOWHERE :
	     table_find(&core->table, frame->head, now);
	if (to != TABLE_NOWHERE)
		return to_one(core, index, to, frame);
	flood(core, index, frame, now);
	return 0;
}

/* --- looking at it ------------------------------------------------------------------- */

static json_t *counts(const struct core_count *count)
{
	return json_pack("{sI sI}", "frames", (json_int_t)count->frames,
			 "bytes", (json_int_t)count->bytes);
}

static json_t *port_state(const struct core *core, unsigned int index)
{
	const struct core_port *port = &core->port[index];
	struct in_addr in = { htonl(port->lease) };
	char mac[ADDRESS_MAC], text[NET_ADDRESS];
	struct in6_addr six;
	json_t *addresses = json_array();

	if (port->lease)
		json_array_append_new(addresses,
				      json_string(inet_ntop(AF_INET, &in, text,
							    sizeof(text))));
	if (guard_address6(&core->guard, index, &six))
		json_array_append_new(addresses,
				      json_string(inet_ntop(AF_INET6, &six,
							    text,
							    sizeof(text))));
	return json_pack("{ss ss so si si so so sI sI sI sI s{sI sI}}",
			 "machine",
			 port->machine, "mac", address_mac(mac, port->mac),
			 "addresses", addresses, "vlan", (int)port->vlan,
			 "shortcuts", (int)port->shortcuts, "sent", counts(&port->sent), "received",
			 counts(&port->received), "refused",
			 (json_int_t)port->refused, "stormed",
			 (json_int_t)port->stormed, "dropped",
			 (json_int_t)port->dropped, "strange",
			 (json_int_t)port->strange, "rules", "out",
			 (json_int_t)port->ruled[0], "in",
			 (json_int_t)port->ruled[1]);
}

json_t *core_state(const struct core *core)
{
	json_t *list = json_array();

	for (unsigned int i = CORE_OWN + 1; i < CORE_PORTS; i++)
		if (core->port[i].used)
			json_array_append_new(list, port_state(core, i));
	return list;
}
