/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use an image: one process that writes, or any number that read. Held
 * by the open file, gone with it. QEMU's tools see these locks and we see
 * theirs.
 */
#ifndef LODGE_DISK_LOCK_H
#define LODGE_DISK_LOCK_H

#include <stdbool.h>

#include "disk/error.h"

/* -EBUSY: the error names the holder when it can be found. Who has the lock of
 * a reader may take a writer's: then it has either of them. */
int disk_lock(int fd, bool readonly, struct disk_error *error);

#endif
