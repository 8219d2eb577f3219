/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the network card (virtio 1.2, 5.1.6): from the transmit queues to
 * the net, from the net into buffers of a receive queue, several where the
 * driver takes that. A flow is received where its last frame was sent
 * (5.1.6.5.5): one table of hashes for both directions.
 */
#include "virtio/net_impl.h"

#include "vm/bytes.h"
#include "vm/nic_header.h"

/* Protocols of IP. */
#define TCP 6
#define UDP 17

/* Before each frame (5.1.6). */
struct header {
	struct nic_header open;
	uint16_t num_buffers;
};

static unsigned int lane_of(const struct virtio_queue *q)
{
	return q->index / 2;
}

/* --- flows --------------------------------------------------------------------- */

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t fold(const uint8_t *at, unsigned int count)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < count; i += 2)
		sum += be16(at + i);
	return sum;
}

/*
 * The same for both directions of a TCP or UDP flow: sums, of addresses and
 * ports. Without ports for fragments and IPv6 with extension headers.
 */
static unsigned int flow_of(const struct nic_frame *frame)
{
	uint8_t head[64] = { 0 };
	uint32_t size = frame->size < sizeof(head) ? frame->size
						   : sizeof(head);
	unsigned int ports = 0;
	const uint8_t *ip;
	uint32_t sum = 0;
	uint8_t protocol;

	nic_frame_read(frame, 0, head, size);
	protocol = nic_frame_protocol(head, size);
	ip = head + (be16(head + 12) == 0x8100 ? 18 : 14);
	if (be16(ip - 2) == 0x0800) {
		sum = fold(ip + 12, 8);
		ports = (ip[0] & 15) * 4u;
		protocol = be16(ip + 6) & 0x3fff ? 0 : protocol;
	} else if (be16(ip - 2) == 0x86dd) {
		sum = fold(ip + 8, 32);
		ports = 40;
	}
	ports += (unsigned int)(ip - head);
	if ((protocol == TCP || protocol == UDP) && ports + 4 <= size)
		sum += fold(head + ports, 4);
	return (sum ^ sum >> 8 ^ sum >> 16) % NET_STEER;
}

/* --- sending ------------------------------------------------------------------- */

/* The driver's words are checked here, once. */
static bool parse(struct net_lane *lane, struct nic_frame *frame)
{
	const struct virtio_buffer *b = &lane->out;
	struct header h;

	virtio_buffer_read(b, 0, &h, sizeof(h));
	*frame = (struct nic_frame){ .size = b->out_size - sizeof(h) };
	if (frame->size < NIC_FRAME_MIN || frame->size > NIC_FRAME_MAX)
		return false;
	frame->span = lane->data;
	frame->spans = span_cut(lane->data, b->span, b->out_spans, sizeof(h),
				frame->size);
	h.open.flags &= NIC_HEADER_NEEDS_SUM; /* 5.1.6.2: no other */
	return nic_header_parse(&h.open, frame);
}

static uint8_t protocol_of(const struct nic_frame *frame)
{
	uint8_t head[NIC_HEAD] = { 0 };

	nic_frame_read(frame, 0, head,
		       frame->size < NIC_HEAD ? frame->size : NIC_HEAD);
	return nic_frame_protocol(head, frame->size);
}

static void note_flow(struct virtio_net *v, unsigned int pair,
		      const struct nic_frame *frame)
{
	if (atomic_load_explicit(&v->pairs, memory_order_relaxed) > 1)
		atomic_store_explicit(&v->steer[flow_of(frame)], (uint8_t)pair,
				      memory_order_relaxed);
}

