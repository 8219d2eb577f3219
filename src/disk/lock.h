/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use an image: one process that writes, or any number that read. Held
 * by the open file, gone with it. QEMU's tools see these locks and we see
 * theirs.
 */
#ifndef LODGE_DISK_LOCK_H
#define LODGE_DISK_LOCK_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "disk/error.h"

/* -EBUSY: the error names the holder when it can be found. Who has the lock of
 * a reader may take a writer's: then it has either of them. */
int disk_lock(int fd, bool readonly, struct disk_error *error);

/*
 * A process that has the file locked, `own` only when it is no other, and its
 * command line, or the begin of that; 0: none is found.
 */
#define LOCK_WORDS 60
pid_t lock_find_holder(const struct stat *file, pid_t own,
		       char words[LOCK_WORDS]);

/* In a sandbox nobody's processes are to be seen: its broker is asked, with
 * the number of a descriptor, and answers with a file: "PID WORDS". */
#define LOCK_VERB "holder"

#endif
