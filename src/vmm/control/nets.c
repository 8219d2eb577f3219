/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command limit-net of the control protocol.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/address.h"
#include "vmm/control/impl.h"
#include "vmm/nets.h"

#define BURST_MAX 60000 /* ms */

/* The network of the card with that address or number; NULL: no such card. */
static struct net *find_net(const struct nets *nets, const char *card)
{
	char text[ADDRESS_MAC];

	for (unsigned int i = 0; card && i < nets->count; i++) {
		if (!strcasecmp(card, address_mac(text,
						  nets->given[i].config.mac)))
			return nets->net[i];
		snprintf(text, sizeof(text), "%u", i);
		if (!strcmp(card, text))
			return nets->net[i];
	}
	return NULL;
}

/* The members of a request that are there, over `limits`. */
static bool take_limits(const json_t *request, struct net_limits *limits,
			bool *any, struct control_reply *reply)
{
	const struct {
		const char *name;
		uint64_t *value;
	} members[] = {
		{ "pps-out", &limits->rate[NET_OUT].pps },
		{ "bps-out", &limits->rate[NET_OUT].bps },
		{ "pps-in", &limits->rate[NET_IN].pps },
		{ "bps-in", &limits->rate[NET_IN].bps },
	};
	uint64_t value;
	bool there;

	*any = false;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (!control_number(request, members[i].name, &there, &value,
				    reply))
			return false;
		if (there)
			*members[i].value = value;
		*any |= there;
	}
	if (!control_number(request, "burst", &there, &value, reply))
		return false;
	if (there)
		limits->burst_ms = value < BURST_MAX ? (uint32_t)value
						     : BURST_MAX;
	*any |= there;
	return true;
}

void control_limit_net(struct control_machine *machine, const json_t *request,
		       struct control_reply *reply)
{
	const char *card = json_string_value(json_object_get(request, "net"));
	struct net *net = find_net(machine->target.nets, card);
	struct net_limits limits;
	bool any;
	int rc;

	if (!net) {
		control_refuse(reply, "not-found",
			       "%s has no network card \"%s\"; lodge status "
			       "shows the addresses of those it has",
			       machine->name, card ? card : "");
		return;
	}
	net_limits(net, &limits);
	if (!take_limits(request, &limits, &any, reply))
		return;
	rc = any ? net_limit(net, &limits) : 0;
	if (rc) {
		control_refuse(reply, "failed", "%s", strerror(-rc));
		return;
	}
	net_limits(net, &limits);
	reply->result = json_pack(
		"{sIsIsIsIsi}", "pps-out",
		(json_int_t)limits.rate[NET_OUT].pps, "bps-out",
		(json_int_t)limits.rate[NET_OUT].bps, "pps-in",
		(json_int_t)limits.rate[NET_IN].pps, "bps-in",
		(json_int_t)limits.rate[NET_IN].bps, "burst",
		(int)limits.burst_ms);
}
