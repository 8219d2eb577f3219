/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of memory; see fake_streams.h.
 */
#include "fake_streams.h"

#include <string.h>

#include "vm/error.h"

static struct vsock_stream *add(struct fake_streams *all)
{
	for (unsigned int i = 0; i < STREAMS_MAX; i++) {
		struct vsock_stream *s = &all->stream[i];
		uint8_t *out = s->out;

		if (s->open)
			continue;
		memset(s, 0, sizeof(*s));
		s->all = all;
		s->out = out;
		s->open = true;
		s->room = STREAM_BYTES;
		all->opened++;
		return s;
	}
	return NULL;
}

static bool event(struct vsock_host *host, struct vsock_event *event)
{
	struct fake_streams *all = (struct fake_streams *)host;

	for (unsigned int i = 0; i < STREAMS_MAX; i++) {
		struct vsock_stream *s = &all->stream[i];

		if (!s->open || !s->news)
			continue;
		s->news = false;
		*event = (struct vsock_event){ s, s->connection, s->port,
					       s->hung };
		return true;
	}
	return false;
}

static struct vsock_stream *connect(struct vsock_host *host, uint32_t port,
				    void *connection)
{
	struct fake_streams *all = (struct fake_streams *)host;
	struct vsock_stream *s = port == all->listens ? add(all) : NULL;

	if (s) {
		s->connection = connection;
		s->port = port;
	}
	return s;
}

static void take(struct vsock_stream *s, void *connection)
{
	s->connection = connection;
}

static void established(struct vsock_stream *s, uint32_t port)
{
	s->established = port;
}

static int64_t send(struct vsock_stream *s, const struct span *span,
		    unsigned int spans)
{
	int64_t done = 0;

	if (s->broken || s->hung)
		return -32;
	for (unsigned int i = 0; i < spans; i++) {
		size_t part = span[i].size < s->room ? span[i].size : s->room;

		if (s->out && s->took + part <= STREAM_BYTES)
			memcpy(s->out + s->took, span[i].data, part);
		s->took += part;
		s->room -= part;
		done += (int64_t)part;
	}
	return done ? done : -VM_EAGAIN;
}

static int64_t receive(struct vsock_stream *s, const struct span *span,
		       unsigned int spans)
{
	int64_t done = 0;

	if (s->broken)
		return -104;
	for (unsigned int i = 0; i < spans && s->in_left; i++) {
		size_t part = span[i].size < s->in_left ? span[i].size
							: s->in_left;

		memcpy(span[i].data, s->in, part);
		s->in += part;
		s->in_left -= part;
		done += (int64_t)part;
	}
	if (done || s->in_ends || s->hung)
		return done;
	return -VM_EAGAIN;
}

static void end_send(struct vsock_stream *s)
{
	s->ended_send = true;
}

static void end_receive(struct vsock_stream *s)
{
	s->ended_receive = true;
}

static void close(struct vsock_stream *s)
{
	s->open = false;
	s->all->closed++;
}

static const struct vsock_host_ops ops = {
	.event = event,
	.connect = connect,
	.take = take,
	.established = established,
	.send = send,
	.receive = receive,
	.end_send = end_send,
	.end_receive = end_receive,
	.close = close,
};

void fake_streams_init(struct fake_streams *all)
{
	memset(all, 0, sizeof(*all));
	all->host.ops = &ops;
}

struct vsock_stream *fake_streams_offer(struct fake_streams *all,
					uint32_t port)
{
	struct vsock_stream *s = add(all);

	s->port = port;
	s->news = true;
	return s;
}

void fake_stream_put(struct vsock_stream *s, const void *data, size_t size,
		     bool ends)
{
	s->in = data;
	s->in_left = size;
	s->in_ends = ends;
	s->news = true;
}

void fake_stream_make_room(struct vsock_stream *s, size_t room)
{
	s->room += room;
	s->news = true;
}

void fake_stream_hang_up(struct vsock_stream *s)
{
	s->hung = true;
	s->news = true;
}
