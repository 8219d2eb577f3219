/* SPDX-License-Identifier: Apache-2.0 */
/* Where this program is, and the others that came with it. */
#ifndef LODGE_HOST_LINUX_PROGRAM_H
#define LODGE_HOST_LINUX_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

/* The folder that it is in, without a slash; false: the host does not say. */
bool program_folder(char folder[PATH_MAX]);

/* The program of that name beside it; false: there is none that can be run. */
bool program_beside(char path[PATH_MAX], const char *name);

#endif
