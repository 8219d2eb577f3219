/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the socket device (virtio 1.2, 5.10.6): what the guest sends is
 * checked here, and what it is sent is made here. Every packet of a connection
 * tells both sides' buffers; data is sent as far as the guest's has room.
 */
#include "virtio/vsock_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define DATA_MAX 65536u

/* --- from the guest ---------------------------------------------------------- */

/* RST to where a packet came from, from where it went to. */
static void reply_reset(struct virtio_vsock *v,
			const struct vsock_header *header)
{
	unsigned int at = (v->reply_at + v->replies) % VSOCK_REPLIES;

	if (header->op == VSOCK_RST)
		return;
	v->reply[at] = (struct vsock_reply){
		.from_cid = header->dst_cid,
		.from_port = header->dst_port,
		.to_port = header->src_port,
		.type = header->type,
	};
	v->replies++;
	virtio_queue_kick(&v->virtio.queue[0]);
}

static void guest_connects(struct virtio_vsock *v,
			   const struct vsock_header *header)
{
	struct vsock_connection *c =
		vsock_new(v, header->dst_port, header->src_port);

	if (c)
		c->stream = v->host->ops->connect(v->host, header->dst_port,
						  c);
	if (!c || !c->stream) {
		if (c)
			vsock_free(v, c);
		reply_reset(v, header);
		return;
	}
	c->state = VSOCK_OPEN;
	c->guest_alloc = header->buf_alloc;
	c->guest_forwarded = header->fwd_cnt;
	c->readable = true;
	vsock_due(v, c, VSOCK_DUE_RESPONSE);
}

static void guest_accepts(struct virtio_vsock *v, struct vsock_connection *c)
{
	c->state = VSOCK_OPEN;
	c->readable = true;
	v->host->ops->established(c->stream, c->host_port);
	vsock_send_soon(v, c);
}

static void guest_sends(struct virtio_vsock *v, struct vsock_connection *c,
			const struct vsock_header *header,
			const struct virtio_buffer *buffer)
{
	unsigned int spans;

	if (header->len > buffer->out_size - VSOCK_HEADER ||
	    c->guest_ended & VSOCK_NO_SEND) {
		vsock_abort(v, c);
		return;
	}
	spans = span_cut(v->spans, buffer->span, buffer->out_spans,
			 VSOCK_HEADER, header->len);
	if (!vsock_take_data(v, c, v->spans, spans, header->len))
		vsock_abort(v, c);
}

/* Of a connection in VSOCK_OPEN or VSOCK_ENDED. */
static void operate(struct virtio_vsock *v, struct vsock_connection *c,
		    const struct vsock_header *header,
		    const struct virtio_buffer *buffer)
{
	switch (header->op) {
	case VSOCK_RW:
		guest_sends(v, c, header, buffer);
		break;
	case VSOCK_SHUTDOWN:
		vsock_guest_ends(v, c, header->flags);
		break;
	case VSOCK_CREDIT_REQUEST:
		vsock_due(v, c, VSOCK_DUE_CREDIT);
		break;
	case VSOCK_CREDIT_UPDATE:
		break;
	default:
		vsock_abort(v, c);
		break;
	}
}

static void take_packet(struct virtio_vsock *v, struct vsock_connection *c,
			const struct vsock_header *header,
			const struct virtio_buffer *buffer)
{
	if (c->state == VSOCK_RESET)
		return; /* the guest will hear of it */
	if (header->op == VSOCK_RST) {
		vsock_guest_resets(v, c);
		return;
	}
	c->guest_alloc = header->buf_alloc;
	c->guest_forwarded = header->fwd_cnt;
	c->asked = false;
	if (c->state != VSOCK_OFFERED)
		operate(v, c, header, buffer);
	else if (header->op == VSOCK_RESPONSE)
		guest_accepts(v, c);
	else
		vsock_abort(v, c);
	/* There may be room for what has waited. */
	if (c->state == VSOCK_OPEN && c->readable)
		vsock_send_soon(v, c);
}

void vsock_receive(struct virtio_vsock *v, const struct virtio_buffer *buffer)
{
	struct vsock_connection *c;
	struct vsock_header header;

	virtio_buffer_read(buffer, 0, &header, sizeof(header));
	/* What claims to come from elsewhere is nobody's. */
	if (header.src_cid != v->cid)
		return;
	if (header.dst_cid != VSOCK_CID_HOST || header.type != VSOCK_STREAM) {
		reply_reset(v, &header);
		return;
	}
	c = vsock_find(v, header.dst_port, header.src_port);
	if (c)
		take_packet(v, c, &header, buffer);
	else if (header.op == VSOCK_REQUEST)
		guest_connects(v, &header);
	else
		reply_reset(v, &header);
}

/* --- to the guest ------------------------------------------------------------ */

static uint32_t put_reply(struct virtio_vsock *v, struct virtio_queue *q,
			  struct virtio_buffer *buffer)
{
	const struct vsock_reply *reply = &v->reply[v->reply_at];
	const struct vsock_header header = {
		.src_cid = reply->from_cid,
		.dst_cid = v->cid,
		.src_port = reply->from_port,
		.dst_port = reply->to_port,
		.type = reply->type,
		.op = VSOCK_RST,
	};

