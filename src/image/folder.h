/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders as the store keeps things in: made aside under a name that begins
 * with a dot, with their maker's lock on them (flock), and renamed when all is
 * on the disk. One whose lock can be taken has lost its maker.
 */
#ifndef LODGE_IMAGE_FOLDER_H
#define LODGE_IMAGE_FOLDER_H

#include <stdint.h>

#include "disk/error.h"
#include "host/linux/data.h"

#define FOLDER_PATH_MAX DATA_PATH_MAX
#define FOLDER_DRAFT	".new-"
#define FOLDER_GONE	".old-"

/*
 * Makes a folder for a draft in `parent`, open and locked: the descriptor, or
 * -errno. Its name goes to `name`. A child that inherits the descriptor keeps
 * the lock for as long as it lives.
 */
int folder_draft(int parent, char name[32]);

/* All files of the open folder, then itself, to the disk. 0 or -errno. */
int folder_sync(int folder);

/*
 * Takes folder `name` with all that is in it away from `parent`: at once for
 * others, who see it under another name, or not at all, first. 0 or -errno.
 */
int folder_remove(int parent, const char *name);

/*
 * Clears away what dead makers left in `parent`; the number of folders, their
 * bytes added to *bytes.
 */
unsigned int folder_prune(int parent, uint64_t *bytes);

/* Bytes that the files of folder `name` take on the host. */
uint64_t folder_allocated(int parent, const char *name);

#endif