/* The popped buffer: sent, or no frame at all. False: it is to wait. */
static bool send_out(struct virtio_net *v, struct virtio_queue *q)
{
	struct net_lane *lane = &v->lane[lane_of(q)];
	struct net *net = v->nic.net;
	struct nic_frame frame;

	if (lane->out.out_size < sizeof(struct header)) {
		virtio_broken(&v->virtio, "a frame without a header");
		return true;
	}
	if (!parse(lane, &frame)) {
		nic_count_one(&v->nic.sent.refused);
		return true;
	}
	if (!virtio_net_status(v, NET_S_LINK_UP)) {
		nic_count_one(&v->nic.sent.dropped);
		return true;
	}
	if (!net->ops->send(net, lane_of(q), &frame))
		return false;
	nic_count(&v->nic.sent, frame.size);
	note_flow(v, lane_of(q), &frame);
	virtio_net_burst_note(v, q, protocol_of(&frame) == UDP);
	return true;
}

static void flush_net(struct virtio_net *v, struct virtio_queue *q)
{
	struct net *net = v->nic.net;

	if (net->ops->flush)
		net->ops->flush(net, lane_of(q));
}

/* The next frame; false: there is none, or it has to wait. */
static bool send_next(struct virtio_net *v, struct virtio_queue *q)
{
	struct virtio_buffer *out = &v->lane[lane_of(q)].out;

	if (atomic_load(&v->quiet) || !virtio_queue_pop(q, out))
		return false;
	if (!send_out(v, q)) {
		virtio_queue_unpop(q, out);
		return false;
	}
	virtio_queue_push(q, out, 0);
	return true;
}

void virtio_net_send(struct virtio_net *v, struct virtio_queue *q)
{
	bool any = false;

	while (send_next(v, q))
		any = true;
	if (any)
		flush_net(v, q);
}

bool virtio_net_send_one(struct virtio_net *v, struct virtio_queue *q)
{
	struct virtio_buffer *out = &v->lane[lane_of(q)].out;

	if (virtio_net_burst_held(v, q)) {
		virtio_net_send(v, q);
		return true;
	}
	if (!send_next(v, q))
		return true;
	flush_net(v, q);
	/* Whether that was all: a pop that fails asks to be told of more. */
	if (!virtio_queue_pop(q, out))
		return true;
	virtio_queue_unpop(q, out);
	return false;
}

/* --- receiving ----------------------------------------------------------------- */

static struct header header_of(const struct virtio_net *v,
			       const struct nic_frame *frame)
{
	struct header h = { .open = nic_header_of(frame) };

	if (!(atomic_load(&v->nic.can) & NIC_CAN_SUM))
		h.open.flags &= NIC_HEADER_NEEDS_SUM;
	return h;
}

/* Where in a frame the next byte is. */
struct cursor {
	const struct span *span;
	size_t offset;
	uint32_t left; /* bytes of the frame */
};

/* As many bytes as the buffer has room for behind `at`. */
static uint32_t fill(struct virtio_queue *q, struct virtio_buffer *buffer,
		     uint32_t at, struct cursor *from)
{
	uint32_t done = 0;

	while (from->left && at + done < buffer->in_size) {
		size_t part = from->span->size - from->offset;
		uint32_t written;

		if (part > from->left)
			part = from->left;
		written = virtio_buffer_write(
			q, buffer, at + done,
			(const char *)from->span->data + from->offset,
			(uint32_t)part);
		done += written;
		from->left -= written;
		from->offset += written;
		if (from->offset == from->span->size) {
			from->span++;
			from->offset = 0;
		}
	}
	return done;
}

/*
 * Into as many buffers as it takes; their number. 0: there are too few; and
 * what is left tells whether the frame would have fitted.
 */
static unsigned int fill_all(struct virtio_net *v, struct virtio_queue *q,
			     struct cursor *from)
{
	const bool merge = virtio_has(&v->virtio, NET_F_MRG_RXBUF);
	struct net_lane *lane = &v->lane[lane_of(q)];
	unsigned int count = 0;

