/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue (virtio 1.2, 2.7) in memory that is
 * shared with a back end, with the buffers of its descriptors behind it. The
 * memory holds nothing else, and nothing of it is believed: what is read there
 * is read once and checked against what this side keeps to itself; frames may
 * change at any time. A ring that says what cannot be is broken, for good.
 *
 * A ring that sends cuts its buffers into slots, chained as long as the frame
 * is; one that receives offers each as it is.
 */
#ifndef LODGE_NET_VHOST_RING_H
#define LODGE_NET_VHOST_RING_H

#include "vm/nic.h"
#include "vm/nic_header.h"

#define VHOST_RING_SIZE	 256u	/* descriptors */
#define VHOST_RING_BYTES 8192u	/* of the three tables */
#define VHOST_SLOT	 4096u	/* of a ring that sends */
#define VHOST_AVAIL	 4096u	/* where the second table is */
#define VHOST_USED	 5120u	/* and the third */
#define VHOST_HEADER	 12u	/* before each frame, with num_buffers */
#define VHOST_PIECES	 32u	/* buffers of a frame at most */

struct vhost_ring {
	uint8_t *tables, *buffers; /* shared */
	uint64_t address;	   /* of the first buffer, as the ring has it */
	uint32_t buffer;	   /* bytes of each */
	bool merges; /* a frame may take several buffers */
	bool broken;
	uint16_t made, seen; /* available ones that were made, used ones seen */
	uint16_t under_way;  /* heads that are the other side's */
	bool head[VHOST_RING_SIZE]; /* these */
	uint16_t next[VHOST_RING_SIZE], length[VHOST_RING_SIZE]; /* chains */
	uint16_t idle[VHOST_RING_SIZE]; /* descriptors that are in none */
	unsigned int idles;
};

/* What was received: pieces of shared memory, and what to give back. */
struct vhost_frame {
	struct nic_frame nic;
	struct span span[VHOST_PIECES];
	uint16_t id[VHOST_PIECES];
	unsigned int count;
	bool malformed; /* it is no frame: to be dropped */
};

/* With memory that is zero. */
void vhost_ring_init(struct vhost_ring *ring, uint8_t *tables,
		     uint8_t *buffers, uint64_t address, uint32_t buffer);

/* Puts a frame in; false: there is no room, or the ring is broken. */
bool vhost_ring_send(struct vhost_ring *ring, const struct nic_frame *frame);
/* Takes back what was sent. */
void vhost_ring_reclaim(struct vhost_ring *ring);

/* Offers all buffers, at the beginning. */
void vhost_ring_offer(struct vhost_ring *ring);
/* The next frame; it stays the next one until vhost_ring_done(). */
bool vhost_ring_peek(struct vhost_ring *ring, struct vhost_frame *frame);
/* Gives its buffers back. */
void vhost_ring_done(struct vhost_ring *ring, const struct vhost_frame *frame);

/* Whether the other side wants to hear of what was made available. */
bool vhost_ring_notifies(struct vhost_ring *ring);
/* Asks to be told of what is used; false: there is some by now. */
bool vhost_ring_listen(struct vhost_ring *ring);
/* And not any more. */
void vhost_ring_ignore(struct vhost_ring *ring);

#endif
