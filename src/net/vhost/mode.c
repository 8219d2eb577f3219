/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The card's threads put frames into rings; the net's own takes those for the
 * card, looks for a back end when there is none, and hears when it ends.
 */
#include "net/vhost/mode.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/poll_thread.h"
#include "net/endpoint.h"
#include "net/vhost/front.h"
#include "vm/host.h"

#define RETRY_MS 250 /* between two looks for a back end */
#define BATCH	 64  /* frames of a ring in a row */
#define PATIENCE 10000000000u /* ns for all that is to be agreed on */
#define GOODBYE	 1000000000u /* ns to stop the rings */

enum { RECEIVES, SENDS };

struct vhost_net {
	struct net net;
	const struct net_config *config;
	bool listens;
	int listener; /* -1: none */
	struct poll_thread thread;
	_Atomic bool has_room;

	pthread_rwlock_t lock; /* which connection it is */
	struct vhost_front front;
	pthread_mutex_t lane_lock[NIC_QUEUES_MAX]; /* its ring that sends */
	bool dirty[NIC_QUEUES_MAX]; /* sent, and the back end is not told */
	bool full[NIC_QUEUES_MAX];  /* send() has said "later" */

	/* The thread's. */
	struct vhost_frame frame;
	bool starved; /* the card had no room */
	bool told;    /* it was given frames */
	int refused;  /* why the last back end was none */
};

static struct vhost_net *of_net(struct net *net)
{
	return (struct vhost_net *)net;
}

/* --- from the card ---------------------------------------------------------------- */

/* Held: the lane's lock. */
static void kick_lane(struct vhost_net *v, unsigned int lane)
{
	if (v->dirty[lane] &&
	    vhost_ring_notifies(&v->front.lane[lane].send))
		vhost_front_kick(&v->front, lane, SENDS);
	v->dirty[lane] = false;
}

/* Held: the lane's lock. False: later. */
static bool put(struct vhost_net *v, unsigned int lane,
		const struct nic_frame *frame)
{
	struct vhost_ring *ring = &v->front.lane[lane].send;
	bool sent;

	vhost_ring_reclaim(ring);
	sent = vhost_ring_send(ring, frame);
	if (!sent && !ring->broken) {
		kick_lane(v, lane);
		if (!vhost_ring_listen(ring)) {
			vhost_ring_reclaim(ring);
			sent = vhost_ring_send(ring, frame);
		}
		v->full[lane] = !sent;
	}
	if (sent)
		v->dirty[lane] = true;
	if (ring->broken)
		shutdown(v->front.fd, SHUT_RDWR);
	return sent || ring->broken;
}

static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	struct vhost_net *v = of_net(net);
	bool over = true;

	pthread_rwlock_rdlock(&v->lock);
	if (v->front.fd >= 0 && !(nic_frame_needs(frame) & ~v->front.can)) {
		const unsigned int lane = queue % v->front.pairs;

		pthread_mutex_lock(&v->lane_lock[lane]);
		over = put(v, lane, frame);
		pthread_mutex_unlock(&v->lane_lock[lane]);
	}
	pthread_rwlock_unlock(&v->lock);
	return over;
}

static void flush(struct net *net, unsigned int queue)
{
	struct vhost_net *v = of_net(net);

	pthread_rwlock_rdlock(&v->lock);
	if (v->front.fd >= 0) {
		const unsigned int lane = queue % v->front.pairs;

		pthread_mutex_lock(&v->lane_lock[lane]);
		kick_lane(v, lane);
		pthread_mutex_unlock(&v->lane_lock[lane]);
	}
	pthread_rwlock_unlock(&v->lock);
}

static void room(struct net *net)
{
	struct vhost_net *v = of_net(net);

	atomic_store(&v->has_room, true);
	poll_thread_wake(&v->thread);
}

/* --- to the card, on the thread ------------------------------------------------------ */

/* Some frames of one ring. True: there may be more. */
static bool take(struct vhost_net *v, unsigned int lane)
{
	struct vhost_ring *ring = &v->front.lane[lane].receive;
	struct nic *nic = v->net.nic;
	unsigned int count = 0;

	while (count < BATCH && vhost_ring_peek(ring, &v->frame)) {
		if (!v->frame.malformed) {
			if (!nic->ops->receive(nic, &v->frame.nic)) {
				v->starved = true;
				break;
			}
			v->told = true;
		}
		vhost_ring_done(ring, &v->frame);
		count++;
	}
	if (count && vhost_ring_notifies(ring))
		vhost_front_kick(&v->front, lane, RECEIVES);
	return count == BATCH;
}

