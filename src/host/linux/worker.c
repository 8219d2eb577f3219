/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: a thread each, with a list of work to do. Queueing is lock-free
 * and costs a system call only when the thread sleeps.
 */
#include "vm/host.h"

#include <errno.h>
#include <stdlib.h>

#include "host/linux/thread.h"

struct host_worker {
	struct thread thread;
	_Atomic(struct host_work *) fresh; /* newest first */
	struct host_event wake;
	_Atomic bool end;
};

/* Newest first to oldest first. */
static struct host_work *reversed(struct host_work *list)
{
	struct host_work *out = NULL;

	while (list) {
		struct host_work *next = list->next;

		list->next = out;
		out = list;
		list = next;
	}
	return out;
}

static void worker_run(void *ctx)
{
	struct host_worker *worker = ctx;
	struct host_work *work, *next;

	for (;;) {
		work = reversed(atomic_exchange(&worker->fresh, NULL));
		if (!work && atomic_load(&worker->end) &&
		    !atomic_load(&worker->fresh))
			return;
		if (!work)
			host_event_wait(&worker->wake, UINT64_MAX);
		for (; work; work = next) {
			next = work->next;
			atomic_store(&work->queued, false);
			work->run(work->ctx);
		}
	}
}

int host_worker_create(struct host_worker **out, const char *name)
{
	struct host_worker *worker = calloc(1, sizeof(*worker));
	int err;

	*out = NULL;
	if (!worker)
		return -ENOMEM;
	err = thread_start(&worker->thread, name, worker_run, worker);
	if (err) {
		free(worker);
		return err;
	}
	*out = worker;
	return 0;
}

void host_worker_destroy(struct host_worker *worker)
{
	if (!worker)
		return;
	atomic_store(&worker->end, true);
	host_event_set(&worker->wake);
	thread_join(&worker->thread);
	free(worker);
}

void host_work_queue(struct host_worker *worker, struct host_work *work)
{
	struct host_work *first;

	if (atomic_exchange(&work->queued, true))
		return;
	first = atomic_load(&worker->fresh);
	do
		work->next = first;
	while (!atomic_compare_exchange_weak(&worker->fresh, &first, work));
	host_event_set(&worker->wake);
}

static void wake_waiter(void *ctx)
{
	host_event_set(ctx);
}

void host_worker_wait(struct host_worker *worker)
{
	struct host_event done = { 0 };
	struct host_work last = { .run = wake_waiter, .ctx = &done };

	host_work_queue(worker, &last);
	host_event_wait(&done, UINT64_MAX);
}
