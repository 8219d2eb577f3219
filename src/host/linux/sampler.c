/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples of a thread by timer_create(2) with SIGEV_THREAD_ID. The handler
 * has a stack of its own (sigaltstack(2)): generated code may use rsp as it
 * likes. The kernel saves and restores all registers around it, vector
 * registers too, whose size decides that of the stack.
 */
#include "host/linux/sampler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <ucontext.h>
#include <unistd.h>

#define NS_PER_S     1000000000u
#define HANDLER_ROOM 16384u /* for the handler beside the saved registers */

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void on_timer(int number, siginfo_t *info, void *context)
{
	const ucontext_t *interrupted = context;
	struct sampler *sampler = info->si_value.sival_ptr;
	int saved = errno;

	/* Another sender's signal has no sampler. */
	if (info->si_code == SI_TIMER)
		sampler->sample(sampler->ctx,
				(uintptr_t)interrupted->uc_mcontext
					.gregs[REG_RIP]);
	errno = saved;
}

/* Blocks SIGPROF on the calling thread, or lets it come. */
static void mask_signal(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(how, &set, NULL);
}

static int set_handler(void)
{
	struct sigaction action = {
		.sa_sigaction = on_timer,
		.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK,
	};

	return sigaction(SIGPROF, &action, NULL) ? -errno : 0;
}

static int set_stack(struct sampler *sampler)
{
	stack_t stack = { 0 };

	sampler->stack_size = getauxval(AT_MINSIGSTKSZ) + HANDLER_ROOM;
	sampler->stack = malloc(sampler->stack_size);
	if (!sampler->stack)
		return -ENOMEM;
	stack.ss_sp = sampler->stack;
	stack.ss_size = sampler->stack_size;
	return sigaltstack(&stack, NULL) ? -errno : 0;
}

static int set_timer(struct sampler *sampler, unsigned int hz)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGPROF,
		.sigev_value.sival_ptr = sampler,
	};
	struct itimerspec every = { 0 };

	every.it_interval.tv_sec = NS_PER_S / hz / NS_PER_S;
	every.it_interval.tv_nsec = NS_PER_S / hz % NS_PER_S;
	every.it_value = every.it_interval;
	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &sampler->timer))
		return -errno;
	sampler->started = true;
	return timer_settime(sampler->timer, 0, &every, NULL) ? -errno : 0;
}

int sampler_start(struct sampler *sampler, unsigned int hz,
		  void (*sample)(void *ctx, uintptr_t pc), void *ctx)
{
	int err;

	*sampler = (struct sampler){ .sample = sample, .ctx = ctx };
	err = set_handler();
	if (!err)
		err = set_stack(sampler);
	if (!err)
		err = set_timer(sampler, hz);
	if (err)
		sampler_stop(sampler);
	else
		mask_signal(SIG_UNBLOCK);
	return err;
}

void sampler_stop(struct sampler *sampler)
{
	const stack_t none = { .ss_flags = SS_DISABLE };
	const struct timespec at_once = { 0 };
	sigset_t set;

	mask_signal(SIG_BLOCK);
	if (sampler->started)
		timer_delete(sampler->timer);
	sampler->started = false;
	/* One that waits still would name this sampler. */
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	while (sigtimedwait(&set, NULL, &at_once) > 0)
		continue;
	if (sampler->stack)
		sigaltstack(&none, NULL);
	free(sampler->stack);
	sampler->stack = NULL;
}
