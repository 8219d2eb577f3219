/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that servers have: fetched, checked, unpacked, put into the store.
 * What came of a file stays in the store's downloads/ until all of it is
 * there, so that a pull that was ended goes on there.
 */
#ifndef LODGE_IMAGE_FETCH_H
#define LODGE_IMAGE_FETCH_H

#include "disk/job.h"
#include "image/checksum.h"
#include "image/store.h"

#define FETCH_SIZE_MAX	   ((uint64_t)64 << 30)	 /* of a download */
#define FETCH_UNPACKED_MAX ((uint64_t)256 << 30) /* of what is in it */

/* An entry of the catalogue, or what the command line says. */
struct fetch_source {
	char name[IMAGE_NAME_MAX + 1];
	char title[128];
	char url[1024];
	char sums[1024];	     /* list of checksums; "": none */
	char checksum[CHECKSUM_MAX]; /* "": by the list */
	char format[16];	     /* raw, qcow2 */
	bool guessed;		     /* the format, by the URL's ending */
	char firmware[8];
};

/* Reads a catalogue, a JSON list; free() it. The number, or -1, `error`. */
int fetch_catalogue(const char *path, struct fetch_source **list,
		    struct disk_error *error);

struct fetch {
	const struct fetch_source *source;
	const char *name;     /* of the image */
	bool replace;
	unsigned int stall; /* seconds */
	/* Called before each step that takes long and after it. */
	void (*step)(void *ctx, const char *what, struct disk_job *job);
	void *ctx;
};

/* 0, or -1 with `error`. */
int fetch_image(struct store *store, const struct fetch *fetch,
		struct disk_error *error);

/* Forgets what came of downloads that nobody works on: their bytes. */
uint64_t fetch_prune(struct store *store);

#endif
