/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames for the peer wait in a ring, behind their lengths, as they go into the
 * stream. The card's thread writes what the socket takes at once; the net's own
 * thread does the rest, and looks for a peer when there is none. It reads as
 * well, or a halted processor does (taker.h).
 */
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
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
#include "net/taker.h"
#include "vm/host.h"

#define RING_SIZE  (1u << 20) /* a power of two */
#define INPUT_SIZE (1u << 18) /* more than the longest frame */
#define PREFIX	   4u
#define BATCH	   64 /* frames between two looks around */
#define RETRY_MS   250 /* between two looks for a peer */
#define BUFFER	   (1 << 20) /* of the socket's */

struct socket_net {
	struct net net;
	const struct net_config *config;
	bool listens;
	int listener; /* -1: none */
	struct poll_thread thread;
	struct taker taker;

	pthread_mutex_t lock;
	int peer; /* -1: none; changed by the thread alone */
	uint8_t *ring;
	uint32_t head, tail; /* written, read; in all */
	bool full;	     /* send() has said "later" */

	/* Who takes frames has the rest. */
	uint8_t *input;
	uint32_t begin, end; /* what is left of it */
	bool dry;	     /* the last time all that came was read */
	bool gone;	     /* the peer is, or speaks another language */
	bool told;	     /* the card was given frames */
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
		taker_wake(&s->taker);
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
		taker_wake(&s->taker);
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

/* --- from the peer ------------------------------------------------------------- */

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
	s->taker.frames++;
	s->taker.bytes += size;
	return true;
}

/* The whole frames of the input. */
static enum taker_state give_all(struct socket_net *s)
{
	while (s->end - s->begin >= PREFIX) {
		const uint8_t *at = s->input + s->begin;
		uint32_t size = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
				(uint32_t)at[2] << 8 | at[3];

		if (size > NIC_FRAME_MAX) {
			host_log(HOST_LOG_WARN, "net: socket=%s: a frame of "
				 "impossible size; the connection is ended",
				 s->config->subject);
			s->gone = true;
			break;
		}
		if (s->end - s->begin < PREFIX + size)
			break;
		if (!give(s, at + PREFIX, size))
			return TAKER_FULL;
		s->begin += PREFIX + size;
	}
	return s->gone ? TAKER_GONE : TAKER_DONE;
}

static bool read_some(void *ctx)
{
	struct socket_net *s = ctx;
	const uint32_t left = s->end - s->begin;
	ssize_t n;

	memmove(s->input, s->input + s->begin, left);
	s->begin = 0;
	s->end = left;
	n = read(s->peer, s->input + left, INPUT_SIZE - left);
	if (n > 0)
		s->end += (uint32_t)n;
	else
		s->gone = !n || (errno != EAGAIN && errno != EINTR);
	s->dry = n > 0 && s->end < INPUT_SIZE;
	return n > 0 || s->gone;
}

static enum taker_state take_frames(void *ctx)
{
	struct socket_net *s = ctx;
	enum taker_state state;
	bool more;

	do {
		state = give_all(s);
		more = state == TAKER_DONE && !s->dry;
		if (more && s->taker.frames >= BATCH)
			state = TAKER_MORE;
		s->dry = false;
	} while (more && state == TAKER_DONE && read_some(s));
	if (s->told)
		s->net.nic->ops->flush(s->net.nic);
	s->told = false;
	return state;
}

static const struct taker_ops peer_ops = { read_some, take_frames };

/* --- peers ----------------------------------------------------------------------- */

/* What was on its way is lost. */
static void drop_peer(struct socket_net *s)
{
	taker_shut(&s->taker);
	pthread_mutex_lock(&s->lock);
	close(s->peer);
	s->peer = -1;
	s->head = s->tail = 0;
	pthread_mutex_unlock(&s->lock);
}

/* A negative errno: then it is closed. */
static int take_peer(struct socket_net *s, int fd)
{
	const int size = BUFFER;
	int rc;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	s->begin = s->end = 0;
	s->gone = s->dry = false;
	pthread_mutex_lock(&s->lock);
	s->peer = fd;
	s->head = s->tail = 0;
	pthread_mutex_unlock(&s->lock);
	rc = taker_open(&s->taker, fd);
	if (rc)
		drop_peer(s);
	return rc;
}

