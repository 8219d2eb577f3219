/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small CD images: a volume with some files in its root folder, by ECMA-119
 * (ISO 9660) with their names in Rock Ridge (SUSP 1.12: SP, ER; RRIP 1.09: PX,
 * NM). Left out: folders, Joliet, files that are larger than 4 GiB, times.
 */
#ifndef LODGE_IMAGE_ISO_H
#define LODGE_IMAGE_ISO_H

#include <stddef.h>

#define ISO_FILES_MAX 8

struct iso_file {
	const char *name;  /* at most 64 characters */
	const char *short_name; /* ECMA-119's: "USER_DAT.;1" */
	const void *data;
	size_t size;
};

/*
 * The image of a volume called `label`, in capitals or not, that says it is of
 * `application`. The files stand in the order of their short names. To be
 * freed; NULL: no memory.
 */
void *iso_make(const char *label, const char *application,
	       const struct iso_file *files, size_t count, size_t *size);

#endif
