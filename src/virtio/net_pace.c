/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against receive livelock (Mogul and Ramakrishnan, "Eliminating receive
 * livelock in an interrupt-driven kernel", 1997): a guest whose driver is
 * given more than its programs can use spends its time on frames that their
 * sockets then drop. So frames go to it in batches. The next one is due when a
 * processor of it halts, which has nothing else to do then: a guest that keeps
 * up waits for nothing. One that never halts is given it after as long a time
 * as its driver took for the one before, so that half is left for others. What
 * waits is the net's, where it is dropped before it costs anything, or holds
 * up its sender.
 *
 * Frames of TCP go at any time and do not count: its receiver's window is its
 * pace, and its sender wants to hear soon. Only with an engine that tells when
 * processors halt.
 */
#include "virtio/net_impl.h"

#define BATCH	64	/* frames; what Linux's driver takes in one go */
#define LOOK_NS 500000u /* between two looks at a driver */
#define LOOKS	8	/* after so many a guest has waited enough */

/* Begins a batch. */
static void begin(struct net_pace *pace, struct vm *vm)
{
	pace->given = 0;
	pace->held = false;
	pace->rests = atomic_load(&vm->rests);
}

/* Of several processors, one that is halted now does as well. */
static bool is_due(const struct net_pace *pace, struct vm *vm)
{
	uint32_t rests = atomic_load(&vm->rests);

	return !rests || rests != pace->rests ||
	       (vm->cpu_count > 1 && atomic_load(&vm->resting));
}

static void look_again(struct virtio_net *v, uint64_t now)
{
	timer_arm(&v->virtio.vm->clock, &v->look, now + LOOK_NS);
}

bool virtio_net_paced(struct virtio_net *v, struct virtio_queue *q)
{
	struct net_pace *pace = &v->lane[q->index / 2].pace;
	struct vm *vm = v->virtio.vm;

	if (pace->held)
		return true;
	if (pace->given < BATCH)
		return false;
	if (!is_due(pace, vm)) {
		atomic_store(&vm->rest_awaited, true);
		if (!is_due(pace, vm)) {
			pace->held = true;
			pace->since = clock_now(&vm->clock);
			pace->done = 0;
			look_again(v, pace->since);
			return true;
		}
	}
	begin(pace, vm);
	return false;
}

static void let_go(struct virtio_net *v, struct net_pace *pace)
{
	struct net *net = v->nic.net;

	begin(pace, v->virtio.vm);
	if (net->ops->room)
		net->ops->room(net);
}

void virtio_net_rested(void *object)
{
	struct virtio_net *v = object;

	if (v->parted)
		return;
	virtio_net_burst_rested(v);
	for (unsigned int i = 0; i < v->pairs_max; i++) {
		struct virtio_queue *q = &v->virtio.queue[2 * i];

		host_lock(&q->lock);
		if (v->lane[i].pace.held)
			let_go(v, &v->lane[i].pace);
		host_unlock(&q->lock);
	}
}

/* Whether the guest has had as long for other things. */
static bool is_over(struct net_pace *pace, const struct virtio_queue *q,
		    uint64_t now)
{
	if (!pace->done && virtio_queue_caught_up(q))
		pace->done = now;
	return now - pace->since >= LOOKS * LOOK_NS ||
	       (pace->done && now - pace->done >= pace->done - pace->since);
}

void virtio_net_look(void *ctx)
{
	struct virtio_net *v = ctx;
	const uint64_t now = clock_now(&v->virtio.vm->clock);
	bool more = false;

	for (unsigned int i = 0; i < v->pairs_max; i++) {
		struct virtio_queue *q = &v->virtio.queue[2 * i];
		struct net_pace *pace = &v->lane[i].pace;

		host_lock(&q->lock);
		if (pace->held && is_over(pace, q, now))
			let_go(v, pace);
		more |= pace->held;
		host_unlock(&q->lock);
	}
	if (more)
		look_again(v, now);
}
