/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/lane.h"

#include "vm/host.h"

static struct virtio_request *take(struct virtio_lane *lane,
				   struct virtio_queue *q, size_t size)
{
	struct virtio_request *r = lane->free;

	if (r) {
		lane->free = r->next;
		return r;
	}
	if (lane->count == VIRTIO_LANE_MAX)
		return NULL;
	r = host_alloc(size);
	lane->starved = !r;
	if (r) {
		r->queue = q;
		lane->all[lane->count++] = r;
	}
	return r;
}

void virtio_lane_put(struct virtio_lane *lane, struct virtio_request *r)
{
	r->next = lane->free;
	lane->free = r;
	if (lane->starved)
		virtio_queue_kick(r->queue);
	lane->starved = false;
}

void *virtio_lane_next(struct virtio_lane *lane, struct virtio_queue *q,
		       size_t size)
{
	struct virtio_request *r = take(lane, q, size);

	if (r && !virtio_queue_pop(q, &r->buffer)) {
		virtio_lane_put(lane, r);
		return NULL;
	}
	return r;
}

void virtio_lane_fini(struct virtio_lane *lane)
{
	for (unsigned int i = 0; i < lane->count; i++)
		host_free(lane->all[i]);
}
