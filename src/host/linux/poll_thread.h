/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that waits in poll(2), with an eventfd(2) among what it waits for:
 * by that it is woken to look around, or to end.
 */
#ifndef LODGE_HOST_LINUX_POLL_THREAD_H
#define LODGE_HOST_LINUX_POLL_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "host/linux/thread.h"

struct poll_thread {
	struct thread thread;
	int wake;	     /* to be polled for input; -1: not open */
	_Atomic bool ending; /* whoever runs is to return */
};

/* The descriptor alone; nothing runs. 0, or a negative errno. */
int poll_thread_open(struct poll_thread *poller);

/*
 * Runs run(ctx), as thread_start() does; nothing to do when it runs. What
 * fails is logged.
 */
void poll_thread_start(struct poll_thread *poller, const char *name,
		       void (*run)(void *ctx), void *ctx);

/* Any thread. */
void poll_thread_wake(struct poll_thread *poller);

/* On the thread: takes back all wake-ups so far. */
void poll_thread_clear(struct poll_thread *poller);

/* Waits for its end; it may be started again. Nothing to do when none runs. */
void poll_thread_stop(struct poll_thread *poller);

/* After poll_thread_stop(). Nothing to do when it was not opened. */
void poll_thread_close(struct poll_thread *poller);

#endif
