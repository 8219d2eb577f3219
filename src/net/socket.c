/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames for the peer wait in a ring, behind their lengths, as they go into the
 * stream. The card's thread writes what the socket takes at once; the net's own
 * thread does the rest, reads, and looks for a peer when there is none.
 */
#include "net/socket.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/linux/poll_thread.h"
#include "net/endpoint.h"
#include "vm/host.h"

#define RING_SIZE  (1u << 20) /* a power of two */
#define INPUT_SIZE (1u << 18) /* more than the longest frame */
#define PREFIX	   4u
#define RETRY_MS   250 /* between two looks for a peer */
#define BUFFER	   (1 << 20) /* of the socket's */

struct socket_net {
	struct net net;
	const struct net_config *config;
	bool listens;
	int listener; /* -1: none */
	struct poll_thread thread;
	_Atomic bool has_room;

	pthread_mutex_t lock;
	int peer; /* -1: none; closed by the thread alone */
	uint8_t *ring;
	uint32_t head, tail; /* written, read; in all */
	bool full;	     /* send() has said "later" */

	/* The thread's. */
	uint8_t *input;
	uint32_t begin, end; /* what is left of it */
	bool starved;	     /* the card had no room */
	bool told;	     /* it was given frames */
};

static struct socket_net *of_net(struct net *net)
{
	return (struct socket_net *)net;
}

/* --- to the peer ------------------------------------------------------------- */

static void put_prefix(struct socket_net *s, uint32_t size)
{
	for (unsigned int i = 0; i < PREFIX; i++)
		s->ring[s->head++ % RING_SIZE] =
			(uint8_t)(size >> 8 * (PREFIX - 1 - i));
}

/* Held: the lock, and there is room. */
static void put_frame(struct socket_net *s, const struct nic_frame *frame)
{
	uint32_t at, part;

	put_prefix(s, frame->size);
	at = s->head % RING_SIZE;
	part = RING_SIZE - at < frame->size ? RING_SIZE - at : frame->size;
	nic_frame_read(frame, 0, s->ring + at, part);
	nic_frame_read(frame, part, s->ring, frame->size - part);
	s->head += frame->size;
}

