/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/frame.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- numbers --------------------------------------------------------------- */

static uint64_t get(const uint8_t *at, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

static void put(uint8_t *at, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++, value >>= 8)
		at[i] = (uint8_t)value;
}

uint16_t frame_get16(const uint8_t *at)
{
	return (uint16_t)get(at, 2);
}

uint32_t frame_get32(const uint8_t *at)
{
	return (uint32_t)get(at, 4);
}

uint64_t frame_get64(const uint8_t *at)
{
	return get(at, 8);
}

void frame_put16(uint8_t *at, uint16_t value)
{
	put(at, value, 2);
}

void frame_put32(uint8_t *at, uint32_t value)
{
	put(at, value, 4);
}

void frame_put64(uint8_t *at, uint64_t value)
{
	put(at, value, 8);
}

/* --- receiving ------------------------------------------------------------- */

long frame_fill(struct frame_in *in, int fd)
{
	ssize_t n;

	if (in->start == in->used)
		in->start = in->used = 0;
	/* Little is left to move, or there is no room behind it. */
	if (in->start > sizeof(in->bytes) / 2 ||
	    (in->start && in->used == sizeof(in->bytes))) {
		in->used -= in->start;
		memmove(in->bytes, in->bytes + in->start, in->used);
		in->start = 0;
	}
	do
		n = read(fd, in->bytes + in->used,
			 sizeof(in->bytes) - in->used);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		in->used += (uint32_t)n;
	return n < 0 ? -errno : n;
}

int frame_next(struct frame_in *in, struct frame *frame)
{
	const uint8_t *at = in->bytes + in->start;
	uint32_t used = in->used - in->start, word;

	if (used < AGENT_FRAME_HEAD)
		return 0;
	word = frame_get32(at);
	if (word >> 8 > AGENT_FRAME_MAX)
		return -EPROTO;
	if (used - AGENT_FRAME_HEAD < word >> 8)
		return 0;
	*frame = (struct frame){
		.type = (uint8_t)word,
		.size = word >> 8,
		.data = at + AGENT_FRAME_HEAD,
	};
	in->start += AGENT_FRAME_HEAD + frame->size;
	return 1;
}

static void wait_for(int fd, short events)
{
	struct pollfd ready = { .fd = fd, .events = events };

	poll(&ready, 1, -1);
}

/* frame_fill() that waits; 0 at the end. */
static long fill(struct frame_in *in, int fd)
{
	long n = frame_fill(in, fd);

	while (n == -EAGAIN) {
		wait_for(fd, POLLIN);
		n = frame_fill(in, fd);
	}
	return n;
}

int frame_wait(struct frame_in *in, int fd, struct frame *frame)
{
	int rc;

	while (!(rc = frame_next(in, frame))) {
		long n = fill(in, fd);

		if (n <= 0)
			return (int)n;
	}
	return rc;
}

int frame_expect(struct frame_in *in, int fd, const char *bytes, size_t size)
{
	while (in->used - in->start < size) {
		long n = fill(in, fd);

		if (n <= 0)
			return n ? (int)n : -ECONNRESET;
	}
	if (memcmp(in->bytes + in->start, bytes, size))
		return -EPROTO;
	in->start += (uint32_t)size;
	return 0;
}

/* --- sending --------------------------------------------------------------- */

uint32_t frame_room(const struct frame_out *out)
{
	size_t room = sizeof(out->bytes) - (out->used - out->start);

	return room > AGENT_FRAME_HEAD ? (uint32_t)room - AGENT_FRAME_HEAD : 0;
}

bool frame_put(struct frame_out *out, uint8_t type, const void *data,
	       uint32_t size)
{
	if (size > AGENT_FRAME_MAX || size > frame_room(out) ||
	    !frame_room(out))
		return false;
	if (sizeof(out->bytes) - out->used < AGENT_FRAME_HEAD + size) {
		out->used -= out->start;
		memmove(out->bytes, out->bytes + out->start, out->used);
		out->start = 0;
	}
	frame_put32(out->bytes + out->used, size << 8 | type);
	if (size)
		memcpy(out->bytes + out->used + AGENT_FRAME_HEAD, data, size);
	out->used += AGENT_FRAME_HEAD + size;
	return true;
}

int frame_flush(struct frame_out *out, int fd)
{
	while (out->start < out->used) {
		ssize_t n = send(fd, out->bytes + out->start,
				 out->used - out->start,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		out->start += (uint32_t)n;
	}
	out->start = out->used = 0;
	return 0;
}

int frame_send(int fd, uint8_t type, const void *data, uint32_t size)
{
	uint8_t head[AGENT_FRAME_HEAD];
	struct iovec part[2] = {
		{ head, sizeof(head) },
		{ (void *)(uintptr_t)data, size },
	};
	struct msghdr message = { .msg_iov = part, .msg_iovlen = 2 };

	frame_put32(head, size << 8 | type);
	while (part[0].iov_len + part[1].iov_len) {
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			wait_for(fd, POLLOUT);
		else if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < 2 && n > 0; i++) {
			size_t done = (size_t)n < part[i].iov_len ?
					      (size_t)n : part[i].iov_len;

			part[i].iov_base = (char *)part[i].iov_base + done;
			part[i].iov_len -= done;
			n -= (ssize_t)done;
		}
	}
	return 0;
}

int frame_send_failure(int fd, int error, const char *format, ...)
{
	uint8_t data[4 + AGENT_TEXT_MAX];
	va_list args;
	int length;

	frame_put32(data, (uint32_t)error);
	va_start(args, format);
	length = vsnprintf((char *)data + 4, AGENT_TEXT_MAX, format, args);
	va_end(args);
	if (length >= AGENT_TEXT_MAX)
		length = AGENT_TEXT_MAX - 1;
	return frame_send(fd, AGENT_FAILED, data, 4 + (uint32_t)length);
}
