/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that a recipe makes: a program of guests/ that leaves disk.raw,
 * kernel, initrd and facts in the folder that it is given.
 */
#ifndef LODGE_IMAGE_BUILD_H
#define LODGE_IMAGE_BUILD_H

#include "image/store.h"

#define BUILD_SIZE_MIN ((uint64_t)2 << 30)
#define BUILD_SIZE_MAX ((uint64_t)1 << 44)

struct build {
	const char *name;     /* of the image */
	const char *recipe;   /* the program's path */
	const char *source;   /* for the record: "build debian bookworm" */
	const char *suite;    /* of the distribution */
	const char *packages; /* more of them, with commas between; "" */
	const char *agent;    /* lodge-agent's path; NULL: it gets none */
	uint64_t size;	      /* of the disk, a multiple of 1 MiB */
	bool replace;
};

/*
 * Makes the image. The recipe writes its progress, and why it failed, to our
 * standard output and error. 0; 1: it failed and told why, or was stopped; -1
 * with `error`. Nothing is left of a failure.
 */
int build_image(struct store *store, const struct build *build,
		struct disk_error *error);

#endif
