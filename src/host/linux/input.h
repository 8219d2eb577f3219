/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor whose input a halted processor waits for itself (struct
 * host_watch), or else a thread. Each arrival wakes one of them alone: the
 * processor if it sleeps in host_event_watch(), and nobody but the thread
 * otherwise.
 */
#ifndef LODGE_HOST_LINUX_INPUT_H
#define LODGE_HOST_LINUX_INPUT_H

struct host_input {
	int waiter; /* epoll(7) of the processor's: descriptor and `wake` */
	int wake;   /* eventfd(2): the processor's event was set */
	int rest;   /* for the thread to poll(2): arrivals that woke nobody */
};

#define HOST_INPUT_NONE ((struct host_input){ -1, -1, -1 })

/* Of `fd`, which outlives it. 0, or a negative errno. */
int host_input_open(struct host_input *input, int fd);

/* On the thread, before it reads all there is: what `rest` has told is old. */
void host_input_clear(struct host_input *input);

/* When no processor waits for it any more. Of HOST_INPUT_NONE: nothing. */
void host_input_close(struct host_input *input);

/* --- for lock.c ---------------------------------------------------------------- */

/* Until there is input, or host_input_wake(). */
void host_input_wait(struct host_input *input);

/* Another thread: once for each wait at most. */
void host_input_wake(struct host_input *input);

/* Who waited, and was or is being woken: nothing of that is left. */
void host_input_woken(struct host_input *input);

#endif
