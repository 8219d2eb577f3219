/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user protocol's messages (QEMU's docs/interop/vhost-user.rst), as
 * far as a front end without a guest's memory needs them: requests go to the
 * back end, some are answered. The back end is not believed: an answer has the
 * size and the name that was asked for, or the connection is over; descriptors
 * that come with it are never taken.
 */
#ifndef LODGE_NET_VHOST_MESSAGE_H
#define LODGE_NET_VHOST_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_NET_SET_MTU = 20,
};

#define VHOST_F_PROTOCOL (1ull << 30) /* of the features */

#define VHOST_PROTOCOL_MQ	 (1ull << 0)
#define VHOST_PROTOCOL_REPLY_ACK (1ull << 3)
#define VHOST_PROTOCOL_MTU	 (1ull << 4)

struct vhost_region {
	uint64_t guest, size, user, offset;
};

/* What a request or an answer carries; little-endian. */
union vhost_payload {
	uint64_t number;
	struct {
		uint32_t index, number;
	} state;
	struct {
		uint32_t index, flags;
		uint64_t desc, used, avail, log;
	} address;
	struct {
		uint32_t count, padding;
		struct vhost_region region[1];
	} memory;
};

/* A connection; whoever uses it gives up at `deadline`, or when woken. */
struct vhost_link {
	int fd;
	int wake;		/* readable: look at *ending; -1: none */
	const _Atomic bool *ending; /* NULL: never */
	uint64_t deadline;	/* ns, host_monotonic_ns() */
	bool acks;		/* the back end confirms what is asked to be */
};

/*
 * Sends a request of `size` bytes of payload, with descriptor `fd` (-1: none).
 * 0 or a negative errno.
 */
int vhost_send(struct vhost_link *link, enum vhost_request request,
	       const union vhost_payload *payload, uint32_t size, int fd);

/* The same, and waits until it is confirmed, where the back end does that. */
int vhost_send_sure(struct vhost_link *link, enum vhost_request request,
		    const union vhost_payload *payload, uint32_t size, int fd);

/*
 * Sends one whose answer has `size` bytes, and takes that. 0; -EPROTO: it is
 * none; or another negative errno.
 */
int vhost_ask(struct vhost_link *link, enum vhost_request request,
	      const union vhost_payload *question, uint32_t question_size,
	      union vhost_payload *answer, uint32_t size);

#endif