	v->reply_at = (v->reply_at + 1) % VSOCK_REPLIES;
	v->replies--;
	return virtio_buffer_write(q, buffer, 0, &header, sizeof(header));
}

static uint32_t put_packet(struct virtio_vsock *v, struct virtio_queue *q,
			   struct virtio_buffer *buffer,
			   struct vsock_connection *c, enum vsock_op op,
			   uint32_t flags, uint32_t size)
{
	const struct vsock_header header = {
		.src_cid = VSOCK_CID_HOST,
		.dst_cid = v->cid,
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.len = size,
		.type = VSOCK_STREAM,
		.op = (uint16_t)op,
		.flags = flags,
		.buf_alloc = VSOCK_BUFFER,
		.fwd_cnt = c->forwarded,
	};

	c->told = c->forwarded;
	c->due &= ~VSOCK_DUE_CREDIT;
	virtio_buffer_write(q, buffer, 0, &header, sizeof(header));
	return VSOCK_HEADER + size;
}

/* Room that the guest has; none when it says what cannot be. */
static uint32_t guest_room(const struct vsock_connection *c)
{
	uint32_t used = c->sent - c->guest_forwarded;

	return used < c->guest_alloc ? c->guest_alloc - used : 0;
}

static bool has_data(const struct vsock_connection *c)
{
	return c->state == VSOCK_OPEN && c->readable;
}

/* From the stream right into the buffer; 0: there was nothing to send. */
static uint32_t put_data(struct virtio_vsock *v, struct virtio_queue *q,
			 struct virtio_buffer *buffer,
			 struct vsock_connection *c)
{
	uint32_t size = buffer->in_size - VSOCK_HEADER;
	uint32_t room = guest_room(c);
	unsigned int spans;
	int64_t n;

	if (!room) {
		if (!c->asked)
			c->due |= VSOCK_DUE_ASK;
		return 0;
	}
	/* A buffer for headers alone brings no data on its way. */
	if (!size)
		return put_packet(v, q, buffer, c, VSOCK_CREDIT_UPDATE, 0, 0);
	if (size > room)
		size = room;
	if (size > DATA_MAX)
		size = DATA_MAX;
	spans = span_cut(v->spans, buffer->span + buffer->out_spans,
			 buffer->in_spans, VSOCK_HEADER, size);
	n = v->host->ops->receive(c->stream, v->spans, spans);
	if (n > 0) {
		c->sent += (uint32_t)n;
		return put_packet(v, q, buffer, c, VSOCK_RW, 0, (uint32_t)n);
	}
	c->readable = false;
	if (!n)
		vsock_host_ends(v, c);
	else if (n != -VM_EAGAIN)
		vsock_host_gone(v, c);
	return 0;
}

static const struct {
	uint32_t due;
	enum vsock_op op;
} first[] = {
	{ VSOCK_DUE_REQUEST, VSOCK_REQUEST },
	{ VSOCK_DUE_RESPONSE, VSOCK_RESPONSE },
}, last[] = {
	{ VSOCK_DUE_ASK, VSOCK_CREDIT_REQUEST },
	{ VSOCK_DUE_CREDIT, VSOCK_CREDIT_UPDATE },
	{ VSOCK_DUE_SHUTDOWN, VSOCK_SHUTDOWN },
};

/* The connection's next packet; 0: it has none. */
static uint32_t put_next(struct virtio_vsock *v, struct virtio_queue *q,
			 struct virtio_buffer *buffer,
			 struct vsock_connection *c)
{
	uint32_t size = 0;

	if (c->state == VSOCK_RESET) {
		size = put_packet(v, q, buffer, c, VSOCK_RST, 0, 0);
		vsock_free(v, c);
		return size;
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (!(c->due & first[i].due))
			continue;
		c->due &= ~first[i].due;
		return put_packet(v, q, buffer, c, first[i].op, 0, 0);
	}
	if (has_data(c))
		size = put_data(v, q, buffer, c);
	for (unsigned int i = 0; i < 3 && !size; i++) {
		if (!(c->due & last[i].due))
			continue;
		c->due &= ~last[i].due;
		c->asked |= last[i].due == VSOCK_DUE_ASK;
		size = put_packet(v, q, buffer, c, last[i].op,
				  last[i].due == VSOCK_DUE_SHUTDOWN ?
					  c->host_ended : 0, 0);
	}
	return size;
}

bool vsock_has_packet(const struct virtio_vsock *v)
{
	return v->replies || v->first_due;
}

/* One packet each, in turn. */
uint32_t vsock_send(struct virtio_vsock *v, struct virtio_queue *q,
		    struct virtio_buffer *buffer)
{
	if (v->replies)
		return put_reply(v, q, buffer);
	while (v->first_due) {
		struct vsock_connection *c = v->first_due;
		uint32_t size;

		v->first_due = c->next_due;
		if (!v->first_due)
			v->last_due = NULL;
		c->listed = false;
		size = put_next(v, q, buffer, c);
		if (c->state == VSOCK_RESET || c->due ||
		    (has_data(c) && (guest_room(c) || !c->asked)))
			vsock_list(v, c);
		if (size)
			return size;
	}
	return 0;
}
