/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host for the socket device whose streams are memory: tests put bytes in
 * on one side and see what came on the other. Each takes no more than a test
 * says it has room for.
 */
#ifndef LODGE_TEST_FAKE_STREAMS_H
#define LODGE_TEST_FAKE_STREAMS_H

#include "virtio/vsock.h"

#define STREAMS_MAX  1100
#define STREAM_BYTES 400000

struct vsock_stream {
	struct fake_streams *all;
	bool open, news, hung, broken;
	void *connection;
	uint32_t port; /* of an offer; of the host, of one that came */
	uint32_t established; /* 0: not */
	bool ended_send, ended_receive;
	const uint8_t *in; /* for the guest */
	size_t in_left;
	bool in_ends; /* after that */
	size_t room; /* for bytes of the guest's */
	size_t took;
	uint8_t *out; /* what they were; NULL: nobody looks */
};

struct fake_streams {
	struct vsock_host host;
	uint32_t listens; /* port of the host that does; 0: none */
	unsigned int opened, closed;
	struct vsock_stream stream[STREAMS_MAX];
};

/* Nobody listens, nothing is open. */
void fake_streams_init(struct fake_streams *all);

/* A new stream of the host's for a port of the guest. */
struct vsock_stream *fake_streams_offer(struct fake_streams *all,
					uint32_t port);

/* Bytes for the guest, kept by the caller; `ends`: no more follow. */
void fake_stream_put(struct vsock_stream *stream, const void *data,
		     size_t size, bool ends);

/* It has room for so many more. */
void fake_stream_make_room(struct vsock_stream *stream, size_t room);

/* The other side is gone. */
void fake_stream_hang_up(struct vsock_stream *stream);

#endif
