/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues whatever their ring format: mapping buffers, taking and giving
 * them back, notifications both ways, the worker's part. See virtio.h for
 * threads and locks.
 */
#include "virtio/ring.h"

#include "vm/bytes.h"

/* --- buffers ------------------------------------------------------------------ */

void virtio_buffer_init(struct virtio_buffer *buffer)
{
	buffer->id = 0;
	buffer->count = 0;
	buffer->out_spans = buffer->in_spans = 0;
	buffer->out_size = buffer->in_size = 0;
}

/* Host memory at `addr`; *room: how far it goes in one piece. */
static void *map(const struct memory *mem, uint64_t addr, bool write,
		 uint64_t *room)
{
	const struct memory_region *r = memory_find(mem, gpa(addr));

	if (!r || (write && r->kind != MEMORY_RAM))
		return NULL;
	*room = r->size - (addr - r->base);
	return r->host + (addr - r->base);
}

static bool add_span(struct virtio_buffer *buffer, void *data, uint32_t size)
{
	unsigned int count = buffer->out_spans + buffer->in_spans;

	if (count == VIRTIO_SPANS_MAX)
		return false;
	buffer->span[count] = (struct span){ data, size };
	return true;
}

bool virtio_buffer_add(struct virtio_queue *q, struct virtio_buffer *buffer,
		       const struct virtq_desc *desc)
{
	bool in = desc->flags & VIRTQ_WRITE;
	uint32_t *total = in ? &buffer->in_size : &buffer->out_size;
	uint64_t addr = desc->addr;
	uint32_t left = desc->len;

	if (!in && buffer->in_spans) {
		virtio_broken(q->device, "readable behind writable memory");
		return false;
	}
	if (left > UINT32_MAX - *total) {
		virtio_broken(q->device, "a buffer of more than 4 GiB");
		return false;
	}
	*total += left;
	while (left) {
		uint64_t room = 0;
		void *data = map(&q->device->vm->memory, addr, in, &room);
		uint32_t part = left < room ? left : (uint32_t)room;

		if (!data || !add_span(buffer, data, part)) {
			virtio_broken(q->device, "a buffer outside of memory");
			return false;
		}
		if (in)
			buffer->in_spans++;
		else
			buffer->out_spans++;
		addr += part;
		left -= part;
	}
	return true;
}

const uint8_t *virtio_indirect(struct virtio_queue *q,
			       const struct virtq_desc *desc,
			       unsigned int *count)
{
	const uint8_t *table = NULL;
	uint64_t room = 0;

	*count = desc->len / 16;
	if (*count && desc->len % 16 == 0 && *count <= q->size)
		table = map(&q->device->vm->memory, desc->addr, false, &room);
	if (!table || desc->len > room) {
		virtio_broken(q->device, "a bad indirect table");
		return NULL;
	}
	return table;
}

static uint32_t copy(const struct span *span, unsigned int spans,
		     uint32_t offset, uint8_t *to, const uint8_t *from,
		     uint32_t size)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < spans && done < size; i++) {
		uint8_t *data = span[i].data;
		size_t part = span[i].size;

		if (offset >= part) {
			offset -= (uint32_t)part;
			continue;
		}
		data += offset;
		part -= offset;
		offset = 0;
		if (part > size - done)
			part = size - done;
		if (to)
			memcpy(to + done, data, part);
		else
			memcpy(data, from + done, part);
		done += (uint32_t)part;
	}
	return done;
}

/* Tells memory that bytes [offset, offset + size) of some spans are new. */
static void note(struct virtio_queue *q, const struct span *span,
		 unsigned int spans, size_t offset, size_t size)
{
	for (unsigned int i = 0; i < spans && size; i++) {
		size_t part = span[i].size;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		if (part > size)
			part = size;
		memory_note_host(&q->device->vm->memory,
				 (uint8_t *)span[i].data + offset, part);
		offset = 0;
		size -= part;
	}
}

uint32_t virtio_buffer_read(const struct virtio_buffer *buffer,
			    uint32_t offset, void *to, uint32_t size)
{
	return copy(buffer->span, buffer->out_spans, offset, to, NULL, size);
}

uint32_t virtio_buffer_write(struct virtio_queue *q,
			     struct virtio_buffer *buffer, uint32_t offset,
			     const void *from, uint32_t size)
{
	const struct span *span = buffer->span + buffer->out_spans;
	uint32_t done = copy(span, buffer->in_spans, offset, NULL, from, size);

	note(q, span, buffer->in_spans, offset, done);
	return done;
}

/* --- taking and giving --------------------------------------------------------- */

bool virtio_queue_usable(const struct virtio_queue *q)
{
	const struct virtio_device *dev = q->device;

	return q->live &&
	       !(atomic_load(&dev->status) & VIRTIO_STATUS_NEEDS_RESET) &&
	       dev->transport->may_dma(dev->transport_object);
}

