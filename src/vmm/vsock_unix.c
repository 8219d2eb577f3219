/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets for the socket device; see vsock_unix.h for the convention and
 * virtio/vsock.h for what the device asks.
 *
 * Each stream is a place in a table. All of them are watched by one epoll(7)
 * of our own, each for one event at a time, on the loop's thread; the device
 * works on them from its own. What an event of epoll names is a place and how
 * often it was used, so that one of a stream that has been closed since means
 * nothing.
 */
#include "vmm/vsock_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define CALLERS_MAX 64 /* that have not said where to yet */
#define STREAMS	    (VSOCK_CONNECTIONS_MAX + CALLERS_MAX)
#define LINE_MAX    32 /* "CONNECT 4294967295\n" */
#define EVENTS	    32
#define VECTORS	    64
#define LISTENER    UINT64_MAX

enum stream_state {
	STREAM_FREE,
	STREAM_CALLS, /* its first line is on its way */
	STREAM_OFFERED,
	STREAM_TAKEN,
};

struct vsock_stream {
	struct vsock_unix *host;
	int fd;
	enum stream_state state;
	uint32_t uses; /* of this place */
	uint32_t wants; /* EPOLLIN, EPOLLOUT: which the device waits for */
	bool news, hung;
	void *connection;
	uint32_t port; /* of the guest, of an offer */
	unsigned int line_size;
	char line[LINE_MAX];
};

struct vsock_unix {
	struct vsock_host host;
	struct virtio_vsock *device;
	struct loop *loop;
	struct unix_socket listener;
	int epoll;
	pthread_mutex_t lock; /* guards the rest */
	unsigned int callers;
	unsigned int next; /* where to look for news first */
	unsigned int news; /* streams that have some */
	struct vsock_stream stream[STREAMS];
};

static struct vsock_unix *unix_of(struct vsock_host *host)
{
	return (struct vsock_unix *)host;
}

/* --- places; held: the lock --------------------------------------------------- */

static uint64_t name_of(const struct vsock_stream *s)
{
	return (uint64_t)s->uses << 32 | (uint64_t)(s - s->host->stream);
}

static struct vsock_stream *by_name(struct vsock_unix *u, uint64_t name)
{
	struct vsock_stream *s = &u->stream[name & 0xffffffff];

	return s->state != STREAM_FREE && s->uses == name >> 32 ? s : NULL;
}

/* One event of these kinds, and a hang-up in any case. */
static int watch(struct vsock_stream *s, int operation, uint32_t wants)
{
	struct epoll_event event = {
		.events = wants | EPOLLONESHOT,
		.data.u64 = name_of(s),
	};

	return epoll_ctl(s->host->epoll, operation, s->fd, &event);
}

/* Takes `fd`, or closes it. */
static struct vsock_stream *add(struct vsock_unix *u, int fd,
				enum stream_state state, uint32_t wants)
{
	struct vsock_stream *s = u->stream;

	while (s < u->stream + STREAMS && s->state != STREAM_FREE)
		s++;
	if (s < u->stream + STREAMS) {
		*s = (struct vsock_stream){
			.host = u,
			.fd = fd,
			.state = state,
			.uses = s->uses + 1,
		};
		if (!watch(s, EPOLL_CTL_ADD, wants))
			return s;
		s->state = STREAM_FREE;
	}
	close(fd);
	return NULL;
}

