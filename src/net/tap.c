/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame is read only when the card has taken the one before: what the card
 * has no room for waits in the kernel, which drops what becomes too much. Who
 * reads is a queue's thread, or, of a tap with one queue, a halted processor
 * (taker.h).
 */
#include "net/tap.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/linux/input.h"
#include "host/linux/poll_thread.h"
#include "net/bridged.h"
#include "net/taker.h"
#include "vm/host.h"
#include "vm/nic_header.h"

#define BATCH	64  /* frames between two interrupts of the guest's */
#define SPANS	256 /* of a frame that is sent as it lies */

struct tap_queue {
	struct tap_net *tap;
	unsigned int number;
	struct poll_thread thread;
	_Atomic bool full; /* send() has said "later" */
	struct taker taker;

	/* Who takes frames has the rest. */
	bool gone;    /* somebody has taken the tap away */
	bool waiting; /* a frame that the card was not given is in `data` */
	bool told;    /* the card was given frames */
	struct nic_header header;
	uint32_t size; /* of the frame */
	uint8_t *data; /* NIC_FRAME_MAX of them */
};

struct tap_net {
	struct net net;
	struct tap_device device;
	struct bridged *bridged; /* NULL: on no network of ours */
	bool up; /* the first thread's: what the card was told */
	struct tap_queue queue[NIC_QUEUES_MAX];
};

static struct tap_net *of_net(struct net *net)
{
	return (struct tap_net *)net;
}

/* --- from the card -------------------------------------------------------------- */

/* The kernel takes IOV_MAX pieces; more than some are made one. */
static ssize_t write_flat(int fd, const struct nic_header *header,
			  size_t header_size, const struct nic_frame *frame)
{
	uint8_t *flat = malloc(frame->size);
	struct iovec iov[2] = {
		{ (void *)header, header_size }, { flat, frame->size },
	};
	ssize_t written;

	if (!flat)
		return 0;
	nic_frame_read(frame, 0, flat, frame->size);
	written = writev(fd, iov, 2);
	free(flat);
	return written;
}

static ssize_t write_frame(struct tap_net *t, int fd,
			   const struct nic_frame *frame)
{
	const struct nic_header header = nic_header_of(frame);
	const size_t header_size = t->device.header ? sizeof(header) : 0;
	struct iovec iov[SPANS + 1];

	if (frame->spans > SPANS)
		return write_flat(fd, &header, header_size, frame);
	iov[0] = (struct iovec){ (void *)&header, header_size };
	memcpy(iov + 1, frame->span, frame->spans * sizeof(iov[0]));
	return writev(fd, iov, (int)frame->spans + 1);
}

/* What the kernel refuses, or takes while the tap is down, is lost. */
static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	struct tap_net *t = of_net(net);
	struct tap_queue *q = &t->queue[queue % t->device.queues];
	const int fd = t->device.fd[q->number];

	if (write_frame(t, fd, frame) >= 0 || errno != EAGAIN)
		return true;
	atomic_store(&q->full, true);
	taker_wake(&q->taker);
	return false;
}

/* --- to the card ------------------------------------------------------------------ */

/* False: there is none now. */
static bool read_frame(struct tap_queue *q)
{
	const struct tap_device *d = &q->tap->device;
	const size_t header = d->header ? sizeof(q->header) : 0;
	struct iovec iov[2] = {
		{ &q->header, header }, { q->data, NIC_FRAME_MAX },
	};
	ssize_t got = readv(d->fd[q->number], iov, 2);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got < 0) {
		host_log(HOST_LOG_ERROR, "net: tap %s: %s", d->name,
			 errno == EBADFD ? "is gone" : strerror(errno));
		q->gone = true;
		return false;
	}
	q->size = (size_t)got > header ? (uint32_t)((size_t)got - header) : 0;
	return true;
}

/* False: the card has no room for it. */
static bool give(struct tap_queue *q)
{
	struct nic *nic = q->tap->net.nic;
	struct span span = { q->data, q->size };
	struct nic_frame frame = { .span = &span, .spans = 1, .size = q->size };

	if (q->size < NIC_FRAME_MIN || !nic_header_parse(&q->header, &frame)) {
		nic_count_one(&nic->received.refused);
		return true;
	}
	if (!nic->ops->receive(nic, &frame))
		return false;
	q->told = true;
	q->taker.frames++;
	q->taker.bytes += q->size;
	return true;
}

static bool read_one(void *ctx)
{
	struct tap_queue *q = ctx;

	q->waiting = read_frame(q);
	return q->waiting || q->gone;
}

/* Some of what the kernel has for us. */
static enum taker_state take_frames(void *ctx)
{
	struct tap_queue *q = ctx;
	enum taker_state state = TAKER_MORE;

	for (unsigned int i = 0; state == TAKER_MORE && i < BATCH; i++) {
		if (!q->waiting && !read_frame(q)) {
			state = q->gone ? TAKER_GONE : TAKER_DONE;
			break;
		}
		q->waiting = !give(q);
		if (q->waiting)
			state = TAKER_FULL;
	}
	if (q->told)
		q->tap->net.nic->ops->flush(q->tap->net.nic);
	q->told = false;
	return state;
}

static const struct taker_ops queue_ops = { read_one, take_frames };

/* The first thread tells of the tap's state. */
static void look_at_link(struct tap_net *t)
{
	struct nic *nic = t->net.nic;
	bool up = tap_device_up(&t->device);

	if (up == t->up)
		return;
	t->up = up;
	nic->ops->link(nic, up);
	if (up)
		nic->ops->announce(nic);
}

