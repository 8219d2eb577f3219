/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of one queue, for devices that have several under way: each is
 * made when first needed and kept for the next. The queue's lock is held.
 */
#ifndef LODGE_VIRTIO_LANE_H
#define LODGE_VIRTIO_LANE_H

#include "virtio/virtio.h"

#define VIRTIO_LANE_MAX 256u /* requests, and the queue's size */

/* A device's own request begins with this. */
struct virtio_request {
	struct virtio_queue *queue;
	struct virtio_request *next; /* of the free ones */
	struct virtio_buffer buffer;
};

/* Zero at its beginning. */
struct virtio_lane {
	struct virtio_request *free;
	struct virtio_request *all[VIRTIO_LANE_MAX];
	unsigned int count;
	bool starved; /* there was no memory for another one */
};

/*
 * The next request, popped, in memory of `size` bytes; NULL: there is none, or
 * no place for it. A queue whose requests found no memory is run again when
 * one is over.
 */
void *virtio_lane_next(struct virtio_lane *lane, struct virtio_queue *q,
		       size_t size);

/* The request is over, its buffer pushed or unpopped. */
void virtio_lane_put(struct virtio_lane *lane, struct virtio_request *request);

/* None is under way. */
void virtio_lane_fini(struct virtio_lane *lane);

#endif
