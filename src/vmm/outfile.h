/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are written at the end of a run: checked before it, so that a
 * long run is not for nothing, and replaced as a whole.
 */
#ifndef LODGE_VMM_OUTFILE_H
#define LODGE_VMM_OUTFILE_H

#include <limits.h>
#include <stddef.h>

#include "vmm/error.h"

/*
 * Whether `path` can be written when the time comes, without leaving
 * anything there now. `what` names the file in messages. -1 with `error`.
 */
int outfile_check(const char *what, const char *path,
		  struct vmm_error *error);

/*
 * The file beside `path` that outfile_write() of this process makes, which
 * then takes its place. 0 or a negative errno.
 */
int outfile_aside(char aside[PATH_MAX], const char *path);

/* Writes the file, all of it or nothing new. -1 with `error`. */
int outfile_write(const char *what, const char *path, const char *text,
		  size_t size, struct vmm_error *error);

#endif
