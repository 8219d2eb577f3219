/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are written at the end of a run: opened before it, so that a
 * long run is not for nothing, and replaced as a whole. Where that cannot be any
 * more, since the broker that names files has been ended, the open one is
 * written.
 */
#ifndef LODGE_VMM_OUTFILE_H
#define LODGE_VMM_OUTFILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmm/error.h"

struct outfile {
	const char *what; /* in messages */
	const char *path; /* NULL: none is open */
	int fd;		  /* a regular file, or -1 */
	bool made;	  /* empty, and goes unless it is written */
};

/* A file that is there stays as it is until the end. -1 with `error`. */
int outfile_open(struct outfile *file, const char *what, const char *path,
		 struct vmm_error *error);

/*
 * The file beside `path` that outfile_write() of this process makes, which
 * then takes its place. 0 or a negative errno.
 */
int outfile_aside(char aside[PATH_MAX], const char *path);

/* Writes the file, all of it or nothing new. -1 with `error`. */
int outfile_write(struct outfile *file, const char *text, size_t size,
		  struct vmm_error *error);

void outfile_close(struct outfile *file);

#endif
