/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of an image: the file image.json in its folder.
 */
#ifndef LODGE_IMAGE_RECORD_H
#define LODGE_IMAGE_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/error.h"

#define IMAGE_NAME_MAX 63

/* Strings that are not known are empty. */
struct image_record {
	char name[IMAGE_NAME_MAX + 1];
	char system[128]; /* "Debian GNU/Linux 12 (bookworm)" */
	char disk[32];	  /* files in its folder */
	char kernel[32], initrd[32];
	char format[16];     /* of the disk */
	uint64_t size;	     /* of the disk, as its guest sees it */
	char append[512];    /* for the kernel: where the root is */
	char firmware[8];    /* that boots it: "bios", "uefi" or "any" */
	char source[1024];   /* what it was made from: a URL, a path */
	char checksum[160];  /* of what was downloaded: "sha256:..." */
	int64_t created;     /* seconds since 1970 */
};

/* 1 to 63 letters, digits and - _ . with no . or - at its start. */
bool image_name_valid(const char *name);

/* A new object; NULL: no memory, or a string is not UTF-8. */
json_t *image_record_pack(const struct image_record *record);

/* Believes nothing: -1 with `error` when it is no record. */
int image_record_unpack(struct image_record *record, const json_t *json,
			struct disk_error *error);

/* The same from and to a file of an open folder. 0 or -1 with `error`. */
int image_record_read(struct image_record *record, int folder,
		      struct disk_error *error);
int image_record_write(const struct image_record *record, int folder,
		       struct disk_error *error);

#endif
