/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a vhost-user back end: memory with rings and buffers in it,
 * which is all that the back end ever sees, and what the two have agreed on.
 * Each connection has memory of its own, so one that is over can be used no
 * more by whoever has it still.
 *
 * A back end that misbehaves may hold up its own frames alone. So what tells it
 * of frames is a socket pair, which can be written without waiting whoever has
 * made it blocking; what it tells us by is an eventfd, which can be read so.
 */
#ifndef LODGE_NET_VHOST_FRONT_H
#define LODGE_NET_VHOST_FRONT_H

#include "net/vhost/message.h"
#include "net/vhost/ring.h"

/* One pair of rings. */
struct vhost_lane {
	struct vhost_ring receive, send;
	int kick[2]; /* written to tell the back end of either: receive, send */
	int call[2]; /* eventfds: it tells us */
};

struct vhost_front {
	int fd; /* of the socket; -1: there is no connection */
	unsigned int pairs;
	unsigned int can; /* NIC_CAN_* of frames to the back end */
	bool acks;
	uint8_t *memory;
	size_t size;
	struct vhost_lane lane[NIC_QUEUES_MAX];
};

/* What is wanted of a connection. */
struct vhost_wish {
	unsigned int pairs; /* at most */
	uint16_t mtu;
	int wake; /* see struct vhost_link */
	const _Atomic bool *ending;
	uint64_t patience; /* ns */
};

/*
 * Agrees with the back end at `fd`, which belongs to the front from then on
 * (also when this fails), and starts its rings. 0 or a negative errno.
 */
int vhost_front_begin(struct vhost_front *front, int fd,
		      const struct vhost_wish *wish);

/* Stops the rings, as far as the back end answers in time; frees all. */
void vhost_front_end(struct vhost_front *front, uint64_t patience);

/* Tells the back end of news in a ring: 0 receives, 1 sends. */
void vhost_front_kick(struct vhost_front *front, unsigned int lane,
		      unsigned int ring);

/* What it has told is no news any more. */
void vhost_front_heard(struct vhost_front *front, unsigned int lane,
		       unsigned int ring);

#endif
