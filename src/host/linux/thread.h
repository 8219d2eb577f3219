/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named threads. A thread starts with every signal blocked but the
 * synchronous ones (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP) and SIGUSR1,
 * which engines use to kick a processor out of the kernel: signals for the
 * process land on its main thread.
 */
#ifndef LODGE_HOST_LINUX_THREAD_H
#define LODGE_HOST_LINUX_THREAD_H

#include <pthread.h>
#include <stdbool.h>

struct thread {
	pthread_t id;
	bool started;
	void (*run)(void *ctx);
	void *ctx;
	char name[16]; /* the kernel's limit, NUL included */
};

/*
 * Runs run(ctx) in a new thread; `thread` stays in place until
 * thread_join(). 0 or a negative errno.
 */
int thread_start(struct thread *thread, const char *name,
		 void (*run)(void *ctx), void *ctx);

/*
 * From now on, threads that may do less than the process (host/linux/jail.h)
 * have others started by one that may do as much: a thread inherits what its
 * maker may. 0 or a negative errno.
 */
int thread_starter_begin(void);

/* Waits for its end. Nothing to do when it never started. */
void thread_join(struct thread *thread);

#endif
