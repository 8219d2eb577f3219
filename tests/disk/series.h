/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test of many points in images of all kinds, each kind in a process of its
 * own: options, folders, figures.
 *
 *	--kinds NAME,...  those only
 *	--points N        of each kind (60)
 *	--seed N          of the first image (the time)
 *	--jobs N          kinds at once (as many as there are processors)
 *	--qemu N          of so many points one is shown to qemu-img; 0: none (20)
 *	--keep FOLDER     for images that are not good
 */
#ifndef LODGE_DISK_SERIES_H
#define LODGE_DISK_SERIES_H

#include "trial.h"

struct series_settings {
	const char *kinds, *keep;
	uint64_t points, seed;
	unsigned int qemu, jobs;
};

struct series {
	const struct series_settings *settings;
	const struct trial_kind *kind;
	char folder[64];
	bool has_qemu;
	uint64_t points, images, looks; /* so far */
};

/* Whether this point is to be shown to qemu-img; counts it. */
bool series_shows(struct series *series);

/* Removes a folder's files. */
void series_empty(const char *folder);

/*
 * main(): calls `image` with each kind's series until it has its points or
 * that is false: the test failed, and told stderr. `what` the points are.
 */
int series_main(int argc, char **argv, const char *what,
		bool (*image)(struct series *series));

#endif
