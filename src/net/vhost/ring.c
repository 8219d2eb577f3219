/* SPDX-License-Identifier: Apache-2.0 */
#include "net/vhost/ring.h"

#include <string.h>

#define DESC_NEXT  1u
#define DESC_WRITE 2u
#define QUIET	   1u /* in the flags of both tables: tell nothing */

struct desc {
	uint64_t address;
	uint32_t size;
	uint16_t flags, next;
};

struct avail {
	_Atomic uint16_t flags, index;
	uint16_t ring[VHOST_RING_SIZE];
};

struct used {
	_Atomic uint16_t flags, index;
	struct {
		_Atomic uint32_t id, size;
	} ring[VHOST_RING_SIZE];
};

_Static_assert(sizeof(struct desc) * VHOST_RING_SIZE <= VHOST_AVAIL &&
	       VHOST_AVAIL + sizeof(struct avail) <= VHOST_USED &&
	       VHOST_USED + sizeof(struct used) <= VHOST_RING_BYTES,
	       "the tables have room");

static struct desc *desc_at(struct vhost_ring *ring, unsigned int n)
{
	return (struct desc *)(void *)ring->tables + n;
}

static struct avail *avail_of(struct vhost_ring *ring)
{
	return (struct avail *)(void *)(ring->tables + VHOST_AVAIL);
}

static struct used *used_of(struct vhost_ring *ring)
{
	return (struct used *)(void *)(ring->tables + VHOST_USED);
}

static uint8_t *buffer_at(const struct vhost_ring *ring, unsigned int n)
{
	return ring->buffers + (size_t)n * ring->buffer;
}

void vhost_ring_init(struct vhost_ring *ring, uint8_t *tables,
		     uint8_t *buffers, uint64_t address, uint32_t buffer)
{
	*ring = (struct vhost_ring){
		.tables = tables,
		.buffers = buffers,
		.address = address,
		.buffer = buffer,
	};
	while (ring->idles < VHOST_RING_SIZE) {
		ring->idle[ring->idles] = (uint16_t)(VHOST_RING_SIZE - 1 -
						     ring->idles);
		ring->idles++;
	}
	vhost_ring_ignore(ring);
}

/* The chain from `head` on is the other side's. */
static void make_available(struct vhost_ring *ring, uint16_t head)
{
	struct avail *avail = avail_of(ring);

	avail->ring[ring->made++ % VHOST_RING_SIZE] = head;
	ring->head[head] = true;
	ring->under_way++;
	atomic_store_explicit(&avail->index, ring->made, memory_order_release);
}

/*
 * The used entry `ahead` of the next one: its head, and how many bytes it says
 * were written. False: there is none, or it cannot be.
 */
static bool read_used(struct vhost_ring *ring, unsigned int ahead,
		      uint16_t *head, uint32_t *size)
{
	struct used *used = used_of(ring);
	const uint16_t index = atomic_load_explicit(&used->index,
						    memory_order_acquire);
	const uint16_t ready = (uint16_t)(index - ring->seen);
	const unsigned int at = (ring->seen + ahead) % VHOST_RING_SIZE;
	uint32_t id;

	if (ring->broken || ahead >= ready)
		return false;
	id = atomic_load_explicit(&used->ring[at].id, memory_order_relaxed);
	*size = atomic_load_explicit(&used->ring[at].size,
				     memory_order_relaxed);
	if (ready > ring->under_way || id >= VHOST_RING_SIZE ||
	    !ring->head[id]) {
		ring->broken = true;
		return false;
	}
	*head = (uint16_t)id;
	return true;
}

static void forget(struct vhost_ring *ring, uint16_t head)
{
	ring->head[head] = false;
	ring->under_way--;
	ring->seen++;
}

/* --- sending ------------------------------------------------------------------------ */

/* Bytes [from, from + size) of header and frame. */
static void copy(const struct nic_frame *frame, const uint8_t *header,
		 uint32_t from, uint8_t *to, uint32_t size)
{
	if (from < VHOST_HEADER) {
		uint32_t part = VHOST_HEADER - from;

		part = part < size ? part : size;
		memcpy(to, header + from, part);
		from += part;
		to += part;
		size -= part;
	}
	if (size)
		nic_frame_read(frame, from - VHOST_HEADER, to, size);
}

