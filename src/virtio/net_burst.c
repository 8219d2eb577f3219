/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that sends one datagram after the other notifies of each, and is
 * interrupted for each that has gone, which costs it more than the datagram.
 * So while they come like that, its driver is to notify of many: what it has
 * put there before is sent when a processor halts, for then nothing follows,
 * and after a while in any case.
 *
 * Nothing but UDP is held up: TCP paces itself by what comes back. Only with an
 * engine that tells when processors halt, and a driver that can be told when to
 * notify (virtio 1.2, 2.7.10).
 */
#include "virtio/net_impl.h"

#define ALONE	8	/* notifications of one each, before it begins */
#define MANY	16	/* datagrams to be notified of */
#define FEW	8	/* between two looks: that is over */
#define LOOK_NS 500000u /* what waits longer than that is sent */

static void look_again(struct virtio_net *v)
{
	timer_arm(&v->virtio.vm->clock, &v->burst_look,
		  clock_now(&v->virtio.vm->clock) + LOOK_NS);
}

static void begin(struct virtio_net *v, struct virtio_queue *q,
		  struct net_burst *burst)
{
	burst->held = true;
	burst->sent = 0;
	q->patience = MANY - 1;
	atomic_store(&v->virtio.vm->rest_awaited, true);
	look_again(v);
}

/* The driver is asked to tell of the next one when the queue is empty. */
static void end(struct virtio_queue *q, struct net_burst *burst)
{
	burst->held = false;
	burst->alone = 0;
	q->patience = 0;
}

void virtio_net_burst_note(struct virtio_net *v, struct virtio_queue *q,
			   bool datagram)
{
	struct net_burst *burst = &v->lane[q->index / 2].burst;
	const uint32_t rests = atomic_load(&v->virtio.vm->rests);

	if (burst->held) {
		burst->sent++;
		if (!datagram)
			end(q, burst);
		return;
	}
	if (!datagram || !rests || rests != burst->rests) {
		burst->alone = 0;
		burst->rests = rests;
		return;
	}
	if (++burst->alone >= ALONE && q->size >= 2 * MANY &&
	    virtio_has(&v->virtio, VIRTIO_F_EVENT_IDX))
		begin(v, q, burst);
}

bool virtio_net_burst_held(const struct virtio_net *v,
			   const struct virtio_queue *q)
{
	return v->lane[q->index / 2].burst.held;
}

void virtio_net_burst_reset(struct virtio_net *v, struct virtio_queue *q)
{
	struct net_burst *burst = &v->lane[q->index / 2].burst;

	end(q, burst);
}

/* Held: the device lock. Sends what waits; whether some still may. */
static bool serve(struct virtio_net *v, struct virtio_queue *q)
{
	struct net_burst *burst = &v->lane[q->index / 2].burst;
	bool held = false;

	host_lock(&q->lock);
	if (burst->held && virtio_queue_usable(q)) {
		virtio_net_send(v, q);
		if (burst->sent < FEW) {
			end(q, burst);
			virtio_net_send(v, q);
		}
		burst->sent = 0;
		virtio_queue_signal(q);
		held = burst->held;
	}
	host_unlock(&q->lock);
	return held;
}

static bool serve_all(struct virtio_net *v)
{
	bool held = false;

	for (unsigned int i = 0; i < v->pairs_max; i++)
		held |= serve(v, &v->virtio.queue[2 * i + 1]);
	if (held)
		atomic_store(&v->virtio.vm->rest_awaited, true);
	return held;
}

void virtio_net_burst_rested(struct virtio_net *v)
{
	serve_all(v);
}

void virtio_net_burst_look(void *ctx)
{
	struct virtio_net *v = ctx;

	if (serve_all(v))
		look_again(v);
}
