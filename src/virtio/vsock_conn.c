/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the socket device: their table, the bytes on their way to
 * the host, and how they end.
 *
 * A connection ends for the guest when one side has said RST. What the guest
 * sent before it ended its side in order is still given to a host that reads
 * slowly: such a connection lingers, under no address.
 */
#include "virtio/vsock_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define FIRST_PORT 0x40000000u /* a bit of offers' ports: none listens there */
#define CREDIT_STEP (VSOCK_BUFFER / 4)

/* --- the table --------------------------------------------------------------- */

static struct vsock_connection **chain_of(struct virtio_vsock *v,
					  uint32_t host_port,
					  uint32_t guest_port)
{
	return &v->chain[(host_port * 31 + guest_port) % VSOCK_CHAINS];
}

struct vsock_connection *vsock_find(struct virtio_vsock *v, uint32_t host_port,
				    uint32_t guest_port)
{
	struct vsock_connection *c = *chain_of(v, host_port, guest_port);

	while (c && (c->host_port != host_port || c->guest_port != guest_port))
		c = c->next;
	return c;
}

struct vsock_connection *vsock_new(struct virtio_vsock *v, uint32_t host_port,
				   uint32_t guest_port)
{
	struct vsock_connection **chain = chain_of(v, host_port, guest_port);
	struct vsock_connection *c = v->free;

	if (!c)
		return NULL;
	v->free = c->next;
	*c = (struct vsock_connection){
		.host_port = host_port,
		.guest_port = guest_port,
		.next = *chain,
	};
	*chain = c;
	return c;
}

/* Its address is free again. */
static void unchain(struct virtio_vsock *v, struct vsock_connection *c)
{
	struct vsock_connection **at =
		chain_of(v, c->host_port, c->guest_port);

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
}

static void unlist(struct virtio_vsock *v, struct vsock_connection *c)
{
	struct vsock_connection **at = &v->first_due, *last = NULL;

	if (!c->listed)
		return;
	while (*at != c) {
		last = *at;
		at = &(*at)->next_due;
	}
	*at = c->next_due;
	if (v->last_due == c)
		v->last_due = last;
	c->listed = false;
}

static void close_stream(struct virtio_vsock *v, struct vsock_connection *c)
{
	if (c->stream)
		v->host->ops->close(c->stream);
	c->stream = NULL;
	c->readable = false;
	/* What the host did not take is gone, and its room free. */
	c->forwarded = c->received;
	host_free(c->ring);
	c->ring = NULL;
}

void vsock_free(struct virtio_vsock *v, struct vsock_connection *c)
{
	close_stream(v, c);
	unlist(v, c);
	if (c->state != VSOCK_LINGERS)
		unchain(v, c);
	c->state = VSOCK_FREE;
	c->next = v->free;
	v->free = c;
}

void vsock_connections_reset(struct virtio_vsock *v)
{
	timer_cancel(&v->virtio.vm->clock, &v->timer);
	v->first_due = v->last_due = NULL;
	v->free = NULL;
	v->replies = 0;
	v->tx_waits = false;
	memset(v->chain, 0, sizeof(v->chain));
	for (unsigned int i = VSOCK_CONNECTIONS_MAX; i--;) {
		struct vsock_connection *c = &v->connection[i];

		close_stream(v, c);
		*c = (struct vsock_connection){ .next = v->free };
		v->free = c;
	}
}

void vsock_list(struct virtio_vsock *v, struct vsock_connection *c)
{
	if (c->listed)
		return;
	c->listed = true;
	c->next_due = NULL;
	if (v->last_due)
		v->last_due->next_due = c;
	else
		v->first_due = c;
	v->last_due = c;
}

void vsock_send_soon(struct virtio_vsock *v, struct vsock_connection *c)
{
	vsock_list(v, c);
	virtio_queue_kick(&v->virtio.queue[0]);
}

void vsock_due(struct virtio_vsock *v, struct vsock_connection *c,
	       uint32_t due)
{
	c->due |= due;
	vsock_send_soon(v, c);
}

/* --- how they end ------------------------------------------------------------ */

void vsock_abort(struct virtio_vsock *v, struct vsock_connection *c)
{
	close_stream(v, c);
	c->state = VSOCK_RESET;
	c->due = 0;
	vsock_send_soon(v, c);
}

/* All that the guest sent is with the host. */
static bool drained(const struct vsock_connection *c)
{
	return c->forwarded == c->received;
}

