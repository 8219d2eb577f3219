/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells regularly where a thread is: a timer of the thread's own sends it
 * SIGPROF, and the handler passes the interrupted address on.
 */
#ifndef LODGE_HOST_LINUX_SAMPLER_H
#define LODGE_HOST_LINUX_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct sampler {
	timer_t timer;
	bool started;
	void *stack; /* the handler's */
	size_t stack_size;
	void (*sample)(void *ctx, uintptr_t pc);
	void *ctx;
};

/*
 * Samples the calling thread `hz` times a second of real time, whether it
 * runs or sleeps, until sampler_stop() on the same thread. `sample` is called
 * in a signal handler. A negative errno.
 */
int sampler_start(struct sampler *sampler, unsigned int hz,
		  void (*sample)(void *ctx, uintptr_t pc), void *ctx);
void sampler_stop(struct sampler *sampler);

#endif
