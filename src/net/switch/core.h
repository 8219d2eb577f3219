/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch itself: frames of one port go to others, or to all. Port 0 is the
 * network's own (its router, or what answers in its place) and is trusted; the
 * others are machines' cards, each with its MAC, of whose frames
 * guard_check() lets pass what is theirs. Frames for more than one port, or
 * for an address that is not known yet, are counted: a port may send so many
 * of them in a second, and what is more is dropped (CORE_FLOOD_*).
 *
 * Cards with different tags (VLANs) get nothing of each other's; the network's
 * own port is with all of them. Then come the rules of the machines (filter.h).
 *
 * Frames keep what they leave open, so machines exchange large segments
 * without checksums.
 *
 * Callers take turns; nothing here waits. But a caller may, as pause frames
 * have it (IEEE 802.3, annex 31B): a frame for one port that has no room, from
 * a machine, is kept back with all behind it. So a sender runs no faster than
 * its receiver, and leaves it the processors that they share. No port holds up
 * others for long (patience.h): what it has no room for is dropped then.
 */
#ifndef LODGE_NET_SWITCH_CORE_H
#define LODGE_NET_SWITCH_CORE_H

#include "net/switch/filter.h"
#include "net/switch/guard.h"
#include "net/switch/lease.h"
#include "net/switch/patience.h"
#include "net/switch/table.h"
#include "net/switch/wire.h"

#define CORE_PORTS	 GUARD_PORTS
#define CORE_OWN	 0u /* the network's own port */
#define CORE_FLOOD_RATE	 1000u /* frames a second */
#define CORE_FLOOD_BURST 500u

/* `head` is the caller's own, `rest` may change at any time. */
struct core_frame {
	struct nic_frame nic; /* without spans */
	const uint8_t *head;
	uint32_t head_size;
	const uint8_t *rest;
};

struct core_count {
	uint64_t frames, bytes;
};

/* A machine's card, as it is plugged in. */
struct core_card {
	const uint8_t *mac;
	const char *machine;
	uint32_t address; /* that it is to have; 0: any */
	uint16_t vlan;	  /* its tag; 0: none */
	/* False: there was no room, the frame is dropped. */
	bool (*give)(void *ctx, const struct core_frame *frame);
	void *ctx;
};

struct core_port {
	bool used;
	bool closed; /* it has rules for which there is no memory */
	uint8_t mac[NIC_MAC];
	uint16_t vlan;
	char machine[NETWORK_NAME_MAX + 1];
	uint32_t lease;
	bool (*give)(void *ctx, const struct core_frame *frame);
	void *ctx;
	uint64_t flood_at; /* ms, when `flood` was counted */
	uint64_t flood;	   /* thousandths of frames that may be sent yet */
	struct core_count sent, received; /* by the port */
	uint64_t refused; /* not its own address, or malformed */
	uint64_t stormed; /* too many for all */
	uint64_t dropped; /* for it, without room */
	uint64_t ruled[2]; /* by its rules: out, in */
	uint64_t strange; /* to cards with another tag */
	unsigned int shortcuts; /* that it has (wire.h) */
	struct patience patience; /* with it, when it has no room */
};

struct core {
	const struct network *network;
	struct guard guard;
	struct table table;
	struct filter filter;
	struct leases leases;
	uint64_t now; /* ms, of the frame that is looked at */
	unsigned int reached; /* the machine's port that alone got it; or 0 */
	struct core_port port[CORE_PORTS];
};

/* `core` is large, and zero; core_end() before it is freed. */
void core_init(struct core *core, const struct network *network);
void core_end(struct core *core);

/*
 * A card of a machine's. Its port; -EEXIST: there is one with that MAC;
 * -ENOSPC: no port; -EADDRNOTAVAIL: no address is left; of one it is to have
 * -EADDRINUSE: another has it, -EINVAL: it is no machine's of this network.
 */
int core_plug(struct core *core, const struct core_card *card);
void core_unplug(struct core *core, unsigned int port);

/*
 * A frame from a port, at `now` in ms. 0: it is over, given or dropped. Else
 * a machine's port for whose room it may wait, port[].patience.ns at most. Then
 * core_again() follows, before that port is unplugged; nothing else is to come
 * of this frame's sender meanwhile.
 */
unsigned int core_input(struct core *core, unsigned int port,
			const struct core_frame *frame, uint64_t now);

/* The frame for port `to` again, after `waited` ns, with the same answer. */
unsigned int core_again(struct core *core, unsigned int to,
			const struct core_frame *frame, uint64_t waited);

/* Whether there are rules for the machine at that port. */
bool core_ruled(const struct core *core, unsigned int port);

/* A frame of our own, whole, to one port. */
void core_send(struct core *core, unsigned int port, const uint8_t *frame,
	       uint32_t size);

/* Copies [0, size) of the frame, which has them. */
void core_read(const struct core_frame *frame, uint8_t *to, uint32_t size);

/* What is known of the ports, as JSON. */
json_t *core_state(const struct core *core);

#endif
