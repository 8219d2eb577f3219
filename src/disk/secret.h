/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passphrases from where the user keeps them: a file, or an open descriptor.
 */
#ifndef LODGE_DISK_SECRET_H
#define LODGE_DISK_SECRET_H

#include "disk/node.h"

/*
 * Reads `where`: a path, or fd:N. A newline at the end does not count. NULL
 * with `error`; disk_secret_free() forgets it.
 */
struct disk_secret *disk_secret_read(const char *where,
				     struct disk_error *error);

/* Those of `count` of them, a list. NULL with `error`. */
struct disk_secret *disk_secret_read_all(const char *const *where,
					 unsigned int count,
					 struct disk_error *error);

/* With those behind it. NULL is fine. */
void disk_secret_free(const struct disk_secret *secret);

#endif
