/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop on epoll(7), timerfd(2) and eventfd(2); see loop.h.
 *
 * A removed source stays in memory until the events that were fetched with it
 * are through, marked dead, so that a callback may remove any descriptor.
 */
#include "host/linux/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_MAX 32
#define NS_PER_S   1000000000u

struct source {
	int fd;
	uint32_t events; /* LOOP_* */
	bool plain;	 /* epoll does not take it: ready all the time */
	bool dead;
	void (*ready)(void *ctx, uint32_t events);
	void *ctx;
	struct source *next;
};

struct hook {
	void (*call)(void *ctx);
	void *ctx;
};

struct loop {
	int epoll;
	int timer;
	int wake;
	_Atomic bool woken;
	_Atomic bool stop;
	struct hook on_deadline;
	struct hook on_wake;
	struct source *first;
};

static void hook_call(const struct hook *hook)
{
	if (hook->call)
		hook->call(hook->ctx);
}

/* Empties a timerfd or eventfd; false when there was nothing in it. */
static bool drain(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void deadline_passed(void *ctx, uint32_t events)
{
	struct loop *loop = ctx;

	if (drain(loop->timer)) /* not if it was set anew meanwhile */
		hook_call(&loop->on_deadline);
}

static void woken(void *ctx, uint32_t events)
{
	struct loop *loop = ctx;

	drain(loop->wake);
	if (atomic_exchange(&loop->woken, false))
		hook_call(&loop->on_wake);
}

int loop_create(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int err;

	*out = NULL;
	if (!loop)
		return -ENOMEM;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->timer =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll < 0 || loop->timer < 0 || loop->wake < 0) {
		err = -errno;
		goto destroy;
	}
	err = loop_add(loop, loop->timer, LOOP_READ, deadline_passed, loop);
	if (!err)
		err = loop_add(loop, loop->wake, LOOP_READ, woken, loop);
	if (err)
		goto destroy;
	*out = loop;
	return 0;

destroy:
	loop_destroy(loop);
	return err;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->first) {
		struct source *source = loop->first;

		loop->first = source->next;
		free(source);
	}
	if (loop->wake >= 0)
		close(loop->wake);
	if (loop->timer >= 0)
		close(loop->timer);
	if (loop->epoll >= 0)
		close(loop->epoll);
	free(loop);
}

static struct source *find(struct loop *loop, int fd)
{
	struct source *s = loop->first;

	while (s && (s->dead || s->fd != fd))
		s = s->next;
	return s;
}

static int control(struct loop *loop, int operation, struct source *source)
{
	struct epoll_event event = { .data.ptr = source };

	if (source->events & LOOP_READ)
		event.events |= EPOLLIN;
	if (source->events & LOOP_WRITE)
		event.events |= EPOLLOUT;
	return epoll_ctl(loop->epoll, operation, source->fd, &event) ? -errno
								     : 0;
}

int loop_add(struct loop *loop, int fd, uint32_t events,
	     void (*ready)(void *ctx, uint32_t events), void *ctx)
{
	struct source *source;
	int err;

	if (find(loop, fd))
		return -EEXIST;
	source = calloc(1, sizeof(*source));
	if (!source)
		return -ENOMEM;
	source->fd = fd;
	source->events = events;
	source->ready = ready;
	source->ctx = ctx;
	err = control(loop, EPOLL_CTL_ADD, source);
	if (err == -EPERM) {
		source->plain = true;
		err = 0;
	}
	if (err) {
		free(source);
		return err;
	}
	source->next = loop->first;
	loop->first = source;
	return 0;
}

int loop_change(struct loop *loop, int fd, uint32_t events)
{
	struct source *source = find(loop, fd);

	if (!source)
		return -ENOENT;
	source->events = events;
	return source->plain ? 0 : control(loop, EPOLL_CTL_MOD, source);
}

int loop_remove(struct loop *loop, int fd)
{
	struct source *source = find(loop, fd);

	if (!source)
		return -ENOENT;
	source->dead = true;
	if (!source->plain)
		control(loop, EPOLL_CTL_DEL, source);
	return 0;
}

void loop_on_deadline(struct loop *loop, void (*passed)(void *ctx), void *ctx)
{
	loop->on_deadline = (struct hook){ .call = passed, .ctx = ctx };
}

void loop_on_wake(struct loop *loop, void (*call)(void *ctx), void *ctx)
{
	loop->on_wake = (struct hook){ .call = call, .ctx = ctx };
}

void loop_set_deadline(struct loop *loop, uint64_t host_ns)
{
	struct itimerspec when = { 0 }; /* all zero: disarms */

	if (host_ns != UINT64_MAX) {
		host_ns = host_ns ? host_ns : 1;
		when.it_value.tv_sec = (time_t)(host_ns / NS_PER_S);
		when.it_value.tv_nsec = (long)(host_ns % NS_PER_S);
	}
	timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void ring(struct loop *loop)
{
	int before = errno; /* we may be in a signal handler */
	uint64_t one = 1;
	ssize_t n = write(loop->wake, &one, sizeof(one));

	(void)n; /* full: then it is ringing already */
	errno = before;
}

void loop_wake(struct loop *loop)
{
	atomic_store(&loop->woken, true);
	ring(loop);
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	ring(loop);
}

/* Frees what was removed; true when a plain source wants to be called. */
static bool sweep(struct loop *loop)
{
	struct source **at = &loop->first;
	bool plain = false;

	while (*at) {
		struct source *source = *at;

		if (source->dead) {
			*at = source->next;
			free(source);
			continue;
		}
		plain |= source->plain && source->events;
		at = &source->next;
	}
	return plain;
}

static void call_plain(struct loop *loop)
{
	struct source *source;

	for (source = loop->first; source; source = source->next)
		if (source->plain && source->events && !source->dead)
			source->ready(source->ctx, source->events);
}

static void call_ready(const struct epoll_event *event)
{
	struct source *source = event->data.ptr;
	uint32_t events = 0;

	if (event->events & EPOLLIN)
		events |= LOOP_READ;
	if (event->events & EPOLLOUT)
		events |= LOOP_WRITE;
	if (event->events & (EPOLLHUP | EPOLLERR))
		events |= LOOP_HUP;
	if (!source->dead)
		source->ready(source->ctx, events);
}

/* Waits `ms` (-1: as long as it takes) and calls what is ready. */
static int pass(struct loop *loop, int ms)
{
	struct epoll_event events[EVENTS_MAX];
	bool plain = sweep(loop);
	int n = epoll_wait(loop->epoll, events, EVENTS_MAX, plain ? 0 : ms);

	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++)
		call_ready(&events[i]);
	if (plain)
		call_plain(loop);
	return 0;
}

int loop_descriptor(const struct loop *loop)
{
	return loop->epoll;
}

int loop_step(struct loop *loop)
{
	return pass(loop, 0);
}

int loop_run(struct loop *loop)
{
	int rc = 0;

	while (!rc && !atomic_exchange(&loop->stop, false))
		rc = pass(loop, -1);
	return rc;
}