/* The guest has ended its side, or part of it, and the host has read it. */
static void ends_drained(struct virtio_vsock *v, struct vsock_connection *c)
{
	if (c->state == VSOCK_LINGERS)
		vsock_free(v, c);
	else if (c->guest_ended == VSOCK_NO_MORE)
		vsock_abort(v, c);
	else
		v->host->ops->end_send(c->stream);
}

void vsock_guest_ends(struct virtio_vsock *v, struct vsock_connection *c,
		      uint32_t flags)
{
	uint32_t news = flags & VSOCK_NO_MORE & ~c->guest_ended;

	c->guest_ended |= news;
	if (c->state == VSOCK_ENDED && c->guest_ended == VSOCK_NO_MORE)
		vsock_abort(v, c);
	if (!c->stream || !news)
		return;
	if (news & VSOCK_NO_RECEIVE) {
		c->readable = false;
		v->host->ops->end_receive(c->stream);
	}
	if ((c->guest_ended & VSOCK_NO_SEND) && drained(c))
		ends_drained(v, c);
	else if (c->hung && !c->readable)
		vsock_host_gone(v, c);
}

void vsock_guest_resets(struct virtio_vsock *v, struct vsock_connection *c)
{
	bool rest = c->stream && !drained(c) &&
		    (c->guest_ended & VSOCK_NO_SEND);

	if (!rest) {
		vsock_free(v, c);
		return;
	}
	unchain(v, c);
	unlist(v, c);
	c->readable = false;
	c->state = VSOCK_LINGERS;
}

void vsock_host_ends(struct virtio_vsock *v, struct vsock_connection *c)
{
	if (c->hung) {
		vsock_host_gone(v, c);
		return;
	}
	c->host_ended |= VSOCK_NO_SEND;
	vsock_due(v, c, VSOCK_DUE_SHUTDOWN);
}

static void arm_timer(struct virtio_vsock *v, uint64_t deadline)
{
	if (deadline < v->timer.deadline)
		timer_arm(&v->virtio.vm->clock, &v->timer, deadline);
}

void vsock_host_gone(struct virtio_vsock *v, struct vsock_connection *c)
{
	if (c->state == VSOCK_LINGERS) {
		vsock_free(v, c);
		return;
	}
	if (c->state == VSOCK_OFFERED || c->guest_ended == VSOCK_NO_MORE) {
		vsock_abort(v, c);
		return;
	}
	close_stream(v, c);
	c->state = VSOCK_ENDED;
	c->host_ended = VSOCK_NO_MORE;
	c->deadline = clock_now(&v->virtio.vm->clock) + VSOCK_PATIENCE;
	arm_timer(v, c->deadline);
	vsock_due(v, c, VSOCK_DUE_SHUTDOWN);
}

/* The device lock is held. */
void vsock_timer_fired(void *ctx)
{
	struct virtio_vsock *v = ctx;
	uint64_t now, next = TIMER_NEVER;

	host_lock(&v->lock);
	now = clock_now(&v->virtio.vm->clock);
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *c = &v->connection[i];

		if (c->state != VSOCK_ENDED)
			continue;
		if (c->deadline <= now)
			vsock_abort(v, c);
		else if (c->deadline < next)
			next = c->deadline;
	}
	if (next != TIMER_NEVER)
		timer_arm(&v->virtio.vm->clock, &v->timer, next);
	host_unlock(&v->lock);
}

/* --- bytes to the host ------------------------------------------------------- */

/* Told when there is much of it: a guest that waits has been told of none. */
static void tell_credit(struct virtio_vsock *v, struct vsock_connection *c)
{
	if (c->state == VSOCK_OPEN && c->forwarded - c->told >= CREDIT_STEP)
		vsock_due(v, c, VSOCK_DUE_CREDIT);
}

/* What waits in the ring, as two spans at most. */
static unsigned int ring_spans(const struct vsock_connection *c,
			       struct span span[2])
{
	uint32_t used = c->received - c->forwarded;
	uint32_t at = c->forwarded % VSOCK_BUFFER;
	uint32_t first = VSOCK_BUFFER - at;

	if (first > used)
		first = used;
	span[0] = (struct span){ c->ring + at, first };
	span[1] = (struct span){ c->ring, used - first };
	return first < used ? 2 : 1;
}

