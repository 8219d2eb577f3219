/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch itself: frames of one port go to others, or to all. Port 0 is the
 * network's own (its router, or what answers in its place) and is trusted; the
 * others are machines' cards, each with its MAC, of whose frames
 * guard_check() lets pass what is theirs. Frames for more than one port, or
 * for an address that is not known yet, are counted: a port may send so many
 * of them in a second, and what is more is dropped (CORE_FLOOD_*).
 *
 * Frames keep what they leave open, so machines exchange large segments
 * without checksums.
 *
 * Callers take turns; nothing here waits.
 */
#ifndef LODGE_NET_SWITCH_CORE_H
#define LODGE_NET_SWITCH_CORE_H

#include "net/switch/guard.h"
#include "net/switch/lease.h"
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

struct core_port {
	bool used;
	uint8_t mac[NIC_MAC];
	char machine[NETWORK_NAME_MAX + 1];
	uint32_t lease;
	/* False: there was no room, the frame is dropped. */
	bool (*give)(void *ctx, const struct core_frame *frame);
	void *ctx;
	uint64_t flood_at; /* ms, when `flood` was counted */
	uint64_t flood;	   /* thousandths of frames that may be sent yet */
	struct core_count sent, received; /* by the port */
	uint64_t refused; /* not its own address, or malformed */
	uint64_t stormed; /* too many for all */
	uint64_t dropped; /* for it, without room */
};

struct core {
	const struct network *network;
	struct guard guard;
	struct table table;
	struct leases leases;
	struct core_port port[CORE_PORTS];
};

/* `core` is large, and zero. */
void core_init(struct core *core, const struct network *network);

/*
 * A card of a machine's. Its port; -EEXIST: there is one with that MAC;
 * -ENOSPC: no port; -EADDRNOTAVAIL: no address is left.
 */
int core_plug(struct core *core, const uint8_t mac[NIC_MAC],
	      const char *machine,
	      bool (*give)(void *ctx, const struct core_frame *frame),
	      void *ctx);
void core_unplug(struct core *core, unsigned int port);

/* A frame from a port, at `now` in ms. */
void core_input(struct core *core, unsigned int port,
		const struct core_frame *frame, uint64_t now);

/* A frame of our own, whole, to one port. */
void core_send(struct core *core, unsigned int port, const uint8_t *frame,
	       uint32_t size);

/* Copies [0, size) of the frame, which has them. */
void core_read(const struct core_frame *frame, uint8_t *to, uint32_t size);

/* What is known of the ports, as JSON. */
json_t *core_state(const struct core *core);

#endif