/* The card's frames are gone from the ring: is there room for much again? */
static bool freed(struct vhost_net *v, unsigned int lane)
{
	struct vhost_ring *ring = &v->front.lane[lane].send;
	bool again = false;

	pthread_mutex_lock(&v->lane_lock[lane]);
	while (v->full[lane] && !again) {
		vhost_ring_reclaim(ring);
		again = ring->idles >= VHOST_RING_SIZE / 2;
		if (!again && vhost_ring_listen(ring))
			break;
	}
	if (again) {
		v->full[lane] = false;
		vhost_ring_ignore(ring);
	}
	pthread_mutex_unlock(&v->lane_lock[lane]);
	return again;
}

/* A ring that sends ends the connection where that is seen. */
static bool is_broken(const struct vhost_net *v)
{
	for (unsigned int i = 0; i < v->front.pairs; i++)
		if (v->front.lane[i].receive.broken)
			return true;
	return false;
}

/* True: there is more to do. */
static bool take_all(struct vhost_net *v)
{
	bool more = false;

	v->starved = false;
	for (unsigned int i = 0; i < v->front.pairs && !v->starved; i++)
		more |= take(v, i);
	if (v->told)
		v->net.nic->ops->flush(v->net.nic);
	v->told = false;
	if (v->starved)
		return atomic_load(&v->has_room);
	for (unsigned int i = 0; i < v->front.pairs && !more; i++)
		more = !vhost_ring_listen(&v->front.lane[i].receive);
	return more;
}

/* --- back ends ------------------------------------------------------------------------- */

/* 0, or why it is none. */
static int agree(struct vhost_net *v, struct vhost_front *front, int fd)
{
	const struct vhost_wish wish = {
		.pairs = v->config->queues,
		.mtu = v->config->mtu,
		.wake = v->thread.wake,
		.ending = &v->thread.ending,
		.patience = PATIENCE,
	};

	return vhost_front_begin(front, fd, &wish);
}

static void find(struct vhost_net *v)
{
	int fd = v->listens ? accept4(v->listener, NULL, NULL, SOCK_CLOEXEC)
			    : endpoint_connect(v->config->subject);
	struct nic *nic = v->net.nic;
	struct vhost_front front;
	int err;

	if (fd < 0)
		return;
	err = agree(v, &front, fd);
	if (err && err != v->refused)
		host_log(HOST_LOG_WARN, "net vhost-user=%s: no back end: %s",
			 v->config->subject, strerror(-err));
	v->refused = err;
	if (err)
		return;
	pthread_rwlock_wrlock(&v->lock);
	v->front = front;
	__atomic_store_n(&v->net.can, front.can, __ATOMIC_SEQ_CST);
	memset(v->dirty, 0, sizeof(v->dirty));
	pthread_rwlock_unlock(&v->lock);
	nic->ops->link(nic, true);
	nic->ops->announce(nic);
}

/* What was on its way is lost. */
static void lose(struct vhost_net *v)
{
	struct nic *nic = v->net.nic;
	bool again = false;

	pthread_rwlock_wrlock(&v->lock);
	vhost_front_end(&v->front, 0);
	for (unsigned int i = 0; i < NIC_QUEUES_MAX; i++) {
		again |= v->full[i];
		v->full[i] = false;
	}
	pthread_rwlock_unlock(&v->lock);
	v->starved = false;
	nic->ops->link(nic, false);
	if (again)
		nic->ops->again(nic);
}

/* --- the thread --------------------------------------------------------------------------- */

#define POLLS (2 + 2 * NIC_QUEUES_MAX)

/* What has come meanwhile. False: the back end is gone. */
static bool hear(struct vhost_net *v, const struct pollfd fd[POLLS])
{
	/* Nothing was asked: whatever it says ends it. */
	if (fd[1].revents)
		return false;
	for (unsigned int i = 0; i < 2 * v->front.pairs; i++) {
		if (!fd[2 + i].revents)
			continue;
		vhost_front_heard(&v->front, i / 2, i % 2);
		if (i % 2 == SENDS && freed(v, i / 2))
			v->net.nic->ops->again(v->net.nic);
	}
	return true;
}

