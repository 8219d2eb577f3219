/* SPDX-License-Identifier: Apache-2.0 */
#include "net/vhost/message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "host/linux/passing.h"
#include "vm/host.h"

#define VERSION	   1u
#define IS_ANSWER  4u
#define WANTS_ACK  8u
#define NS_PER_MS  1000000u

struct header {
	uint32_t request, flags, size;
};

/* Until it has something to say. */
static int wait_for(const struct vhost_link *link)
{
	struct pollfd fd[] = { { .fd = link->fd, .events = POLLIN },
			       { .fd = link->wake, .events = POLLIN } };

	for (;;) {
		uint64_t now = host_monotonic_ns();

		if (link->ending && atomic_load(link->ending))
			return -ECANCELED;
		if (now >= link->deadline)
			return -ETIMEDOUT;
		if (poll(fd, 2, (int)((link->deadline - now) / NS_PER_MS) +
					1) > 0 && fd[0].revents)
			return 0;
		/* It was woken for something else: that waits. */
		if (fd[1].revents &&
		    !(link->ending && atomic_load(link->ending)))
			fd[1].fd = -1;
	}
}

static int receive(const struct vhost_link *link, void *to, size_t size)
{
	uint8_t *at = to;

	while (size) {
		/* Without room for them descriptors are closed as they come. */
		ssize_t n = recv(link->fd, at, size, MSG_DONTWAIT);
		int err;

		if (!n)
			return -ECONNRESET;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		err = wait_for(link);
		if (err)
			return err;
	}
	return 0;
}

static int send_message(struct vhost_link *link, enum vhost_request request,
			uint32_t flags, const union vhost_payload *payload,
			uint32_t size, int fd)
{
	struct header header = { (uint32_t)request, VERSION | flags, size };
	const struct iovec part[] = { { &header, sizeof(header) },
				{ (void *)payload, size } };
	ssize_t n;

	n = passing_send(link->fd, part, size ? 2 : 1, fd, MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	/* One who lets so little pile up reads none of it. */
	return n == (ssize_t)(sizeof(header) + size) ? 0 : -EPROTO;
}

static int take_answer(const struct vhost_link *link,
		       enum vhost_request request, union vhost_payload *answer,
		       uint32_t size)
{
	struct header header;
	int err = receive(link, &header, sizeof(header));

	if (err)
		return err;
	if (header.request != request || header.size != size ||
	    (header.flags & 3) != VERSION || !(header.flags & IS_ANSWER))
		return -EPROTO;
	return receive(link, answer, size);
}

int vhost_send(struct vhost_link *link, enum vhost_request request,
	       const union vhost_payload *payload, uint32_t size, int fd)
{
	return send_message(link, request, 0, payload, size, fd);
}

int vhost_send_sure(struct vhost_link *link, enum vhost_request request,
		    const union vhost_payload *payload, uint32_t size, int fd)
{
	union vhost_payload answer;
	int err = send_message(link, request, link->acks ? WANTS_ACK : 0,
			       payload, size, fd);

	if (err || !link->acks)
		return err;
	err = take_answer(link, request, &answer, sizeof(answer.number));
	return err ? err : answer.number ? -EIO : 0;
}

int vhost_ask(struct vhost_link *link, enum vhost_request request,
	      const union vhost_payload *question, uint32_t question_size,
	      union vhost_payload *answer, uint32_t size)
{
	int err = send_message(link, request, 0, question, question_size, -1);

	return err ? err : take_answer(link, request, answer, size);
}
