/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes over a Unix socket with a descriptor beside them (unix(7),
 * SCM_RIGHTS).
 */
#ifndef LODGE_HOST_LINUX_PASSING_H
#define LODGE_HOST_LINUX_PASSING_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * One sendmsg(2) with its flags and MSG_NOSIGNAL. `fd` goes with the first
 * byte; -1: none.
 */
ssize_t passing_send(int socket, const struct iovec *parts, size_t count,
		     int fd, int flags);

/*
 * One recvmsg(2) with its flags. What came beside the bytes is in *fd, closed
 * by exec, else -1: of several the first, the others are closed.
 */
ssize_t passing_receive(int socket, void *bytes, size_t size, int *fd,
			int flags);

#endif