bool virtio_queue_pop(struct virtio_queue *q, struct virtio_buffer *buffer)
{
	int got;

	if (!virtio_queue_usable(q))
		return false;
	got = q->ring->pop(q, buffer);
	if (!got) {
		/* Ask to be told of more, then look whether more came. */
		q->ring->set_notify(q, true);
		q->quiet = false;
		atomic_thread_fence(memory_order_seq_cst);
		got = q->ring->pop(q, buffer);
	}
	if (got <= 0)
		return false;
	if (!q->quiet) {
		q->ring->set_notify(q, false);
		q->quiet = true;
	}
	q->under_way++;
	return true;
}

void virtio_queue_unpop(struct virtio_queue *q, struct virtio_buffer *buffer)
{
	q->under_way--;
	if (q->live)
		q->ring->unpop(q, buffer->count);
}

void virtio_queue_unpop_all(struct virtio_queue *q,
			    const struct virtio_used *used, unsigned int count)
{
	q->under_way -= count;
	while (q->live && count--)
		q->ring->unpop(q, used[count].count);
}

void virtio_queue_push_all(struct virtio_queue *q,
			   const struct virtio_used *used, unsigned int count)
{
	q->under_way -= count;
	if (virtio_queue_usable(q)) {
		q->ring->push(q, used, count);
		q->to_signal = true;
	}
	if (q->under_way)
		return;
	host_event_set(&q->device->idle);
	if (q->stopping) {
		q->stopping = false;
		host_work_queue(q->device->vm->worker, &q->device->settle);
	}
}

void virtio_queue_push(struct virtio_queue *q, struct virtio_buffer *buffer,
		       uint32_t written)
{
	const struct virtio_used used = { buffer->id, buffer->count, written };

	note(q, buffer->span + buffer->out_spans, buffer->in_spans, 0, written);
	virtio_queue_push_all(q, &used, 1);
}

void virtio_queue_signal(struct virtio_queue *q)
{
	struct virtio_device *dev = q->device;

	if (!q->to_signal)
		return;
	q->to_signal = false;
	if (virtio_queue_usable(q) && q->ring->wants_signal(q))
		dev->transport->interrupt(dev->transport_object, q->vector,
					  VIRTIO_ISR_QUEUE);
}

bool virtio_queue_caught_up(const struct virtio_queue *q)
{
	return virtio_queue_usable(q) && q->ring->caught_up(q);
}

void virtio_queue_run(void *ctx)
{
	struct virtio_queue *q = ctx;

	host_lock(&q->lock);
	if (virtio_queue_usable(q)) {
		q->device->class->ready(q->device, q);
		virtio_queue_signal(q);
	}
	host_unlock(&q->lock);
}

void virtio_queue_kick(struct virtio_queue *q)
{
	host_work_queue(q->device->vm->worker, &q->work);
}

/* Who holds the lock is serving the queue, or about to change it. */
void virtio_queue_notified(struct virtio_queue *q)
{
	const struct virtio_class *class = q->device->class;
	bool served = false;

	if (class->quick && host_trylock(&q->lock)) {
		if (virtio_queue_usable(q)) {
			served = class->quick(q->device, q);
			virtio_queue_signal(q);
		}
		host_unlock(&q->lock);
	}
	if (!served)
		virtio_queue_kick(q);
}

/* --- starting and stopping; held: device lock, queue's lock ---------------------- */

/* An area of the ring, aligned as 2.7 and 2.8 want it, in one piece. */
static uint8_t *area(struct virtio_queue *q, uint64_t addr, uint32_t size,
		     uint32_t align)
{
	if (addr & (align - 1))
		return NULL;
	return memory_for_write(&q->device->vm->memory, gpa(addr), size);
}

bool virtio_queue_start(struct virtio_queue *q)
{
	static const uint32_t align[2][3] = { { 16, 2, 4 }, { 16, 4, 4 } };
	bool packed = virtio_has(q->device, VIRTIO_F_RING_PACKED);
	uint32_t size[3];

	q->ring = packed ? &virtio_packed_ops : &virtio_split_ops;
	if (!q->size || q->size > q->size_max ||
	    (!packed && (q->size & (q->size - 1))) || q->under_way)
		return false;
	q->ring->sizes(q->size, size);
	q->desc = area(q, q->desc_addr, size[0], align[packed][0]);
	q->driver = area(q, q->driver_addr, size[1], align[packed][1]);
	q->at_device = area(q, q->device_addr, size[2], align[packed][2]);
	if (!q->desc || !q->driver || !q->at_device)
		return false;
	q->signalled_valid = false;
	q->quiet = false;
	q->to_signal = false;
	q->patience = 0;
	q->stopping = false;
	q->live = true;
	return true;
}

void virtio_queue_stop(struct virtio_queue *q)
{
	q->live = false;
	q->stopping = q->under_way;
}
