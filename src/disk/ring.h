/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file's transfers by io_uring: one thread begins and ends them all, those
 * that are there at once in one system call.
 */
#ifndef LODGE_DISK_RING_H
#define LODGE_DISK_RING_H

#include "disk/driver.h"

struct disk_ring;

/*
 * For transfers of `fd`. A negative errno where the kernel or the build has no
 * io_uring: then threads are to do it. The locks on the open file `locked`
 * last until nothing is under way, also when the process is killed.
 */
int disk_ring_open(struct disk_ring **ring, int fd, int locked);

/* Nothing is under way. NULL is fine. */
void disk_ring_close(struct disk_ring *ring);

/*
 * Begins io, whose spans are its length, and whose `next` is the ring's until
 * it ends: with -EAGAIN if it came to a part only. Any thread.
 *
 * With `begun` it is not to wait for anything but the disk, or ends with
 * -EAGAIN or -EOPNOTSUPP; begun() comes once it is under way, and not over
 * yet: nothing stops it from then on. `begun` is NULL after that.
 */
void disk_ring_submit(struct disk_ring *ring, struct disk_io *io);

#endif
