/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named threads; see thread.h.
 */
#include "host/linux/thread.h"

#include <signal.h>
#include <stdio.h>

/*
 * Plenty for a processor's thread. The usual 8 MiB get a huge page at the
 * first touch where the kernel gives them to all.
 */
#define STACK_SIZE (1u << 20)

static void *start(void *arg)
{
	struct thread *thread = arg;

	pthread_setname_np(pthread_self(), thread->name);
	thread->run(thread->ctx);
	return NULL;
}

int thread_start(struct thread *thread, const char *name,
		 void (*run)(void *ctx), void *ctx)
{
	static const int open[] = { SIGSEGV, SIGBUS,  SIGILL,
				    SIGFPE,  SIGTRAP, SIGUSR1 };
	sigset_t blocked, before;
	pthread_attr_t attr;
	unsigned int i;
	int err;

	thread->run = run;
	thread->ctx = ctx;
	thread->started = false;
	snprintf(thread->name, sizeof(thread->name), "%s", name);

	sigfillset(&blocked);
	for (i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		sigdelset(&blocked, open[i]);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* The new thread inherits the mask: no moment without it. */
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	err = pthread_create(&thread->id, &attr, start, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (err)
		return -err;
	thread->started = true;
	return 0;
}

void thread_join(struct thread *thread)
{
	if (!thread->started)
		return;
	pthread_join(thread->id, NULL);
	thread->started = false;
}
