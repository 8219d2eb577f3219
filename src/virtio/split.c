/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues (virtio 1.2, 2.7): descriptor table, available ring, used
 * ring. Each index and descriptor is read once and checked before use; a
 * chain has at most as many descriptors as the queue, so loops end.
 */
#include "virtio/ring.h"

#define AVAIL_IDX  2
#define AVAIL_RING 4
#define USED_IDX   2
#define USED_RING  4

static void split_sizes(uint16_t size, uint32_t area[3])
{
	area[0] = 16u * size;
	area[1] = 6 + 2u * size;
	area[2] = 6 + 8u * size;
}

static bool event_index(const struct virtio_queue *q)
{
	return virtio_has(q->device, VIRTIO_F_EVENT_IDX);
}

/*
 * Follows a chain of `entries` descriptors from `table`, starting at `head`.
 * Indirect tables hold no indirect descriptors (2.7.5.3.1).
 */
static bool follow(struct virtio_queue *q, struct virtio_buffer *buffer,
		   const uint8_t *table, unsigned int entries,
		   unsigned int head, bool indirect)
{
	unsigned int at = head, left = q->size;
	struct virtq_desc desc;

	for (;;) {
		if (at >= entries || !left--) {
			virtio_broken(q->device, "a chain without an end");
			return false;
		}
		desc = ring_desc(table + 16 * at);
		if (desc.flags & VIRTQ_INDIRECT) {
			unsigned int count;
			const uint8_t *inner;

			if (indirect || (desc.flags & VIRTQ_NEXT) ||
			    !virtio_has(q->device, VIRTIO_F_INDIRECT_DESC)) {
				virtio_broken(q->device,
					      "a misplaced indirect table");
				return false;
			}
			inner = virtio_indirect(q, &desc, &count);
			return inner && follow(q, buffer, inner, count, 0,
					       true);
		}
		if (!virtio_buffer_add(q, buffer, &desc))
			return false;
		if (!(desc.flags & VIRTQ_NEXT))
			return true;
		at = desc.next;
	}
}

static int split_pop(struct virtio_queue *q, struct virtio_buffer *buffer)
{
	uint16_t idx = ring_load(q->driver + AVAIL_IDX), head;
	uint16_t waiting = (uint16_t)(idx - q->avail_next);

	if (!waiting)
		return 0;
	if (waiting > q->size) {
		virtio_broken(q->device, "more buffers than descriptors");
		return -1;
	}
	head = ring_load(q->driver + AVAIL_RING +
			 2 * (q->avail_next & (q->size - 1)));
	if (head >= q->size) {
		virtio_broken(q->device, "a head beyond the table");
		return -1;
	}
	virtio_buffer_init(buffer);
	buffer->id = head;
	buffer->count = 1;
	if (!follow(q, buffer, q->desc, q->size, head, false))
		return -1;
	q->avail_next++;
	return 1;
}

static void split_unpop(struct virtio_queue *q, uint16_t count)
{
	q->avail_next = (uint16_t)(q->avail_next - count);
}

static void split_push(struct virtio_queue *q, const struct virtio_used *used,
		       unsigned int count)
{
	struct memory *mem = &q->device->vm->memory;

	for (unsigned int i = 0; i < count; i++) {
		uint8_t *at = q->at_device + USED_RING +
			      8 * (q->used_next & (q->size - 1));
		uint64_t element = used[i].id | (uint64_t)used[i].written << 32;

		/* The used ring is 4-byte aligned, its elements too. */
		__builtin_memcpy(at, &element, sizeof(element));
		memory_note_host(mem, at, 8);
		q->used_next++;
	}
	ring_store(q->at_device + USED_IDX, q->used_next);
	memory_note_host(mem, q->at_device, 4);
}

static bool split_wants_signal(struct virtio_queue *q)
{
	uint16_t old = q->signalled;
	bool valid = q->signalled_valid;

	atomic_thread_fence(memory_order_seq_cst);
	q->signalled = q->used_next;
	q->signalled_valid = true;
	if (!event_index(q))
		return !(ring_load(q->driver) & VIRTQ_NO_INTERRUPT);
	return !valid || ring_passes(ring_load(q->driver + AVAIL_RING +
					       2 * q->size),
				     q->used_next, old);
}

static bool split_caught_up(const struct virtio_queue *q)
{
	if (!event_index(q))
		return !(ring_load(q->driver) & VIRTQ_NO_INTERRUPT);
	return ring_load(q->driver + AVAIL_RING + 2 * q->size) == q->used_next;
}

static void split_set_notify(struct virtio_queue *q, bool on)
{
	uint8_t *at = q->at_device;

	if (event_index(q)) {
		if (!on)
			return; /* the old event index is passed already */
		at += USED_RING + 8 * q->size;
		ring_store(at, (uint16_t)(q->avail_next + q->patience));
	} else {
		ring_store(at, on ? 0 : VIRTQ_NO_NOTIFY);
	}
	memory_note_host(&q->device->vm->memory, at, 2);
}

const struct virtio_ring_ops virtio_split_ops = {
	.sizes = split_sizes,
	.pop = split_pop,
	.unpop = split_unpop,
	.push = split_push,
	.wants_signal = split_wants_signal,
	.caught_up = split_caught_up,
	.set_notify = split_set_notify,
};
