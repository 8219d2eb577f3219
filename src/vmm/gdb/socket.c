/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GDB stub's socket; see socket.h. While an answer waits for the
 * debugger to read it, nothing more is read from it.
 */
#include "vmm/gdb/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/listener.h"

#define OUT_MAX	 (1u << 20)
#define READ_MAX 4096u

struct gdb_socket {
	struct gdb *gdb;
	struct loop *loop;
	struct listener listener;
	int peer; /* -1: none */
	bool closing; /* when all is sent */
	bool writing; /* the loop watches for room */
	size_t out_size;
	char out[OUT_MAX];
};

/* --- the connection ---------------------------------------------------------- */

static void drop_peer(struct gdb_socket *s)
{
	if (s->peer < 0)
		return;
	if (s->loop)
		loop_remove(s->loop, s->peer);
	close(s->peer);
	s->peer = -1;
	s->out_size = 0;
	s->closing = s->writing = false;
}

static void flush(struct gdb_socket *s)
{
	bool rest;

	while (s->out_size) {
		ssize_t n = send(s->peer, s->out, s->out_size,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			s->out_size = 0; /* reading will find the end */
		if (n <= 0)
			break;
		s->out_size -= (size_t)n;
		memmove(s->out, s->out + n, s->out_size);
	}
	rest = s->out_size;
	if (s->loop && rest != s->writing)
		loop_change(s->loop, s->peer, rest ? LOOP_WRITE : LOOP_READ);
	s->writing = rest;
}

static void send_bytes(void *ctx, const char *data, size_t size)
{
	struct gdb_socket *s = ctx;

	if (s->peer < 0)
		return;
	if (size > OUT_MAX - s->out_size) {
		s->closing = true;
		return;
	}
	memcpy(s->out + s->out_size, data, size);
	s->out_size += size;
	flush(s);
}

static void close_when_sent(void *ctx)
{
	((struct gdb_socket *)ctx)->closing = true;
}

static void peer_ready(void *ctx, uint32_t events)
{
	struct gdb_socket *s = ctx;
	char data[READ_MAX];
	ssize_t n = 1;

	if (s->writing) {
		flush(s);
		if (events & LOOP_HUP)
			n = 0;
	} else if (!gdb_may_receive(s->gdb)) {
		return;
	} else {
		n = recv(s->peer, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0)
			gdb_receive(s->gdb, data, (size_t)n);
	}
	if (n <= 0 || (s->closing && !s->out_size)) {
		drop_peer(s);
		gdb_disconnected(s->gdb);
	}
}

static void listener_ready(void *ctx, uint32_t events)
{
	struct gdb_socket *s = ctx;
	int fd, one = 1;

	if (!gdb_may_receive(s->gdb))
		return;
	fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (s->peer >= 0 ||
	    loop_add(s->loop, fd, LOOP_READ, peer_ready, s)) {
		close(fd);
		return;
	}
	/* Fails for Unix sockets, which do not wait anyway. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->peer = fd;
	gdb_connected(s->gdb);
}

/* --- listening ---------------------------------------------------------------- */

static void tell_where(const struct gdb_socket *s)
{
	char name[LISTENER_NAME_MAX];

	listener_name(&s->listener, name);
	fprintf(stderr, "lodge: gdb: target remote %s\n", name);
}

int gdb_socket_open(struct gdb_socket **out, const char *where,
		    struct vmm_error *error)
{
	struct gdb_socket *s = calloc(1, sizeof(*s));
	struct gdb_send send = { send_bytes, close_when_sent, s };
	int rc;

	*out = s;
	if (!s)
		return vmm_error_set(error, "gdb: out of memory");
	s->listener = (struct listener)LISTENER_NONE;
	s->peer = -1;
	s->gdb = gdb_create(&send);
	if (!s->gdb)
		rc = vmm_error_set(error, "gdb: out of memory");
	else
		rc = listener_open(&s->listener, "gdb", where, 1, error);
	if (rc) {
		gdb_socket_close(s);
		*out = NULL;
	}
	return rc;
}

int gdb_socket_start(struct gdb_socket *s, struct loop *loop,
		     struct vmm_error *error)
{
	int rc = loop_add(loop, s->listener.fd, LOOP_READ, listener_ready, s);

	if (rc)
		return vmm_error_set(error, "gdb: %s", strerror(-rc));
	s->loop = loop;
	tell_where(s);
	return 0;
}

void gdb_socket_close(struct gdb_socket *s)
{
	if (!s)
		return;
	drop_peer(s);
	if (s->loop)
		loop_remove(s->loop, s->listener.fd);
	listener_close(&s->listener);
	gdb_destroy(s->gdb);
	free(s);
}

struct gdb *gdb_socket_gdb(struct gdb_socket *s)
{
	return s->gdb;
}
