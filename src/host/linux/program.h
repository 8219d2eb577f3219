/* SPDX-License-Identifier: Apache-2.0 */
/* Where this program is, and the others that came with it. */
#ifndef LODGE_HOST_LINUX_PROGRAM_H
#define LODGE_HOST_LINUX_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The file `name` of a folder that is named from this program's own ("": that
 * one) or by its whole path. False: the host does not say where this program
 * is, or it does not fit.
 */
bool program_path(char *path, size_t size, const char *folder,
		  const char *name);

/* The program of that name beside it; false: there is none that can be run. */
bool program_beside(char path[PATH_MAX], const char *name);

#endif
