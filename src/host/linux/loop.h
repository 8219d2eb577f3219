/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a process that serves a VM: file descriptors, one
 * deadline, and wake-ups from other threads. One thread runs it; callbacks
 * run on that thread, one at a time, and must not block.
 *
 * Only loop_set_deadline(), loop_wake() and loop_stop() may be called from
 * other threads, and the last two from signal handlers as well.
 */
#ifndef LODGE_HOST_LINUX_LOOP_H
#define LODGE_HOST_LINUX_LOOP_H

#include <stdint.h>

struct loop;

/* What a descriptor is watched for, and what it is ready for. */
#define LOOP_READ  0x1u
#define LOOP_WRITE 0x2u
#define LOOP_HUP   0x4u /* told always: hang-up or error */

/* 0 or a negative errno; *loop is NULL on error. */
int loop_create(struct loop **loop);

/* Forgets all descriptors (closes none of them). NULL is fine. */
void loop_destroy(struct loop *loop);

/*
 * Calls `ready` each time that `fd` is ready for some of `events` (level
 * triggered). Regular files and /dev/null, which epoll refuses, count as
 * ready all the time. A descriptor is watched once: -EEXIST. The owner
 * removes it before closing it.
 */
int loop_add(struct loop *loop, int fd, uint32_t events,
	     void (*ready)(void *ctx, uint32_t events), void *ctx);

/* Watches for `events` from now on (0: for LOOP_HUP alone). -ENOENT. */
int loop_change(struct loop *loop, int fd, uint32_t events);

/* No callback for `fd` starts after this; callable from one. -ENOENT. */
int loop_remove(struct loop *loop, int fd);

/* What to call when the deadline has passed, and after loop_wake(). */
void loop_on_deadline(struct loop *loop, void (*passed)(void *ctx), void *ctx);
void loop_on_wake(struct loop *loop, void (*woken)(void *ctx), void *ctx);

/*
 * Sets the one deadline, in host_monotonic_ns() time; a past one passes at
 * once, UINT64_MAX means none. It passes once, then is none. Any thread.
 */
void loop_set_deadline(struct loop *loop, uint64_t host_ns);

/* Calls the on_wake callback soon; several wakes may become one call. */
void loop_wake(struct loop *loop);

/* Runs until loop_stop(): 0, or a negative errno when waiting failed. */
int loop_run(struct loop *loop);

/*
 * For a loop inside of another: a descriptor that is ready for reading when
 * there is something to do, and a pass that does it without waiting. The
 * negative errno of loop_run().
 */
int loop_descriptor(const struct loop *loop);
int loop_step(struct loop *loop);

/* Makes the running, or else the next, loop_run() return soon. */
void loop_stop(struct loop *loop);

#endif
