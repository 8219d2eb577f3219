/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A build without io_uring; see ring.h.
 */
#include "disk/ring.h"

#include <errno.h>
#include <stddef.h>

int disk_ring_open(struct disk_ring **ring, int fd, int locked)
{
	*ring = NULL;
	return -ENOSYS;
}

void disk_ring_close(struct disk_ring *ring)
{
}

void disk_ring_submit(struct disk_ring *ring, struct disk_io *io)
{
	io->error = -EAGAIN;
	io->done(io);
}
