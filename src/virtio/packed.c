/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed virtqueues (virtio 1.2, 2.8): one ring of descriptors that both
 * sides write, with wrap counters, and two event suppression structures.
 * Each descriptor is read once: its flags first, then the rest.
 */
#include "virtio/ring.h"

#define AT_LEN	 8
#define AT_ID	 12
#define AT_FLAGS 14

#define EVENT_FLAGS 2 /* in the suppression structures; the offset is at 0 */

static void packed_sizes(uint16_t size, uint32_t area[3])
{
	area[0] = 16u * size;
	area[1] = 4;
	area[2] = 4;
}

/* ring_desc() with the order of a packed descriptor: id, then flags. */
static struct virtq_desc packed_desc(const uint8_t *at)
{
	struct virtq_desc raw = ring_desc(at);

	return (struct virtq_desc){
		.addr = raw.addr,
		.len = raw.len,
		.flags = raw.next,
		.next = raw.flags,
	};
}

static bool is_available(uint16_t flags, bool wrap)
{
	return !(flags & VIRTQ_PACKED_AVAIL) == !wrap &&
	       !(flags & VIRTQ_PACKED_USED) == wrap;
}

static void advance(const struct virtio_queue *q, uint16_t *at, bool *wrap,
		    uint16_t count)
{
	*at = (uint16_t)(*at + count);
	if (*at >= q->size) {
		*at = (uint16_t)(*at - q->size);
		*wrap = !*wrap;
	}
}

/* All of an indirect table is the buffer, in order (2.8.7). */
static bool take_indirect(struct virtio_queue *q, struct virtio_buffer *buffer,
			  const struct virtq_desc *desc)
{
	unsigned int count;
	const uint8_t *table;

	if ((desc->flags & VIRTQ_NEXT) || buffer->count > 1 ||
	    !virtio_has(q->device, VIRTIO_F_INDIRECT_DESC)) {
		virtio_broken(q->device, "a misplaced indirect table");
		return false;
	}
	table = virtio_indirect(q, desc, &count);
	for (unsigned int i = 0; table && i < count; i++) {
		struct virtq_desc inner = packed_desc(table + 16 * i);

		inner.flags &= VIRTQ_WRITE; /* the others mean nothing here */
		if (!virtio_buffer_add(q, buffer, &inner))
			return false;
	}
	return table;
}

static int packed_pop(struct virtio_queue *q, struct virtio_buffer *buffer)
{
	uint16_t at = q->avail_next;
	bool wrap = q->avail_wrap;
	struct virtq_desc desc;

	if (!is_available(ring_load(q->desc + 16 * at + AT_FLAGS), wrap))
		return 0;
	virtio_buffer_init(buffer);
	do {
		if (buffer->count == q->size) {
			virtio_broken(q->device, "a chain without an end");
			return -1;
		}
		buffer->count++;
		desc = packed_desc(q->desc + 16 * at);
		if (desc.flags & VIRTQ_INDIRECT) {
			if (!take_indirect(q, buffer, &desc))
				return -1;
		} else if (!virtio_buffer_add(q, buffer, &desc)) {
			return -1;
		}
		advance(q, &at, &wrap, 1);
	} while (desc.flags & VIRTQ_NEXT);
	buffer->id = desc.next; /* the last one's is the buffer's */
	q->avail_next = at;
	q->avail_wrap = wrap;
	return 1;
}

static void packed_unpop(struct virtio_queue *q, uint16_t count)
{
	if (q->avail_next < count) {
		q->avail_next = (uint16_t)(q->avail_next + q->size);
		q->avail_wrap = !q->avail_wrap;
	}
	q->avail_next = (uint16_t)(q->avail_next - count);
}

/* All of a used descriptor but its flags, which are the result. */
static uint16_t fill_used(struct virtio_queue *q, uint8_t *at,
			  const struct virtio_used *used)
{
	uint16_t flags = q->used_wrap ? VIRTQ_PACKED_AVAIL | VIRTQ_PACKED_USED
				      : 0;
	bool wrapped = q->used_wrap;

	if (used->written)
		flags |= VIRTQ_WRITE;
	__builtin_memcpy(at + AT_LEN, &used->written, sizeof(used->written));
	__builtin_memcpy(at + AT_ID, &used->id, sizeof(used->id));
	advance(q, &q->used_next, &q->used_wrap, used->count);
	if (q->used_wrap != wrapped)
		q->signalled_valid = false;
	return flags;
}

static void store_flags(struct virtio_queue *q, uint8_t *at, uint16_t flags)
{
	ring_store(at + AT_FLAGS, flags);
	memory_note_host(&q->device->vm->memory, at, 16);
}

/* The first one's flags come last: the driver looks there. */
static void packed_push(struct virtio_queue *q, const struct virtio_used *used,
			unsigned int count)
{
	uint8_t *first = q->desc + 16 * q->used_next;
	uint16_t first_flags = 0;

	for (unsigned int i = 0; i < count; i++) {
		uint8_t *at = q->desc + 16 * q->used_next;
		uint16_t flags = fill_used(q, at, &used[i]);

		if (i)
			store_flags(q, at, flags);
		else
			first_flags = flags;
	}
	store_flags(q, first, first_flags);
}

static bool packed_wants_signal(struct virtio_queue *q)
{
	uint16_t old = q->signalled, flags, event;
	bool valid = q->signalled_valid;

	atomic_thread_fence(memory_order_seq_cst);
	q->signalled = q->used_next;
	q->signalled_valid = true;
	flags = ring_load(q->driver + EVENT_FLAGS) & 3;
	if (flags != VIRTQ_EVENT_DESC ||
	    !virtio_has(q->device, VIRTIO_F_EVENT_IDX))
		return flags != VIRTQ_EVENT_DISABLE;
	if (!valid)
		return true;
	event = ring_load(q->driver);
	/* Of the lap before: as far behind. */
	if ((event >> 15) != q->used_wrap)
		event = (uint16_t)((event & 0x7fff) - q->size);
	else
		event &= 0x7fff;
	return ring_passes(event, q->used_next, old);
}

static bool packed_caught_up(const struct virtio_queue *q)
{
	uint16_t flags = ring_load(q->driver + EVENT_FLAGS) & 3;

	if (flags != VIRTQ_EVENT_DESC ||
	    !virtio_has(q->device, VIRTIO_F_EVENT_IDX))
		return flags != VIRTQ_EVENT_DISABLE;
	return ring_load(q->driver) ==
	       (uint16_t)(q->used_next | q->used_wrap << 15);
}

static void packed_set_notify(struct virtio_queue *q, bool on)
{
	uint16_t flags = on ? VIRTQ_EVENT_ENABLE : VIRTQ_EVENT_DISABLE;
	uint16_t at = q->avail_next;
	bool wrap = q->avail_wrap;

	if (on && virtio_has(q->device, VIRTIO_F_EVENT_IDX)) {
		advance(q, &at, &wrap, q->patience);
		ring_store(q->at_device, (uint16_t)(at | wrap << 15));
		flags = VIRTQ_EVENT_DESC;
	}
	ring_store(q->at_device + EVENT_FLAGS, flags);
	memory_note_host(&q->device->vm->memory, q->at_device, 4);
}

const struct virtio_ring_ops virtio_packed_ops = {
	.sizes = packed_sizes,
	.pop = packed_pop,
	.unpop = packed_unpop,
	.push = packed_push,
	.wants_signal = packed_wants_signal,
	.caught_up = packed_caught_up,
	.set_notify = packed_set_notify,
};
