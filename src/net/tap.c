/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame is read only when the card has taken the one before: what the card
 * has no room for waits in the kernel, which drops what becomes too much. Who
 * reads is a queue's thread, or, of a tap with one queue, a processor that is
 * halted and looks at the tap, or sleeps on it, itself (turns.h).
 */
#include "net/tap.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/linux/input.h"
#include "host/linux/poll_thread.h"
#include "net/bridged.h"
#include "net/turns.h"
#include "vm/host.h"
#include "vm/nic_header.h"

#define BATCH	64  /* frames between two interrupts of the guest's */
#define SPANS	256 /* of a frame that is sent as it lies */

struct tap_queue {
	struct tap_net *tap;
	unsigned int number;
	struct poll_thread thread;
	_Atomic bool asleep;   /* the thread is, or is about to be */
	_Atomic bool has_room; /* the card has said so */
	_Atomic bool full;     /* send() has said "later" */

	struct host_input input;
	_Atomic bool missed; /* the thread found `taking` taken */
	struct turns turns;

	/* To read frames, and what is read. A halted processor keeps it. */
	pthread_mutex_t taking;
	bool gone;    /* somebody has taken the tap away */
	bool waiting; /* a frame that the card had no room for is in `data` */
	bool told;    /* the card was given frames */
	unsigned int frames; /* given in a row */
	uint64_t bytes;	     /* of them */
	struct nic_header header;
	uint32_t size; /* of the frame */
	uint8_t *data; /* NIC_FRAME_MAX of them */
};

struct tap_net {
	struct net net;
	struct tap_device device;
	struct bridged *bridged; /* NULL: on no network of ours */
	bool up; /* the first thread's: what the card was told */
	struct host_idle idle;
	_Atomic bool open_to_idle; /* processors may take frames */
	struct tap_queue queue[NIC_QUEUES_MAX];
};

static struct tap_net *of_net(struct net *net)
{
	return (struct tap_net *)net;
}

static void wake(struct tap_queue *q)
{
	if (atomic_exchange(&q->asleep, false))
		poll_thread_wake(&q->thread);
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
	wake(q);
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
	q->frames++;
	q->bytes += q->size;
	return true;
}

/* Some of what the kernel has for us. True: more is there. */
static bool take_frames(struct tap_queue *q)
{
	bool more = true;

	q->frames = 0;
	q->bytes = 0;
	for (unsigned int i = 0; more && i < BATCH; i++) {
		if (!q->waiting && !read_frame(q)) {
			more = false;
			break;
		}
		q->waiting = !give(q);
		more = !q->waiting;
	}
	if (q->told)
		q->tap->net.nic->ops->flush(q->tap->net.nic);
	q->told = false;
	return more;
}

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

static void sleep_on(struct tap_queue *q, bool more, bool taken)
{
	const struct tap_device *d = &q->tap->device;
	const bool full = atomic_load(&q->full);
	struct pollfd fd[4] = {
		{ .fd = q->thread.wake, .events = POLLIN },
		{ .fd = taken ? -1 : q->input.rest, .events = POLLIN },
		{ .fd = q->number ? -1 : d->watch, .events = POLLIN },
		{ .fd = full ? d->fd[q->number] : -1, .events = POLLOUT },
	};
	int result = poll(fd, 4, more ? 0 : taken ? TURNS_TICK_MS : -1);

	atomic_store(&q->asleep, false);
	if (result <= 0)
		return;
	if (fd[0].revents)
		poll_thread_clear(&q->thread);
	if (fd[1].revents)
		host_input_clear(&q->input);
	if (fd[2].revents)
		look_at_link(q->tap);
	if (fd[3].revents) {
		atomic_store(&q->full, false);
		q->tap->net.nic->ops->again(q->tap->net.nic);
	}
}

/* False: a processor has it, which leaves nothing behind. */
static bool try_taking(struct tap_queue *q)
{
	if (!pthread_mutex_trylock(&q->taking))
		return true;
	atomic_store(&q->missed, true);
	return !pthread_mutex_trylock(&q->taking);
}

static void run(void *ctx)
{
	struct tap_queue *q = ctx;
	struct tap_net *t = q->tap;

	if (!q->number)
		look_at_link(t);
	while (!atomic_load(&q->thread.ending)) {
		bool more = false, waiting = false, now;
		bool taken = turns_are_taken(&q->turns);

		if (!taken && try_taking(q)) {
			more = !q->gone && take_frames(q);
			waiting = q->waiting;
			pthread_mutex_unlock(&q->taking);
		}
		atomic_store(&q->asleep, true);
		now = more || atomic_load(&q->thread.ending) ||
		      (waiting && atomic_exchange(&q->has_room, false));
		sleep_on(q, now, taken);
	}
}

/* --- to the card, by a halted processor ------------------------------------------------ */

static struct tap_queue *of_idle(struct host_idle *idle)
{
	return ((struct tap_net *)((char *)idle -
				   offsetof(struct tap_net, idle)))->queue;
}

static bool look_idle(void *ctx)
{
	struct tap_queue *q = ctx;

	turns_look(&q->turns);
	q->waiting = read_frame(q);
	return q->waiting || q->gone;
}

static bool begin_idle(struct host_idle *idle, struct host_watch *watch)
{
	struct tap_queue *q = of_idle(idle);

	if (!atomic_load(&q->tap->open_to_idle) ||
	    pthread_mutex_trylock(&q->taking))
		return false;
	*watch = (struct host_watch){
		.input = &q->input,
		.look = turns_may_look(&q->turns) ? look_idle : NULL,
		.ctx = q,
	};
	if (!q->gone && !q->waiting)
		return true;
	pthread_mutex_unlock(&q->taking);
	return false;
}

static bool work_idle(struct host_idle *idle)
{
	struct tap_queue *q = of_idle(idle);
	bool more;

	if (q->gone)
		return false;
	more = take_frames(q);
	turns_took(&q->turns, q->frames, q->bytes);
	return !more && !q->gone && !q->waiting;
}

/* What came for it while it slept woke nobody else. */
static void end_idle(struct host_idle *idle)
{
	struct tap_queue *q = of_idle(idle);
	bool left;

	atomic_store(&q->missed, false);
	left = (!q->gone && take_frames(q)) || q->waiting;
	if (left)
		turns_leave(&q->turns);
	pthread_mutex_unlock(&q->taking);
	if (atomic_exchange(&q->missed, false) || left)
		poll_thread_wake(&q->thread);
}

/* --- the net ------------------------------------------------------------------------ */

static void room(struct net *net)
{
	struct tap_net *t = of_net(net);

	for (unsigned int i = 0; i < t->device.queues; i++) {
		atomic_store(&t->queue[i].has_room, true);
		wake(&t->queue[i]);
	}
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
	atomic_store(&t->open_to_idle, t->queue[0].data);
}

static void part(struct net *net)
{
	struct tap_net *t = of_net(net);

	atomic_store(&t->open_to_idle, false);
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
		host_input_close(&t->queue[i].input);
		pthread_mutex_destroy(&t->queue[i].taking);
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
			err = host_input_open(&q->input, t->device.fd[i]);
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
		t->queue[i].input = HOST_INPUT_NONE;
		pthread_mutex_init(&t->queue[i].taking, NULL);
	}
	if (open_device(t, config, error)) {
		bridged_leave(t->bridged);
		free(t);
		return -1;
	}
	t->idle = (struct host_idle){ begin_idle, work_idle, end_idle };
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
		.idle = t->device.queues == 1 ? &t->idle : NULL,
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
