/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the virtio core: what the two ring formats share, and
 * how each answers to queue.c.
 */
#ifndef LODGE_VIRTIO_RING_H
#define LODGE_VIRTIO_RING_H

#include "virtio/virtio.h"

/* queue.c; held: device lock and queue's lock. False: no such ring. */
bool virtio_queue_start(struct virtio_queue *queue);
void virtio_queue_stop(struct virtio_queue *queue);
/* The queue's work, on the worker. */
void virtio_queue_run(void *ctx);

/* All with the queue's lock held and the queue live. */
struct virtio_ring_ops {
	/* Sizes of the three areas for `size` descriptors. */
	void (*sizes)(uint16_t size, uint32_t area[3]);
	/*
	 * The next buffer: 1; none: 0; the ring is broken (already told): -1.
	 */
	int (*pop)(struct virtio_queue *queue, struct virtio_buffer *buffer);
	void (*unpop)(struct virtio_queue *queue, uint16_t count);
	/* The driver sees all of them or none. */
	void (*push)(struct virtio_queue *queue,
		     const struct virtio_used *used, unsigned int count);
	/* Whether the driver wants an interrupt for what was pushed. */
	bool (*wants_signal)(struct virtio_queue *queue);
	/* Whether it has seen all of that, and would want one for more. */
	bool (*caught_up)(const struct virtio_queue *queue);
	/* Asks the driver to notify, or not to. */
	void (*set_notify)(struct virtio_queue *queue, bool on);
};

extern const struct virtio_ring_ops virtio_split_ops, virtio_packed_ops;

/* Takes the ring apart before a pop: empties `buffer`. */
void virtio_buffer_init(struct virtio_buffer *buffer);

/*
 * Adds what a descriptor names. False, with the device broken: not memory,
 * readable after writable, or too much.
 */
bool virtio_buffer_add(struct virtio_queue *queue,
		       struct virtio_buffer *buffer,
		       const struct virtq_desc *desc);

/*
 * The table that an indirect descriptor names, and how many entries; NULL,
 * with the device broken, when it cannot be one.
 */
const uint8_t *virtio_indirect(struct virtio_queue *queue,
			       const struct virtq_desc *desc,
			       unsigned int *count);

/* Ring words are the driver's at the same time: one access each. */
static inline uint16_t ring_load(const uint8_t *at)
{
	return atomic_load_explicit((const _Atomic uint16_t *)(const void *)at,
				    memory_order_acquire);
}

static inline void ring_store(uint8_t *at, uint16_t value)
{
	atomic_store_explicit((_Atomic uint16_t *)(void *)at, value,
			      memory_order_release);
}

struct ring_half {
	volatile uint64_t v; /* read once, wherever a driver put the table */
} __attribute__((packed));

static inline struct virtq_desc ring_desc(const uint8_t *at)
{
	const struct ring_half *half = (const void *)at;
	uint64_t low = half[0].v, high = half[1].v;

	return (struct virtq_desc){
		.addr = low,
		.len = (uint32_t)high,
		.flags = (uint16_t)(high >> 32),
		.next = (uint16_t)(high >> 48),
	};
}

/* Whether going from `old` to `new` passes `event` (2.7.7.2). */
static inline bool ring_passes(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

#endif
