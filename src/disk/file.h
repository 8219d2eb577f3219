/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leaf that most images stand on: a file or block device of the host.
 */
#ifndef LODGE_DISK_FILE_H
#define LODGE_DISK_FILE_H

#include "disk/node.h"

/* Opens and locks how->path; how->format and below are not looked at. */
int disk_file_open(struct disk_node **node, const struct disk_open *how,
		   struct disk_error *error);

/* An empty one in memory, as sparse as a file, which is gone with its close. */
int disk_memory_open(struct disk_node **node, struct disk_error *error);

/*
 * A new, empty file that is to be `path`, where nothing may be yet. It has no
 * name until disk_file_keep(), and closed without that it is gone; on file
 * systems that cannot do this it has its name from the start.
 */
int disk_file_make(struct disk_node **node, const char *path,
		   struct disk_error *error);

/*
 * Gives it its name. Nothing is flushed: an empty image has nothing to lose,
 * and the first flush of what is written to it makes all of it safe.
 */
int disk_file_keep(struct disk_node *node, struct disk_error *error);

/*
 * The file of a writable node has these bytes from now on, and is on the disk:
 * whatever happens meanwhile, under its name is the old one or the new one.
 * For small files; what else is in the folder is on the disk, too. -ENOTSUP:
 * it is no file.
 */
int disk_file_replace(struct disk_node *node, const void *bytes, size_t size);

#endif