bool vhost_ring_send(struct vhost_ring *ring, const struct nic_frame *frame)
{
	const uint32_t whole = VHOST_HEADER + frame->size;
	const unsigned int count = (whole + ring->buffer - 1) / ring->buffer;
	const struct nic_header open = nic_header_of(frame);
	uint8_t header[VHOST_HEADER] = { 0 };
	uint16_t head, at;

	if (ring->broken || count > ring->idles)
		return false;
	memcpy(header, &open, sizeof(open));
	head = at = ring->idle[--ring->idles];
	for (uint32_t done = 0; done < whole;) {
		uint32_t part = whole - done;
		uint16_t next = 0, flags = 0;

		if (part > ring->buffer) {
			part = ring->buffer;
			next = ring->idle[--ring->idles];
			flags = DESC_NEXT;
		}
		copy(frame, header, done, buffer_at(ring, at), part);
		*desc_at(ring, at) = (struct desc){
			ring->address + (uint64_t)at * ring->buffer, part,
			flags, next
		};
		ring->next[at] = next;
		at = next;
		done += part;
	}
	ring->length[head] = (uint16_t)count;
	make_available(ring, head);
	return true;
}

void vhost_ring_reclaim(struct vhost_ring *ring)
{
	uint16_t head;
	uint32_t size;

	while (read_used(ring, 0, &head, &size)) {
		uint16_t at = head;

		forget(ring, head);
		for (unsigned int i = 0; i < ring->length[head]; i++) {
			ring->idle[ring->idles++] = at;
			at = ring->next[at];
		}
	}
}

/* --- receiving ------------------------------------------------------------------------ */

static void offer(struct vhost_ring *ring, uint16_t n)
{
	*desc_at(ring, n) = (struct desc){
		ring->address + (uint64_t)n * ring->buffer, ring->buffer,
		DESC_WRITE, 0
	};
	make_available(ring, n);
}

void vhost_ring_offer(struct vhost_ring *ring)
{
	while (ring->idles)
		offer(ring, ring->idle[--ring->idles]);
}

/* Adds what a used entry says was written. False: it cannot be. */
static bool add_piece(struct vhost_ring *ring, struct vhost_frame *frame)
{
	const unsigned int n = frame->count;
	uint16_t head;
	uint32_t size;

	if (!read_used(ring, n, &head, &size))
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (frame->id[i] == head)
			ring->broken = true;
	if (size > ring->buffer || (!n && size < VHOST_HEADER))
		ring->broken = true;
	if (ring->broken)
		return false;
	frame->id[n] = head;
	frame->span[n] = (struct span){ buffer_at(ring, head), size };
	frame->nic.size += size;
	frame->count++;
	return true;
}

/* Empty pieces say nothing, and are none of a frame's. */
static void drop_empty(struct vhost_frame *frame)
{
	frame->nic.spans = 0;
	for (unsigned int i = 0; i < frame->count; i++)
		if (frame->span[i].size)
			frame->span[frame->nic.spans++] = frame->span[i];
}

bool vhost_ring_peek(struct vhost_ring *ring, struct vhost_frame *frame)
{
	uint8_t header[VHOST_HEADER];
	struct nic_header open;
	unsigned int count = 1;

	frame->nic = (struct nic_frame){ .span = frame->span };
	frame->count = 0;
	if (!add_piece(ring, frame))
		return false;
	memcpy(header, frame->span[0].data, sizeof(header));
	memcpy(&open, header, sizeof(open));
	if (ring->merges)
		count = header[10] | (unsigned int)header[11] << 8;
	if (!count || count > VHOST_PIECES)
		ring->broken = true;
	while (frame->count < count && add_piece(ring, frame))
		;
	/* All of a frame's buffers are used at once (5.1.6.4). */
	if (frame->count < count)
		ring->broken = true;
	if (ring->broken)
		return false;
	frame->span[0].data = (uint8_t *)frame->span[0].data + VHOST_HEADER;
	frame->span[0].size -= VHOST_HEADER;
	frame->nic.size -= VHOST_HEADER;
	drop_empty(frame);
	frame->malformed = frame->nic.size < NIC_FRAME_MIN ||
			   frame->nic.size > NIC_FRAME_MAX ||
			   !nic_header_parse(&open, &frame->nic);
	return true;
}

void vhost_ring_done(struct vhost_ring *ring, const struct vhost_frame *frame)
{
	for (unsigned int i = 0; i < frame->count; i++) {
		forget(ring, frame->id[i]);
		offer(ring, frame->id[i]);
	}
}

/* --- telling -------------------------------------------------------------------------- */

bool vhost_ring_notifies(struct vhost_ring *ring)
{
	atomic_thread_fence(memory_order_seq_cst);
	return !(atomic_load_explicit(&used_of(ring)->flags,
				      memory_order_relaxed) & QUIET);
}

bool vhost_ring_listen(struct vhost_ring *ring)
{
	atomic_store_explicit(&avail_of(ring)->flags, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return ring->broken ||
	       atomic_load_explicit(&used_of(ring)->index,
				    memory_order_relaxed) == ring->seen;
}

void vhost_ring_ignore(struct vhost_ring *ring)
{
	atomic_store_explicit(&avail_of(ring)->flags, QUIET,
			      memory_order_relaxed);
}