static void drop(struct vsock_stream *s)
{
	struct vsock_unix *u = s->host;

	if (s->state == STREAM_CALLS)
		u->callers--;
	if (s->news)
		u->news--;
	s->news = false;
	s->state = STREAM_FREE;
	epoll_ctl(u->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	close(s->fd);
}

static void tell(struct vsock_stream *s)
{
	if (!s->news)
		s->host->news++;
	s->news = true;
}

/* --- what the device asks ------------------------------------------------------ */

static bool next_event(struct vsock_host *host, struct vsock_event *event)
{
	struct vsock_unix *u = unix_of(host);
	bool found;

	pthread_mutex_lock(&u->lock);
	found = u->news;
	while (found && !u->stream[u->next].news)
		u->next = (u->next + 1) % STREAMS;
	if (found) {
		struct vsock_stream *s = &u->stream[u->next];

		s->news = false;
		u->news--;
		*event = (struct vsock_event){
			.stream = s,
			.connection = s->connection,
			.port = s->port,
			.hung = s->hung,
		};
		u->next = (u->next + 1) % STREAMS;
	}
	pthread_mutex_unlock(&u->lock);
	return found;
}

/* Unix sockets are connected at once, or not at all. */
static int connect_to(const struct vsock_unix *u, uint32_t port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (u->listener.fd < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%.*s_%u",
		 VSOCK_PATH_MAX, u->listener.path, port);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static struct vsock_stream *connect_stream(struct vsock_host *host,
					   uint32_t port, void *connection)
{
	struct vsock_unix *u = unix_of(host);
	int fd = connect_to(u, port);
	struct vsock_stream *s;

	if (fd < 0)
		return NULL;
	pthread_mutex_lock(&u->lock);
	s = add(u, fd, STREAM_TAKEN, 0);
	if (s)
		s->connection = connection;
	pthread_mutex_unlock(&u->lock);
	return s;
}

static void take(struct vsock_stream *s, void *connection)
{
	pthread_mutex_lock(&s->host->lock);
	s->state = STREAM_TAKEN;
	s->connection = connection;
	watch(s, EPOLL_CTL_MOD, 0);
	pthread_mutex_unlock(&s->host->lock);
}

/* A socket that was not written to has room for it. */
static void established(struct vsock_stream *s, uint32_t port)
{
	char line[LINE_MAX];
	int size = snprintf(line, sizeof(line), "OK %u\n", port);

	if (send(s->fd, line, (size_t)size, MSG_NOSIGNAL) != size)
		shutdown(s->fd, SHUT_RDWR);
}

/* The result of a call; what the device waits for is watched. */
static int64_t result(struct vsock_stream *s, ssize_t n, uint32_t wants)
{
	if (n >= 0)
		return n;
	if (errno != EAGAIN && errno != EINTR)
		return -errno;
	pthread_mutex_lock(&s->host->lock);
	s->wants |= wants;
	watch(s, EPOLL_CTL_MOD, s->wants);
	pthread_mutex_unlock(&s->host->lock);
	return -EAGAIN;
}

static struct msghdr message_of(struct iovec vector[VECTORS],
				const struct span *span, unsigned int spans)
{
	if (spans > VECTORS)
		spans = VECTORS;
	for (unsigned int i = 0; i < spans; i++)
		vector[i] = (struct iovec){ span[i].data, span[i].size };
	return (struct msghdr){ .msg_iov = vector, .msg_iovlen = spans };
}

static int64_t send_spans(struct vsock_stream *s, const struct span *span,
			  unsigned int spans)
{
	struct iovec vector[VECTORS];
	struct msghdr message = message_of(vector, span, spans);

	return result(s, sendmsg(s->fd, &message, MSG_NOSIGNAL), EPOLLOUT);
}

static int64_t receive_spans(struct vsock_stream *s, const struct span *span,
			     unsigned int spans)
{
	struct iovec vector[VECTORS];
	struct msghdr message = message_of(vector, span, spans);

	return result(s, recvmsg(s->fd, &message, 0), EPOLLIN);
}

static void end_send(struct vsock_stream *s)
{
	shutdown(s->fd, SHUT_WR);
}

static void end_receive(struct vsock_stream *s)
{
	shutdown(s->fd, SHUT_RD);
}

static void close_stream(struct vsock_stream *s)
{
	struct vsock_unix *u = s->host;

	pthread_mutex_lock(&u->lock);
	drop(s);
	pthread_mutex_unlock(&u->lock);
}

static const struct vsock_host_ops unix_ops = {
	.event = next_event,
	.connect = connect_stream,
	.take = take,
	.established = established,
	.send = send_spans,
	.receive = receive_spans,
	.end_send = end_send,
	.end_receive = end_receive,
	.close = close_stream,
};

/* --- callers; held: the lock ---------------------------------------------------- */

/* "CONNECT 1234": the number. */
static bool parse(const char *line, uint32_t *port)
{
	static const char word[] = "CONNECT ";
	const char *digits = line + sizeof(word) - 1;
	unsigned long long value;

	if (strncmp(line, word, sizeof(word) - 1) || !*digits ||
	    strspn(digits, "0123456789") != strlen(digits))
		return false;
	value = strtoull(digits, NULL, 10);
	*port = (uint32_t)value;
	return value < UINT32_MAX;
}

/*
 * Takes no byte beyond the line: they are the guest's. 1: the line is there,
 * 0: not yet, -1: it is none.
 */
static int read_line(struct vsock_stream *s)
{
	char *to = s->line + s->line_size, *end;
	ssize_t n = recv(s->fd, to, LINE_MAX - s->line_size, MSG_PEEK);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	end = memchr(to, '\n', (size_t)n);
	if (end)
		n = end - to + 1;
	if (recv(s->fd, to, (size_t)n, 0) != n)
		return -1;
	s->line_size += (unsigned int)n;
	if (end)
		*end = '\0';
	else if (s->line_size == LINE_MAX)
		return -1;
	return end ? 1 : 0;
}

static void caller_ready(struct vsock_stream *s)
{
	int rc = read_line(s);

	if (!rc && !watch(s, EPOLL_CTL_MOD, EPOLLIN))
		return;
	if (rc <= 0 || !parse(s->line, &s->port)) {
		drop(s);
		return;
	}
	s->host->callers--;
	s->state = STREAM_OFFERED;
	tell(s);
}

static void caller_came(struct vsock_unix *u)
{
	int fd = accept4(u->listener.fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (u->callers == CALLERS_MAX)
		close(fd);
	else if (add(u, fd, STREAM_CALLS, EPOLLIN))
		u->callers++;
}

/* --- the loop -------------------------------------------------------------------- */

static void handle(struct vsock_unix *u, const struct epoll_event *event)
{
	struct vsock_stream *s;

	if (event->data.u64 == LISTENER) {
		caller_came(u);
		return;
	}
	s = by_name(u, event->data.u64);
	if (!s)
		return;
	if (s->state == STREAM_CALLS) {
		caller_ready(s);
		return;
	}
	s->wants = 0;
	s->hung |= !!(event->events & (EPOLLHUP | EPOLLERR));
	if (!s->hung)
		watch(s, EPOLL_CTL_MOD, 0);
	tell(s);
}

static void ready(void *ctx, uint32_t events)
{
	struct epoll_event event[EVENTS];
	struct vsock_unix *u = ctx;
	int n = epoll_wait(u->epoll, event, EVENTS, 0);
	bool news;

	pthread_mutex_lock(&u->lock);
	for (int i = 0; i < n; i++)
		handle(u, &event[i]);
	news = u->news;
	pthread_mutex_unlock(&u->lock);
	if (news)
		vsock_poke(u->device);
}

int vsock_unix_open(struct vsock_unix **out, const char *path,
		    struct vmm_error *error)
{
	struct vsock_unix *u = calloc(1, sizeof(*u));

	*out = NULL;
	if (!u)
		return vmm_error_set(error, "out of memory");
	u->host.ops = &unix_ops;
	u->listener.fd = -1;
	pthread_mutex_init(&u->lock, NULL);
	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (u->epoll < 0)
		vmm_error_set(error, "vsock socket: %s", strerror(errno));
	else if (path && strlen(path) > VSOCK_PATH_MAX)
		vmm_error_set(error, "vsock socket %s: give a path of %d "
			      "characters at most", path, VSOCK_PATH_MAX);
	else if (!path || !unix_socket_listen(&u->listener, "vsock socket",
					      path, error)) {
		*out = u;
		return 0;
	}
	vsock_unix_close(u);
	return -1;
}

struct vsock_host *vsock_unix_host(struct vsock_unix *u)
{
	return &u->host;
}

int vsock_unix_start(struct vsock_unix *u, struct loop *loop,
		     struct virtio_vsock *device)
{
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.u64 = LISTENER,
	};
	int rc;

	u->device = device;
	if (u->listener.fd >= 0 &&
	    epoll_ctl(u->epoll, EPOLL_CTL_ADD, u->listener.fd, &event))
		return -errno;
	rc = loop_add(loop, u->epoll, LOOP_READ, ready, u);
	if (!rc)
		u->loop = loop;
	return rc;
}

int vsock_unix_call(struct vsock_unix *u, uint32_t port)
{
	struct vsock_stream *s;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	pthread_mutex_lock(&u->lock);
	s = add(u, pair[0], STREAM_OFFERED, 0);
	if (s) {
		s->port = port;
		tell(s);
	}
	pthread_mutex_unlock(&u->lock);
	if (s) {
		vsock_poke(u->device);
		return pair[1];
	}
	close(pair[1]);
	return -EAGAIN;
}

void vsock_unix_close(struct vsock_unix *u)
{
	if (!u)
		return;
	if (u->loop)
		loop_remove(u->loop, u->epoll);
	for (unsigned int i = 0; i < STREAMS; i++)
		if (u->stream[i].state != STREAM_FREE)
			drop(&u->stream[i]);
	unix_socket_close(&u->listener);
	if (u->epoll >= 0)
		close(u->epoll);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