static void serve(struct vhost_net *v)
{
	struct pollfd fd[POLLS] = {
		{ .fd = v->thread.wake, .events = POLLIN },
		{ .fd = v->front.fd, .events = POLLIN },
	};
	const unsigned int count = 2 + 2 * v->front.pairs;
	bool more;

	for (unsigned int i = 2; i < count; i++)
		fd[i] = (struct pollfd){
			.fd = v->front.lane[(i - 2) / 2].call[i % 2],
			.events = POLLIN,
		};
	atomic_store(&v->has_room, false);
	more = take_all(v);
	if (is_broken(v)) {
		host_log(HOST_LOG_WARN, "net vhost-user=%s: the back end "
			 "breaks its ring", v->config->subject);
		lose(v);
		return;
	}
	if (poll(fd, count, more || atomic_load(&v->thread.ending) ? 0 : -1) < 0)
		return;
	for (unsigned int i = 0; i < v->front.pairs; i++)
		vhost_ring_ignore(&v->front.lane[i].receive);
	if (fd[0].revents)
		poll_thread_clear(&v->thread);
	if (!hear(v, fd))
		lose(v);
}

static void look(struct vhost_net *v)
{
	struct pollfd fd[] = {
		{ .fd = v->thread.wake, .events = POLLIN },
		{ .fd = v->listener, .events = POLLIN },
	};

	poll(fd, 2, v->listens ? -1 : RETRY_MS);
	if (fd[0].revents)
		poll_thread_clear(&v->thread);
	if (!atomic_load(&v->thread.ending))
		find(v);
}

static void run(void *ctx)
{
	struct vhost_net *v = ctx;

	while (!atomic_load(&v->thread.ending))
		if (v->front.fd >= 0)
			serve(v);
		else
			look(v);
}

/* --- the net ------------------------------------------------------------------------------ */

static void start(struct net *net)
{
	struct vhost_net *v = of_net(net);

	poll_thread_start(&v->thread, "net-vhost", run, v);
}

static void part(struct net *net)
{
	struct vhost_net *v = of_net(net);

	poll_thread_stop(&v->thread);
	memset(v->full, 0, sizeof(v->full));
	v->starved = false;
}

static void close_net(struct net *net)
{
	struct vhost_net *v = of_net(net);

	vhost_front_end(&v->front, GOODBYE);
	if (v->listener >= 0) {
		close(v->listener);
		unlink(v->config->subject);
	}
	poll_thread_close(&v->thread);
	for (unsigned int i = 0; i < NIC_QUEUES_MAX; i++)
		pthread_mutex_destroy(&v->lane_lock[i]);
	pthread_rwlock_destroy(&v->lock);
	free(v);
}

static const struct net_ops vhost_ops = {
	.send = send_frame,
	.flush = flush,
	.room = room,
	.start = start,
	.part = part,
	.close = close_net,
};

static int open_back_end(struct vhost_net *v, struct net_error *error)
{
	const char *path = v->config->subject;
	int fd = endpoint_open("vhost-user", path, v->listens, error), err;

	if (fd < 0)
		return -1;
	if (v->listens) {
		v->listener = fd;
		return 0;
	}
	err = agree(v, &v->front, fd);
	if (err)
		return net_error_set(error, "--net vhost-user=%s: who listens "
				     "there is no back end of vhost-user (%s)",
				     path, strerror(-err));
	v->net.can = v->front.can;
	v->net.link = true;
	return 0;
}

static int open_net(struct net **out, const struct net_config *config,
		    struct net_error *error)
{
	struct vhost_net *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return net_error_set(error, "out of memory");
	pthread_rwlock_init(&v->lock, NULL);
	for (unsigned int i = 0; i < NIC_QUEUES_MAX; i++)
		pthread_mutex_init(&v->lane_lock[i], NULL);
	v->net.ops = &vhost_ops;
	v->config = config;
	v->listens = net_word(config, "listen");
	v->listener = v->front.fd = -1;
	err = poll_thread_open(&v->thread);
	if (err)
		net_error_set(error, "eventfd: %s", strerror(-err));
	else if (!open_back_end(v, error)) {
		*out = &v->net;
		return 0;
	}
	close_net(&v->net);
	return -1;
}

static const struct net_option vhost_options[] = {
	{ "listen", NULL },
};

const struct net_mode net_vhost_user_mode = {
	.name = "vhost-user",
	.subject = "PATH",
	.options = vhost_options,
	.option_count = sizeof(vhost_options) / sizeof(vhost_options[0]),
	.open = open_net,
};