/* Gives the host what waits, as far as it takes it. */
static void drain(struct virtio_vsock *v, struct vsock_connection *c)
{
	struct span span[2];

	while (!drained(c)) {
		unsigned int spans = ring_spans(c, span);
		int64_t n = v->host->ops->send(c->stream, span, spans);

		if (n == -VM_EAGAIN)
			break;
		if (n <= 0) {
			vsock_host_gone(v, c);
			return;
		}
		c->forwarded += (uint32_t)n;
	}
	tell_credit(v, c);
	if (drained(c) && (c->guest_ended & VSOCK_NO_SEND))
		ends_drained(v, c);
}

/* Bytes [skip, skip + size) of the spans into the ring, which has room. */
static void keep(struct vsock_connection *c, const struct span *span,
		 size_t skip, uint32_t size)
{
	while (size) {
		uint32_t at = c->received % VSOCK_BUFFER;
		size_t part = span->size - (skip < span->size ? skip
							      : span->size);

		if (!part) {
			skip -= span->size;
			span++;
			continue;
		}
		if (part > size)
			part = size;
		if (part > VSOCK_BUFFER - at)
			part = VSOCK_BUFFER - at;
		memcpy(c->ring + at, (const char *)span->data + skip, part);
		skip += part;
		c->received += (uint32_t)part;
		size -= (uint32_t)part;
	}
}

bool vsock_take_data(struct virtio_vsock *v, struct vsock_connection *c,
		     const struct span *span, unsigned int spans,
		     uint32_t size)
{
	int64_t n = 0;

	if (size > VSOCK_BUFFER - (c->received - c->forwarded))
		return false;
	/* Nobody reads it any more. */
	if (!c->stream) {
		c->received += size;
		c->forwarded = c->received;
		return true;
	}
	if (drained(c) && size)
		n = v->host->ops->send(c->stream, span, spans);
	if (n == -VM_EAGAIN)
		n = 0;
	if (n < 0) {
		vsock_host_gone(v, c);
		return true;
	}
	c->received += (uint32_t)n;
	c->forwarded += (uint32_t)n;
	if ((uint32_t)n < size && !c->ring) {
		c->ring = host_alloc(VSOCK_BUFFER);
		if (!c->ring)
			return false;
	}
	keep(c, span, (size_t)n, size - (uint32_t)n);
	/* It took some: only when it takes none will it tell. */
	if (n && !drained(c))
		drain(v, c);
	else
		tell_credit(v, c);
	return true;
}

/* --- the host's events ------------------------------------------------------- */

static bool driver_is_up(struct virtio_vsock *v)
{
	return atomic_load(&v->virtio.status) & VIRTIO_STATUS_DRIVER_OK;
}

/* A port of the host's that no connection to `guest_port` uses. */
static uint32_t fresh_port(struct virtio_vsock *v, uint32_t guest_port)
{
	uint32_t port;

	do
		port = v->next_port++ | FIRST_PORT;
	while (port == UINT32_MAX || vsock_find(v, port, guest_port));
	return port;
}

static void take_offer(struct virtio_vsock *v, const struct vsock_event *event)
{
	struct vsock_connection *c = NULL;

	if (driver_is_up(v))
		c = vsock_new(v, fresh_port(v, event->port), event->port);
	if (!c) {
		v->host->ops->close(event->stream);
		return;
	}
	c->state = VSOCK_OFFERED;
	c->stream = event->stream;
	v->host->ops->take(event->stream, c);
	vsock_due(v, c, VSOCK_DUE_REQUEST);
}

static void take_event(struct virtio_vsock *v, struct vsock_connection *c,
		       bool hung)
{
	c->hung |= hung;
	if (c->state == VSOCK_OFFERED || c->state == VSOCK_LINGERS) {
		if (hung)
			vsock_host_gone(v, c);
		else if (c->state == VSOCK_LINGERS)
			drain(v, c);
		return;
	}
	drain(v, c);
	if (!c->stream)
		return;
	if ((c->guest_ended & VSOCK_NO_RECEIVE) ||
	    (c->host_ended & VSOCK_NO_SEND)) {
		if (hung)
			vsock_host_gone(v, c);
		return;
	}
	c->readable = true;
	vsock_send_soon(v, c);
}

void vsock_take_events(struct virtio_vsock *v)
{
	struct vsock_event event;

	while (v->host->ops->event(v->host, &event)) {
		if (event.connection)
			take_event(v, event.connection, event.hung);
		else
			take_offer(v, &event);
	}
}
