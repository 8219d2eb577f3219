/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the control socket, between a client and the machine. Whole
 * lines go to the machine, after they were read for what they ask; what the
 * machine answers goes on as it comes, with its descriptors.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/passing.h"
#include "vmm/control/control.h"
#include "vmm/sandbox/broker_impl.h"

#define LINES (CONTROL_CLIENTS_MAX + 8)

/* One way. */
struct way {
	int from, to;
	bool ended; /* nothing more comes */
	int fd;	    /* goes with the next byte; -1: none */
	size_t used;
	char bytes[CONTROL_LINE_MAX];
};

struct line {
	int client, machine; /* -1: free */
	size_t read;	     /* of what goes to the machine: bytes to pass */
	struct way in, out;
};

struct relay {
	struct grants *grants;
	struct line *line[LINES];
	/* What relay_poll() has said. */
	struct line *polled[LINES];
	size_t count;
};

struct relay *relay_new(struct grants *grants)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (relay)
		relay->grants = grants;
	return relay;
}

/* --- one way --------------------------------------------------------------------- */

static bool take(struct way *way)
{
	const size_t room = sizeof(way->bytes) - way->used;
	ssize_t n;

	if (!room || way->fd >= 0)
		return true;
	n = passing_receive(way->from, way->bytes + way->used, room, &way->fd,
			    MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	way->used += (size_t)n;
	way->ended = !n;
	return true;
}

/* The first `length` bytes, as far as they are taken. */
static bool give(struct way *way, size_t length)
{
	const struct iovec bytes = { way->bytes, length };
	ssize_t n;

	if (!length)
		return true;
	n = passing_send(way->to, &bytes, 1, way->fd, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (way->fd >= 0)
		close(way->fd);
	way->fd = -1;
	way->used -= (size_t)n;
	memmove(way->bytes, way->bytes + n, way->used);
	return true;
}

/* --- a connection ----------------------------------------------------------------- */

static void drop(struct line *line)
{
	close(line->client);
	close(line->machine);
	if (line->in.fd >= 0)
		close(line->in.fd);
	if (line->out.fd >= 0)
		close(line->out.fd);
	free(line);
}

/* Whole lines behind what was read already; one that is too long goes on as
 * it is, to be refused. */
static void read_lines(struct relay *relay, struct line *line)
{
	struct way *in = &line->in;
	char *end;

	while ((end = memchr(in->bytes + line->read, '\n',
			     in->used - line->read))) {
		const size_t length =
			(size_t)(end - in->bytes) - line->read;

		grants_take_request(relay->grants, in->bytes + line->read,
				    length);
		line->read += length + 1;
	}
	if (in->used == sizeof(in->bytes) && !line->read)
		line->read = in->used;
	if (in->ended)
		line->read = in->used;
}

/* False: it is over. */
static bool move(struct relay *relay, struct line *line)
{
	const size_t before = line->in.used;

	if (!take(&line->in) || !take(&line->out))
		return false;
	if (line->in.used != before || line->in.ended)
		read_lines(relay, line);
	if (line->read) {
		const size_t had = line->in.used;

		if (!give(&line->in, line->read))
			return false;
		line->read -= had - line->in.used;
	}
	if (!give(&line->out, line->out.used))
		return false;
	if (line->in.ended && !line->in.used)
		shutdown(line->machine, SHUT_WR);
	return !line->out.ended || line->out.used;
}

/*
 * The machine, or this broker in its place, would be granted what it asks for
 * itself.
 */
static bool is_own(int client)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) ||
	       peer.pid == getppid() || peer.pid == getpid();
}

int relay_accept(struct relay *relay, int listener)
{
	struct line **place = NULL, *line;
	int ends[2], client;

	for (size_t i = 0; i < LINES && !place; i++)
		if (!relay->line[i])
			place = &relay->line[i];
	client = accept4(listener, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client < 0)
		return -errno;
	line = place && !is_own(client) ? calloc(1, sizeof(*line)) : NULL;
	if (!line || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
					SOCK_NONBLOCK, 0, ends)) {
		free(line);
		close(client);
		return -ECONNABORTED;
	}
	line->client = client;
	line->machine = ends[0];
	line->in = (struct way){ .from = client, .to = ends[0], .fd = -1 };
	line->out = (struct way){ .from = ends[0], .to = client, .fd = -1 };
	*place = line;
	return ends[1];
}

/* --- all ------------------------------------------------------------------------- */

static short events_of(const struct way *from, size_t waiting)
{
	short events = waiting ? POLLOUT : 0;

	if (!from->ended && from->used < sizeof(from->bytes) && from->fd < 0)
		events |= POLLIN;
	return events;
}

size_t relay_poll(struct relay *relay, struct pollfd *fd, size_t room)
{
	size_t count = 0;

	relay->count = 0;
	for (size_t i = 0; i < LINES && count + 2 <= room; i++) {
		struct line *line = relay->line[i];

		if (!line)
			continue;
		relay->polled[relay->count++] = line;
		fd[count++] = (struct pollfd){
			line->client,
			events_of(&line->in, line->out.used), 0 };
		fd[count++] = (struct pollfd){
			line->machine,
			events_of(&line->out, line->read), 0 };
	}
	return count;
}

void relay_serve(struct relay *relay, const struct pollfd *fd)
{
	for (size_t i = 0; i < relay->count; i++) {
		struct line *line = relay->polled[i];

		if (!fd[2 * i].revents && !fd[2 * i + 1].revents)
			continue;
		if (move(relay, line) &&
		    !(fd[2 * i].revents & POLLHUP && line->in.ended &&
		      !line->in.used))
			continue;
		for (size_t n = 0; n < LINES; n++)
			if (relay->line[n] == line)
				relay->line[n] = NULL;
		drop(line);
	}
}