	do {
		struct virtio_buffer *b = count ? &lane->next : &lane->first;
		uint32_t skip = count ? 0 : sizeof(struct header);

		if (!virtio_queue_pop(q, b))
			break;
		if (b->in_size < skip)
			virtio_broken(&v->virtio, "no room for a header");
		lane->used[count++] = (struct virtio_used){
			b->id, b->count, skip + fill(q, b, skip, from)
		};
	} while (from->left && merge);
	if (!from->left && virtio_queue_usable(q))
		return count;
	virtio_queue_unpop_all(q, lane->used, count);
	if (count && !merge)
		from->left = UINT32_MAX;
	return 0;
}

/* Held: the queue's lock. False: later. */
static bool put(struct virtio_net *v, struct virtio_queue *q,
		const struct nic_frame *frame, bool paced)
{
	struct net_lane *lane = &v->lane[lane_of(q)];
	struct cursor from = { frame->span, 0, frame->size };
	struct header h = header_of(v, frame);

	if (atomic_load(&v->quiet)) {
		lane->starved = true;
		return false;
	}
	if (paced && virtio_net_paced(v, q))
		return false;
	if (virtio_queue_usable(q))
		h.num_buffers = (uint16_t)fill_all(v, q, &from);
	if (h.num_buffers) {
		virtio_buffer_write(q, &lane->first, 0, &h, sizeof(h));
		virtio_queue_push_all(q, lane->used, h.num_buffers);
		atomic_store(&lane->to_tell, true);
		nic_count(&v->nic.received, frame->size);
		lane->pace.given += paced;
		return true;
	}
	if (!virtio_queue_usable(q) || from.left == UINT32_MAX) {
		nic_count_one(&v->nic.received.dropped);
		return true;
	}
	lane->starved = true;
	return false;
}

/* The pair that the frame's flow belongs to. */
static unsigned int pair_of(struct virtio_net *v,
			    const struct nic_frame *frame)
{
	unsigned int pairs = atomic_load(&v->pairs), pair = 0;

	if (pairs > 1)
		pair = atomic_load_explicit(&v->steer[flow_of(frame)],
					    memory_order_relaxed);
	return pair < pairs ? pair : 0;
}

bool virtio_net_receive(struct nic *nic, const struct nic_frame *frame)
{
	struct virtio_net *v = virtio_net_of_nic(nic);
	struct virtio_queue *q;
	uint8_t head[NIC_HEAD] = { 0 };
	bool taken;

	if (!(atomic_load(&v->virtio.status) & VIRTIO_STATUS_DRIVER_OK) ||
	    !virtio_net_status(v, NET_S_LINK_UP)) {
		nic_count_one(&nic->received.dropped);
		return true;
	}
	nic_frame_read(frame, 0, head,
		       frame->size < NIC_HEAD ? frame->size : NIC_HEAD);
	if ((nic_frame_needs(frame) & ~atomic_load(&nic->can)) ||
	    !virtio_net_wants(v, head)) {
		nic_count_one(&nic->received.refused);
		return true;
	}
	q = &v->virtio.queue[2 * pair_of(v, frame)];
	host_lock(&q->lock);
	/* A receiver of TCP sets its sender's pace itself. */
	taken = put(v, q, frame, nic_frame_protocol(head, frame->size) != TCP);
	host_unlock(&q->lock);
	return taken;
}

void virtio_net_flush(struct nic *nic)
{
	struct virtio_net *v = virtio_net_of_nic(nic);

	for (unsigned int i = 0; i < v->pairs_max; i++) {
		struct virtio_queue *q = &v->virtio.queue[2 * i];

		if (!atomic_exchange(&v->lane[i].to_tell, false))
			continue;
		host_lock(&q->lock);
		virtio_queue_signal(q);
		host_unlock(&q->lock);
	}
}

void virtio_net_refilled(struct virtio_net *v, struct virtio_queue *q)
{
	struct net_lane *lane = &v->lane[lane_of(q)];
	struct net *net = v->nic.net;

	if (!lane->starved || atomic_load(&v->quiet))
		return;
	lane->starved = false;
	if (net->ops->room)
		net->ops->room(net);
}