/* --- the thread ------------------------------------------------------------------- */

static void find_peer(struct socket_net *s)
{
	struct nic *nic = s->net.nic;
	int fd = s->listens ? accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)
			    : endpoint_connect(s->config->subject);
	int rc = fd < 0 ? 0 : take_peer(s, fd);

	if (rc)
		host_log(HOST_LOG_ERROR, "net: socket=%s: %s",
			 s->config->subject, strerror(-rc));
	if (s->peer < 0)
		return;
	nic->ops->link(nic, true);
	nic->ops->announce(nic);
}

static void await_peer(struct socket_net *s)
{
	struct pollfd fd[2] = {
		{ .fd = s->thread.wake, .events = POLLIN },
		{ .fd = s->listener, .events = POLLIN },
	};

	poll(fd, 2, s->listens ? -1 : RETRY_MS);
	if (fd[0].revents)
		poll_thread_clear(&s->thread);
	find_peer(s);
}

static void lose_peer(struct socket_net *s)
{
	drop_peer(s);
	s->net.nic->ops->link(s->net.nic, false);
}

/* Whether there is something to do when the socket has room. */
static bool waits(struct socket_net *s)
{
	bool some;

	pthread_mutex_lock(&s->lock);
	some = s->head != s->tail || s->full;
	pthread_mutex_unlock(&s->lock);
	return some;
}

/* False: the peer has gone while the card had no room for its frames. */
static bool sleep_on(struct socket_net *s, enum taker_state state, bool left)
{
	const bool sleeps = taker_sleeps(&s->taker, state);
	const bool full = state == TAKER_FULL, out = waits(s);
	struct pollfd fd[3] = {
		{ .fd = s->thread.wake, .events = POLLIN },
		{ .fd = left || full ? -1 : s->taker.input.rest,
		  .events = POLLIN },
		{ .fd = full || out ? s->peer : -1,
		  .events = out ? POLLOUT : 0 },
	};
	int result = poll(fd, 3, !sleeps ? 0 : left ? TURNS_TICK_MS : -1);

	taker_slept(&s->taker, result > 0 && fd[1].revents);
	if (result > 0 && fd[0].revents)
		poll_thread_clear(&s->thread);
	return !full || result <= 0 || !(fd[2].revents & (POLLHUP | POLLERR));
}

static void serve_peer(struct socket_net *s)
{
	const bool left = taker_leaves(&s->taker);
	enum taker_state state = left ? TAKER_DONE : taker_take(&s->taker);

	if (state == TAKER_GONE || !sleep_on(s, state, left))
		lose_peer(s);
	if (drained(s))
		s->net.nic->ops->again(s->net.nic);
}

static void run(void *ctx)
{
	struct socket_net *s = ctx;

	while (!atomic_load(&s->thread.ending)) {
		if (s->peer < 0)
			await_peer(s);
		else
			serve_peer(s);
	}
}

/* --- the net ------------------------------------------------------------------------ */

static void room(struct net *net)
{
	taker_room(&of_net(net)->taker);
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
	if (!s->ring || !s->input) {
		host_log(HOST_LOG_ERROR, "net socket: out of memory");
		return;
	}
	poll_thread_start(&s->thread, "net-socket", run, s);
	taker_let(&s->taker, true);
}

static void part(struct net *net)
{
	struct socket_net *s = of_net(net);

	taker_let(&s->taker, false);
	poll_thread_stop(&s->thread);
	s->full = false;
}

static void close_net(struct net *net)
{
	struct socket_net *s = of_net(net);

	taker_fini(&s->taker);
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
	int rc = 0;

	if (fd < 0)
		return -1;
	if (s->listens)
		s->listener = fd;
	else
		rc = take_peer(s, fd);
	if (rc)
		return net_error_set(error, "--net socket=%s: %s",
				     s->config->subject, strerror(-rc));
	s->net.link = !s->listens;
	s->net.idle = &s->taker.idle;
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
	taker_init(&s->taker, &peer_ops, s, &s->thread);
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