/* Held: the lock. Writes what the socket takes. False: some is left. */
static bool drain(struct socket_net *s)
{
	while (s->peer >= 0 && s->head != s->tail) {
		uint32_t at = s->tail % RING_SIZE, left = s->head - s->tail;
		uint32_t part = RING_SIZE - at < left ? RING_SIZE - at : left;
		struct iovec iov[2] = { { s->ring + at, part },
					{ s->ring, left - part } };
		const struct msghdr message = { .msg_iov = iov,
						.msg_iovlen = 2 };
		ssize_t n = sendmsg(s->peer, &message,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		s->tail += (uint32_t)n;
	}
	/* Little memory is touched as long as little waits. */
	if (s->head == s->tail)
		s->head = s->tail = 0;
	return true;
}

static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	struct socket_net *s = of_net(net);
	const uint32_t need = PREFIX + frame->size;
	bool over = true;

	pthread_mutex_lock(&s->lock);
	if (s->peer >= 0 && s->ring) {
		if (RING_SIZE - (s->head - s->tail) < need)
			drain(s);
		over = RING_SIZE - (s->head - s->tail) >= need;
		if (over)
			put_frame(s, frame);
		else
			s->full = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (!over)
		poll_thread_wake(&s->thread);
	return over;
}

static void flush(struct net *net, unsigned int queue)
{
	struct socket_net *s = of_net(net);
	bool all;

	pthread_mutex_lock(&s->lock);
	all = drain(s);
	pthread_mutex_unlock(&s->lock);
	if (!all)
		poll_thread_wake(&s->thread);
}

/* On the thread: true when the card waits, and there is much room now. */
static bool drained(struct socket_net *s)
{
	bool again;

	pthread_mutex_lock(&s->lock);
	drain(s);
	again = s->full && s->head - s->tail <= RING_SIZE / 2;
	if (again)
		s->full = false;
	pthread_mutex_unlock(&s->lock);
	return again;
}

/* --- from the peer, on the thread ---------------------------------------------- */

/* False: the card has no room. */
static bool give(struct socket_net *s, const uint8_t *data, uint32_t size)
{
	const struct span span = { (void *)data, size };
	const struct nic_frame frame = {
		.span = &span,
		.spans = 1,
		.size = size,
		.sum = NIC_SUM_IN,
	};

	if (size < NIC_FRAME_MIN)
		return true;
	if (!s->net.nic->ops->receive(s->net.nic, &frame))
		return false;
	s->told = true;
	return true;
}

/* The whole frames of the input. False: the peer speaks another language. */
static bool give_all(struct socket_net *s)
{
	s->starved = false;
	while (s->end - s->begin >= PREFIX) {
		const uint8_t *at = s->input + s->begin;
		uint32_t size = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
				(uint32_t)at[2] << 8 | at[3];

		if (size > NIC_FRAME_MAX)
			return false;
		if (s->end - s->begin < PREFIX + size)
			break;
		if (!give(s, at + PREFIX, size)) {
			s->starved = true;
			break;
		}
		s->begin += PREFIX + size;
	}
	if (s->told)
		s->net.nic->ops->flush(s->net.nic);
	s->told = false;
	return true;
}

/* False: the peer is gone, or should be. */
static bool take_input(struct socket_net *s)
{
	ssize_t n;

	memmove(s->input, s->input + s->begin, s->end - s->begin);
	s->end -= s->begin;
	s->begin = 0;
	n = recv(s->peer, s->input + s->end, INPUT_SIZE - s->end,
		 MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	s->end += (uint32_t)n;
	if (!n)
		return false;
	if (give_all(s))
		return true;
	host_log(HOST_LOG_WARN, "net: socket=%s: a frame of impossible "
		 "size; the connection is ended", s->config->subject);
	return false;
}

/* --- peers ----------------------------------------------------------------------- */

static void take_peer(struct socket_net *s, int fd)
{
	const int size = BUFFER;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	pthread_mutex_lock(&s->lock);
	s->peer = fd;
	s->head = s->tail = 0;
	pthread_mutex_unlock(&s->lock);
	s->begin = s->end = 0;
	s->starved = false;
}

/* What was on its way is lost. */
static void lose_peer(struct socket_net *s)
{
	pthread_mutex_lock(&s->lock);
	close(s->peer);
	s->peer = -1;
	s->head = s->tail = 0;
	pthread_mutex_unlock(&s->lock);
}

/* --- the thread ------------------------------------------------------------------- */

static void find_peer(struct socket_net *s)
{
	struct nic *nic = s->net.nic;
	int fd = s->listens ? accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)
			    : endpoint_connect(s->config->subject);

	if (fd < 0)
		return;
	take_peer(s, fd);
	nic->ops->link(nic, true);
	nic->ops->announce(nic);
}

static void serve_peer(struct socket_net *s, short events)
{
	struct nic *nic = s->net.nic;
	bool alive = true;

	if (s->starved && (events & (POLLHUP | POLLERR)))
		alive = false;
	else if (s->starved && atomic_exchange(&s->has_room, false))
		alive = give_all(s);
	if (alive && !s->starved && (events & (POLLIN | POLLHUP | POLLERR)))
		alive = take_input(s);
	if (!alive) {
		lose_peer(s);
		nic->ops->link(nic, false);
	}
	if (drained(s))
		nic->ops->again(nic);
}

/* What to wait for at the peer; it has to be there. */
static short wanted(struct socket_net *s)
{
	short events = s->starved ? 0 : POLLIN;

	pthread_mutex_lock(&s->lock);
	if (s->head != s->tail)
		events |= POLLOUT;
	pthread_mutex_unlock(&s->lock);
	return events;
}

static void run(void *ctx)
{
	struct socket_net *s = ctx;

	while (!atomic_load(&s->thread.ending)) {
		const bool there = s->peer >= 0;
		struct pollfd fd[2] = {
			{ .fd = s->thread.wake, .events = POLLIN },
			{ .fd = there ? s->peer : s->listener,
			  .events = there ? wanted(s) : POLLIN },
		};

		poll(fd, 2, there || s->listens ? -1 : RETRY_MS);
		if (fd[0].revents)
			poll_thread_clear(&s->thread);
		if (there)
			serve_peer(s, fd[1].revents);
		else
			find_peer(s);
	}
}

/* --- the net ------------------------------------------------------------------------ */

static void room(struct net *net)
{
	struct socket_net *s = of_net(net);

	atomic_store(&s->has_room, true);
	poll_thread_wake(&s->thread);
}

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void start(struct net *net)
{
	struct socket_net *s = of_net(net);

	pthread_mutex_lock(&s->lock);
	if (!s->ring)
		s->ring = map(RING_SIZE);
	pthread_mutex_unlock(&s->lock);
	if (!s->input)
		s->input = map(INPUT_SIZE);
	if (s->ring && s->input)
		poll_thread_start(&s->thread, "net-socket", run, s);
	else
		host_log(HOST_LOG_ERROR, "net socket: out of memory");
}

static void part(struct net *net)
{
	struct socket_net *s = of_net(net);

	poll_thread_stop(&s->thread);
	s->head = s->tail = 0;
	s->begin = s->end = 0;
	s->full = s->starved = false;
}

static void close_net(struct net *net)
{
	struct socket_net *s = of_net(net);

	if (s->peer >= 0)
		close(s->peer);
	if (s->listener >= 0) {
		close(s->listener);
		unlink(s->config->subject);
	}
	if (s->ring)
		munmap(s->ring, RING_SIZE);
	if (s->input)
		munmap(s->input, INPUT_SIZE);
	poll_thread_close(&s->thread);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct net_ops socket_ops = {
	.send = send_frame,
	.flush = flush,
	.room = room,
	.start = start,
	.part = part,
	.close = close_net,
};

/* 0, or -1 with the error. */
static int open_socket(struct socket_net *s, struct net_error *error)
{
	int fd = endpoint_open("socket", s->config->subject, s->listens,
			       error);

	if (fd < 0)
		return -1;
	if (s->listens)
		s->listener = fd;
	else
		take_peer(s, fd);
	s->net.link = !s->listens;
	return 0;
}

static int open_net(struct net **out, const struct net_config *config,
		    struct net_error *error)
{
	struct socket_net *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return net_error_set(error, "out of memory");
	pthread_mutex_init(&s->lock, NULL);
	s->net.ops = &socket_ops;
	s->config = config;
	s->listens = net_word(config, "listen");
	s->listener = s->peer = -1;
	err = poll_thread_open(&s->thread);
	if (err)
		net_error_set(error, "eventfd: %s", strerror(-err));
	else if (!open_socket(s, error)) {
		*out = &s->net;
		return 0;
	}
	close_net(&s->net);
	return -1;
}

static const struct net_option socket_options[] = {
	{ "listen", NULL },
};

const struct net_mode net_socket_mode = {
	.name = "socket",
	.subject = "PATH",
	.options = socket_options,
	.option_count = sizeof(socket_options) / sizeof(socket_options[0]),
	.open = open_net,
};
