/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network behind a card, for tests: keeps the last frames that it was
 * sent, takes none when told to, and gives the card frames.
 */
#ifndef LODGE_TEST_VIRTIO_FAKE_NET_H
#define LODGE_TEST_VIRTIO_FAKE_NET_H

#include <stdlib.h>
#include <string.h>

#include "vm/nic.h"

#define FAKE_NET_FRAMES 8

struct fake_sent {
	struct nic_frame frame; /* without its spans */
	unsigned int queue;
	uint8_t data[NIC_FRAME_MAX];
};

struct fake_net {
	struct net net;
	bool later; /* what send() says */
	bool last;  /* one frame more comes as the card parts from it */
	unsigned int sent, flushes, rooms, starts, stops, parts;
	struct fake_sent frame[FAKE_NET_FRAMES]; /* sent % FAKE_NET_FRAMES */
};

void fake_net_init(struct fake_net *fake);

/* A whole frame for the guest; what receive() said. */
bool fake_net_give(struct fake_net *fake, const void *data, uint32_t size);

/* The last frame that was sent. */
const struct fake_sent *fake_net_last(const struct fake_net *fake);

#endif
