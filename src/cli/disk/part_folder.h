/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an image is made that has its own name in it or is several files: a
 * folder PATH.part, in which it is called as it will be. Its files get their
 * names beside the folder when it is whole, the image's own last.
 */
#ifndef LODGE_CLI_DISK_PART_FOLDER_H
#define LODGE_CLI_DISK_PART_FOLDER_H

#include <limits.h>

struct part_folder {
	int fd;		      /* locks it; -1: there is none */
	char path[PATH_MAX];  /* of the folder */
	char image[PATH_MAX]; /* in it */
};

/*
 * Makes it for `target`; what one that was killed left is taken away first.
 * Negative errno; -EBUSY: another process is making it.
 */
int part_folder_make(struct part_folder *part, const char *target);

/* Gives the files their names, -EEXIST when one is taken, and removes the
 * folder. The image is closed. */
int part_folder_keep(struct part_folder *part);

/* Takes away what one that was killed left, if anything. */
void part_folder_clear(const char *target);

/* Removes the folder with all that is in it. */
void part_folder_remove(struct part_folder *part);

#endif
