/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/poll_thread.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vm/host.h"

int poll_thread_open(struct poll_thread *poller)
{
	poller->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return poller->wake < 0 ? -errno : 0;
}

void poll_thread_start(struct poll_thread *poller, const char *name,
		       void (*run)(void *ctx), void *ctx)
{
	int err;

	if (poller->thread.started)
		return;
	err = thread_start(&poller->thread, name, run, ctx);
	if (err)
		host_log(HOST_LOG_ERROR, "%s: %s", name, strerror(-err));
}

void poll_thread_wake(struct poll_thread *poller)
{
	const uint64_t one = 1;

	if (write(poller->wake, &one, sizeof(one)) != sizeof(one))
		host_log(HOST_LOG_ERROR, "%s: eventfd: %s",
			 poller->thread.name, strerror(errno));
}

void poll_thread_clear(struct poll_thread *poller)
{
	uint64_t wakes;

	if (read(poller->wake, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
		host_log(HOST_LOG_ERROR, "%s: eventfd: %s",
			 poller->thread.name, strerror(errno));
}

void poll_thread_stop(struct poll_thread *poller)
{
	if (!poller->thread.started)
		return;
	atomic_store(&poller->ending, true);
	poll_thread_wake(poller);
	thread_join(&poller->thread);
	atomic_store(&poller->ending, false);
}

void poll_thread_close(struct poll_thread *poller)
{
	if (poller->wake >= 0)
		close(poller->wake);
	poller->wake = -1;
}
