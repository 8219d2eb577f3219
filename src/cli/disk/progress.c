/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bar for long work, and its end by Ctrl-C. A program that runs us, lodged,
 * may have it as lines "DONE TOTAL WHAT" instead, on the descriptor that
 * LODGE_PROGRESS names.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/bar.h"
#include "cli/disk/tool.h"
#include "host/linux/signals.h"
#include "host/linux/thread.h"
#include "vm/host.h"

#define REDRAW_MS  100
#define WATCH_NS   1000000000u
#define QUIET_NS   300000000u /* work this short shows no bar */

struct progress {
	struct disk_job *job;
	const char *what;
	void (*watch)(void *ctx);
	void *ctx;
	uint64_t start, watched;
	int signals, quit[2], lines; /* lines: -1: none */
	bool bar, shown;
	sigset_t before;
	struct thread thread;
};

static void draw(struct progress *p, uint64_t now)
{
	uint64_t total = atomic_load(&p->job->total);
	uint64_t done = atomic_load(&p->job->done);

	if (!total || now - p->start < QUIET_NS)
		return;
	bar_draw(p->what, done < total ? done : total, total,
		 (double)(now - p->start) / 1e9);
	p->shown = true;
}

static void follow(void *ctx)
{
	struct progress *p = ctx;
	struct pollfd fds[2] = { { .fd = p->quit[0], .events = POLLIN },
				 { .fd = p->signals, .events = POLLIN } };

	for (;;) {
		int ready = poll(fds, 2, REDRAW_MS);
		uint64_t now = host_monotonic_ns();

		if (ready > 0 && fds[0].revents)
			break;
		if (ready > 0 && fds[1].revents)
			atomic_store(&p->job->cancel, true);
		if (p->bar)
			draw(p, now);
		else if (p->lines >= 0)
			dprintf(p->lines, "%llu %llu %s\n",
				(unsigned long long)atomic_load(&p->job->done),
				(unsigned long long)atomic_load(
					&p->job->total),
				p->what);
		if (p->watch && now - p->watched >= WATCH_NS) {
			p->watched = now;
			p->watch(p->ctx);
		}
	}
	if (p->shown)
		bar_clear();
}

struct progress *progress_begin(struct disk_job *job, const char *what,
				void (*watch)(void *ctx), void *ctx)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct progress){ .job = job, .what = what, .watch = watch,
				.ctx = ctx, .quit = { -1, -1 } };
	p->start = p->watched = host_monotonic_ns();
	p->bar = bar_wanted();
	p->lines = getenv("LODGE_PROGRESS") ? atoi(getenv("LODGE_PROGRESS")) :
					      -1;
	p->signals = signals_open(NULL, &p->before);
	if (p->signals < 0 || pipe2(p->quit, O_CLOEXEC) ||
	    thread_start(&p->thread, "progress", follow, p)) {
		progress_end(p);
		return NULL;
	}
	return p;
}

void progress_end(struct progress *p)
{
	struct signalfd_siginfo info;

	if (!p)
		return;
	if (p->quit[1] >= 0)
		close(p->quit[1]); /* the other end hangs up */
	thread_join(&p->thread);
	if (p->quit[0] >= 0)
		close(p->quit[0]);
	/* Too late to interrupt: the work is over. */
	while (p->signals >= 0 &&
	       read(p->signals, &info, sizeof(info)) == sizeof(info))
		;
	if (p->signals >= 0)
		close(p->signals);
	pthread_sigmask(SIG_SETMASK, &p->before, NULL);
	free(p);
}
