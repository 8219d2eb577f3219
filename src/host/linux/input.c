/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides wait with EPOLLEXCLUSIVE (Linux 4.5). The kernel asks them in the
 * order in which they were added, and one that nobody sleeps on lets the next
 * be asked.
 */
#include "host/linux/input.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vm/host.h"

static int add(int poll, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };

	return epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int open_all(struct host_input *input)
{
	input->waiter = epoll_create1(EPOLL_CLOEXEC);
	input->rest = epoll_create1(EPOLL_CLOEXEC);
	input->wake = eventfd(0, EFD_CLOEXEC);
	return input->waiter < 0 || input->rest < 0 || input->wake < 0 ? -errno
								       : 0;
}

int host_input_open(struct host_input *input, int fd)
{
	int err = open_all(input);

	if (!err)
		err = add(input->waiter, input->wake, EPOLLIN);
	if (!err)
		err = add(input->waiter, fd, EPOLLIN | EPOLLEXCLUSIVE);
	/* By arrival: else the thread had no rest while a processor reads. */
	if (!err)
		err = add(input->rest, fd, EPOLLIN | EPOLLEXCLUSIVE | EPOLLET);
	if (err)
		host_input_close(input);
	return err;
}

void host_input_clear(struct host_input *input)
{
	struct epoll_event event;

	epoll_wait(input->rest, &event, 1, 0);
}

static void end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void host_input_close(struct host_input *input)
{
	end(&input->waiter);
	end(&input->rest);
	end(&input->wake);
}

void host_input_wait(struct host_input *input)
{
	struct epoll_event event;

	epoll_wait(input->waiter, &event, 1, -1);
}

void host_input_wake(struct host_input *input)
{
	const uint64_t one = 1;

	if (write(input->wake, &one, sizeof(one)) != sizeof(one))
		host_log(HOST_LOG_ERROR, "eventfd: %s", strerror(errno));
}

void host_input_woken(struct host_input *input)
{
	uint64_t wakes;

	if (read(input->wake, &wakes, sizeof(wakes)) != sizeof(wakes))
		host_log(HOST_LOG_ERROR, "eventfd: %s", strerror(errno));
}
