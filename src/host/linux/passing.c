/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/passing.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

ssize_t passing_send(int socket, const struct iovec *parts, size_t count,
		     int fd, int flags)
{
	union control control = {
		.header = { .cmsg_level = SOL_SOCKET,
			    .cmsg_type = SCM_RIGHTS,
			    .cmsg_len = CMSG_LEN(sizeof(int)) },
	};
	struct msghdr message = {
		.msg_iov = (struct iovec *)parts,
		.msg_iovlen = count,
	};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}

/* The padding behind one descriptor has room for another. */
static int take_first(const struct cmsghdr *rights)
{
	const size_t size = rights->cmsg_len - CMSG_LEN(0);
	int fd, first = -1;

	for (size_t at = 0; at + sizeof(fd) <= size; at += sizeof(fd)) {
		memcpy(&fd, CMSG_DATA(rights) + at, sizeof(fd));
		if (first < 0)
			first = fd;
		else
			close(fd);
	}
	return first;
}

ssize_t passing_receive(int socket, void *bytes, size_t size, int *fd,
			int flags)
{
	union control control;
	struct iovec part = { bytes, size };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *rights;
	ssize_t n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);

	*fd = -1;
	rights = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (rights && rights->cmsg_level == SOL_SOCKET &&
	    rights->cmsg_type == SCM_RIGHTS)
		*fd = take_first(rights);
	return n;
}