static void sleep_on(struct tap_queue *q, enum taker_state state, bool left)
{
	const struct tap_device *d = &q->tap->device;
	const bool sleeps = taker_sleeps(&q->taker, state);
	const bool full = atomic_load(&q->full);
	struct pollfd fd[4] = {
		{ .fd = q->thread.wake, .events = POLLIN },
		{ .fd = left ? -1 : q->taker.input.rest, .events = POLLIN },
		{ .fd = q->number ? -1 : d->watch, .events = POLLIN },
		{ .fd = full ? d->fd[q->number] : -1, .events = POLLOUT },
	};
	int result = poll(fd, 4, !sleeps ? 0 : left ? TURNS_TICK_MS : -1);

	taker_slept(&q->taker, result > 0 && fd[1].revents);
	if (result <= 0)
		return;
	if (fd[0].revents)
		poll_thread_clear(&q->thread);
	if (fd[2].revents)
		look_at_link(q->tap);
	if (fd[3].revents) {
		atomic_store(&q->full, false);
		q->tap->net.nic->ops->again(q->tap->net.nic);
	}
}

static void run(void *ctx)
{
	struct tap_queue *q = ctx;

	if (!q->number)
		look_at_link(q->tap);
	while (!atomic_load(&q->thread.ending)) {
		const bool left = taker_leaves(&q->taker);

		sleep_on(q, left ? TAKER_DONE : taker_take(&q->taker), left);
	}
}

/* --- the net ------------------------------------------------------------------------ */

static void room(struct net *net)
{
	struct tap_net *t = of_net(net);

	for (unsigned int i = 0; i < t->device.queues; i++)
		taker_room(&t->queue[i].taker);
}

static void start_queue(struct tap_net *t, unsigned int i)
{
	struct tap_queue *q = &t->queue[i];

	if (!q->data)
		q->data = malloc(NIC_FRAME_MAX);
	if (q->data)
		poll_thread_start(&q->thread, "net-tap", run, q);
	else
		host_log(HOST_LOG_ERROR, "net tap: out of memory");
}

static void start(struct net *net)
{
	struct tap_net *t = of_net(net);

	tap_device_offer(&t->device, atomic_load(&net->nic->can));
	for (unsigned int i = 0; i < t->device.queues; i++)
		start_queue(t, i);
	taker_let(&t->queue[0].taker, t->queue[0].data);
}

static void part(struct net *net)
{
	struct tap_net *t = of_net(net);

	taker_let(&t->queue[0].taker, false);
	for (unsigned int i = 0; i < t->device.queues; i++) {
		poll_thread_stop(&t->queue[i].thread);
		t->queue[i].waiting = false;
	}
}

static void close_net(struct net *net)
{
	struct tap_net *t = of_net(net);

	for (unsigned int i = 0; i < NIC_QUEUES_MAX; i++) {
		poll_thread_close(&t->queue[i].thread);
		taker_fini(&t->queue[i].taker);
		free(t->queue[i].data);
	}
	tap_device_close(&t->device);
	bridged_leave(t->bridged);
	free(t);
}

static const struct net_ops tap_ops = {
	.send = send_frame,
	.room = room,
	.start = start,
	.part = part,
	.close = close_net,
};

static int make_queues(struct tap_net *t)
{
	for (unsigned int i = 0; i < t->device.queues; i++) {
		struct tap_queue *q = &t->queue[i];
		int err = poll_thread_open(&q->thread);

		if (!err)
			err = taker_open(&q->taker, t->device.fd[i]);
		if (err)
			return err;
	}
	return 0;
}

static int open_device(struct tap_net *t, const struct net_config *config,
		       struct net_error *error)
{
	struct tap_plan plan;
	int joined = config->mode == &net_bridge_mode ?
			     bridged_join(&t->bridged, config, &plan, error) :
			     1;

	if (joined < 0 || tap_device_open(&t->device, config,
					  joined ? NULL : &plan, error))
		return -1;
	if (t->bridged)
		bridged_watch(t->bridged);
	return 0;
}

static int open_net(struct net **out, const struct net_config *config,
		    struct net_error *error)
{
	struct tap_net *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return net_error_set(error, "out of memory");
	for (unsigned int i = 0; i < NIC_QUEUES_MAX; i++) {
		t->queue[i].tap = t;
		t->queue[i].number = i;
		t->queue[i].thread.wake = -1;
		taker_init(&t->queue[i].taker, &queue_ops, &t->queue[i],
			   &t->queue[i].thread);
	}
	if (open_device(t, config, error)) {
		bridged_leave(t->bridged);
		free(t);
		return -1;
	}
	err = make_queues(t);
	if (err) {
		close_net(&t->net);
		return net_error_set(error, "%s", strerror(-err));
	}
	t->up = tap_device_up(&t->device);
	t->net = (struct net){
		.ops = &tap_ops,
		.can = t->device.header ? NIC_CAN_ALL : 0,
		.link = t->up,
		.mtu = t->device.mtu,
		.device = t->device.name,
		.idle = t->device.queues == 1 ? &t->queue[0].taker.idle
					       : NULL,
	};
	*out = &t->net;
	return 0;
}

static const struct net_option tap_options[] = {
	{ "fd", "N[:N...]" },
};

const struct net_mode net_tap_mode = {
	.name = "tap",
	.subject = "NAME",
	.subject_optional = true,
	.options = tap_options,
	.option_count = sizeof(tap_options) / sizeof(tap_options[0]),
	.check = tap_device_check,
	.open = open_net,
};

static const struct net_option bridge_options[] = {
	{ "address", "ADDRESS" },
};

const struct net_mode net_bridge_mode = {
	.name = "bridge",
	.subject = "NAME",
	.options = bridge_options,
	.option_count = sizeof(bridge_options) / sizeof(bridge_options[0]),
	.check = tap_device_check,
	.open = open_net,
};
