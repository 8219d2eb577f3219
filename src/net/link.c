/* SPDX-License-Identifier: Apache-2.0 */
#include "net/link.h"

#include <pthread.h>
#include <stdlib.h>

#include "net/offload.h"
#include "vm/host.h"

/* Work in software, one frame at a time, one for each direction. */
struct bench {
	pthread_mutex_t lock;
	uint8_t *room; /* made when first needed */
};

struct net_link {
	struct net net; /* to the card */
	struct nic nic; /* to the backend */
	struct net *backend;
	struct capture *capture; /* NULL: none */
	struct limiter *limiter;
	struct bench to_backend, to_card;
};

static struct net_link *of_net(struct net *net)
{
	return (struct net_link *)((char *)net - offsetof(struct net_link, net));
}

static struct net_link *of_nic(struct nic *nic)
{
	return (struct net_link *)((char *)nic - offsetof(struct net_link, nic));
}

/* --- in software ----------------------------------------------------------------- */

/* Where frames go: one of the two sides. */
struct side {
	bool (*put)(struct net_link *link, unsigned int queue,
		    const struct nic_frame *frame);
	struct net_link *link;
	unsigned int queue;
};

static bool put_flat(const struct side *side, uint8_t *data, uint32_t size)
{
	const struct span span = { data, size };
	const struct nic_frame frame = {
		.span = &span,
		.spans = 1,
		.size = size,
		.sum = NIC_SUM_GOOD,
	};

	return side->put(side->link, side->queue, &frame);
}

static bool cut(const struct side *side, const struct nic_frame *frame,
		uint8_t *room)
{
	struct offload_cutter cutter;

	if (!offload_begin(&cutter, frame, room))
		return true;
	while (offload_next(&cutter))
		if (!put_flat(side, cutter.segment, cutter.size))
			return cutter.count > 1;
	return true;
}

static bool finish(struct bench *bench, const struct side *side,
		   const struct nic_frame *frame)
{
	bool over = true;

	pthread_mutex_lock(&bench->lock);
	if (!bench->room)
		bench->room = malloc(OFFLOAD_HEADER_MAX + NIC_FRAME_MAX);
	if (bench->room && frame->cut) {
		over = cut(side, frame, bench->room);
	} else if (bench->room) {
		offload_copy(frame, bench->room);
		over = put_flat(side, bench->room, frame->size);
	}
	pthread_mutex_unlock(&bench->lock);
	return over;
}

/* --- from the card ----------------------------------------------------------------- */

static bool put_backend(struct net_link *link, unsigned int queue,
			const struct nic_frame *frame)
{
	return link->backend->ops->send(link->backend, queue, frame);
}

static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	struct net_link *link = of_net(net);
	const struct side side = { put_backend, link, queue };
	bool over;

	if (!limiter_take(link->limiter, NET_OUT, frame))
		return false;
	if (nic_frame_needs(frame) & ~link->backend->can)
		over = finish(&link->to_backend, &side, frame);
	else
		over = put_backend(link, queue, frame);
	if (over && link->capture)
		capture_frame(link->capture, frame);
	return over;
}

static void flush_backend(struct net *net, unsigned int queue)
{
	struct net *backend = of_net(net)->backend;

	if (backend->ops->flush)
		backend->ops->flush(backend, queue);
}

static void room(struct net *net)
{
	struct net *backend = of_net(net)->backend;

	if (backend->ops->room)
		backend->ops->room(backend);
}

static void start(struct net *net)
{
	struct net_link *link = of_net(net);
	struct net *backend = link->backend;
	int rc = limiter_start(link->limiter);

	if (rc)
		host_log(HOST_LOG_ERROR, "net: no limits: error %d", -rc);
	/* All is taken; but what needs no work here is better. */
	atomic_store(&link->nic.can, atomic_load(&net->nic->can));
	if (backend->ops->start)
		backend->ops->start(backend);
}

static void stop(struct net *net)
{
	struct net *backend = of_net(net)->backend;

	if (backend->ops->stop)
		backend->ops->stop(backend);
}

static void part(struct net *net)
{
	struct net_link *link = of_net(net);

	limiter_stop(link->limiter);
	link->backend->ops->part(link->backend);
}

static void close_link(struct net *net)
{
	struct net_link *link = of_net(net);

	link->backend->ops->close(link->backend);
	capture_close(link->capture);
	limiter_destroy(link->limiter);
	pthread_mutex_destroy(&link->to_backend.lock);
	pthread_mutex_destroy(&link->to_card.lock);
	free(link->to_backend.room);
	free(link->to_card.room);
	free(link);
}

static const struct net_ops link_net_ops = {
	.send = send_frame,
	.flush = flush_backend,
	.room = room,
	.start = start,
	.stop = stop,
	.part = part,
	.close = close_link,
};

/* --- from the backend ---------------------------------------------------------------- */

static bool put_card(struct net_link *link, unsigned int queue,
		     const struct nic_frame *frame)
{
	struct nic *card = link->net.nic;

	return card->ops->receive(card, frame);
}

static bool receive(struct nic *nic, const struct nic_frame *frame)
{
	struct net_link *link = of_nic(nic);
	const struct side side = { put_card, link, 0 };
	unsigned int can = atomic_load(&link->net.nic->can);
	bool over;

	if (!limiter_take(link->limiter, NET_IN, frame))
		return false;
	if (nic_frame_needs(frame) & ~can)
		over = finish(&link->to_card, &side, frame);
	else
		over = put_card(link, 0, frame);
	if (over && link->capture)
		capture_frame(link->capture, frame);
	return over;
}

static void flush_card(struct nic *nic)
{
	struct nic *card = of_nic(nic)->net.nic;

	card->ops->flush(card);
}

static void again(struct nic *nic)
{
	struct nic *card = of_nic(nic)->net.nic;

	card->ops->again(card);
}

static void set_link(struct nic *nic, bool up)
{
	struct net_link *link = of_nic(nic);
	struct nic *card = link->net.nic;

	link->net.link = up;
	card->ops->link(card, up);
}

static void announce(struct nic *nic)
{
	struct nic *card = of_nic(nic)->net.nic;

	card->ops->announce(card);
}

static const struct nic_ops link_nic_ops = {
	.receive = receive,
	.flush = flush_card,
	.again = again,
	.link = set_link,
	.announce = announce,
};

/* --- limits --------------------------------------------------------------------------- */

/* Who was told to wait tries again. */
static void after_limit(void *ctx, enum net_way way)
{
	struct net_link *link = ctx;

	if (way == NET_OUT)
		again(&link->nic);
	else
		room(&link->net);
}

struct limiter *net_link_limiter(struct net *net)
{
	return of_net(net)->limiter;
}

struct net *net_link_create(struct net *backend, struct capture *capture)
{
	struct net_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->limiter = limiter_create(after_limit, link);
	if (!link->limiter) {
		free(link);
		return NULL;
	}
	pthread_mutex_init(&link->to_backend.lock, NULL);
	pthread_mutex_init(&link->to_card.lock, NULL);
	link->net.ops = &link_net_ops;
	link->net.can = NIC_CAN_ALL;
	link->net.link = backend->link;
	link->net.mtu = backend->mtu;
	link->net.device = backend->device;
	link->net.idle = backend->idle;
	link->nic.ops = &link_nic_ops;
	atomic_store(&link->nic.can, NIC_CAN_ALL);
	link->backend = backend;
	link->capture = capture;
	nic_connect(&link->nic, backend);
	return &link->net;
}
