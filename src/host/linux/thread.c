/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named threads; see thread.h.
 */
#include "host/linux/thread.h"

#include <signal.h>
#include <stdio.h>

#include "host/linux/jail.h"

/*
 * Plenty for a processor's thread. The usual 8 MiB get a huge page at the
 * first touch where the kernel gives them to all.
 */
#define STACK_SIZE (1u << 20)

static void *start(void *arg)
{
	struct thread *thread = arg;

	pthread_setname_np(pthread_self(), thread->name);
	jail_thread(thread->name);
	thread->run(thread->ctx);
	return NULL;
}

/* With signals blocked that are not a processor's or the sandbox's. */
static int create(struct thread *thread)
{
	const int open[] = { SIGSEGV, SIGBUS,  SIGILL,	    SIGFPE,
			     SIGTRAP, SIGUSR1, JAIL_SIGNAL };
	sigset_t blocked, before;
	pthread_attr_t attr;
	unsigned int i;
	int err;

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
	return err;
}

/* --- on behalf of others --------------------------------------------------------- */

/* One request at a time. */
static struct {
	pthread_mutex_t one, lock;
	pthread_cond_t change;
	struct thread own;
	struct thread *wanted; /* NULL: nobody asks */
	bool done;
	int err;
} starter = {
	.one = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.change = PTHREAD_COND_INITIALIZER,
};

static void starter_run(void *ctx)
{
	pthread_mutex_lock(&starter.lock);
	for (;;) {
		while (!starter.wanted)
			pthread_cond_wait(&starter.change, &starter.lock);
		starter.err = create(starter.wanted);
		starter.wanted = NULL;
		starter.done = true;
		pthread_cond_broadcast(&starter.change);
	}
}

int thread_starter_begin(void)
{
	return thread_start(&starter.own, "starter", starter_run, NULL);
}

static int ask_starter(struct thread *thread)
{
	int err;

	pthread_mutex_lock(&starter.one);
	pthread_mutex_lock(&starter.lock);
	starter.wanted = thread;
	starter.done = false;
	pthread_cond_broadcast(&starter.change);
	while (!starter.done)
		pthread_cond_wait(&starter.change, &starter.lock);
	err = starter.err;
	pthread_mutex_unlock(&starter.lock);
	pthread_mutex_unlock(&starter.one);
	return err;
}

int thread_start(struct thread *thread, const char *name,
		 void (*run)(void *ctx), void *ctx)
{
	int err;

	thread->run = run;
	thread->ctx = ctx;
	thread->started = false;
	snprintf(thread->name, sizeof(thread->name), "%s", name);
	err = jail_narrow() ? ask_starter(thread) : create(thread);
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
