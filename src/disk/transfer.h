/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers of a file that wait in the kernel until they are over.
 */
#ifndef LODGE_DISK_TRANSFER_H
#define LODGE_DISK_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "disk/vec.h"

#define DISK_SPANS_AT_ONCE 256

/* The next of a vec's memory, `length` bytes at most, as iovecs, of which there
 * are DISK_SPANS_AT_ONCE; how many it took. */
int disk_iov(struct iovec *iov, struct disk_vec vec, uint64_t length);

/* All of it, in as many calls as it takes: 0 or a negative errno. */
int disk_transfer(int fd, uint64_t offset, uint64_t length,
		  struct disk_vec vec, bool write);

#endif
