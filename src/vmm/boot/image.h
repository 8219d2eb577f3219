/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that the guest boots from: kernel, initrd or multiboot module,
 * mapped rather than read, so that a large one costs nothing until used.
 */
#ifndef LODGE_VMM_BOOT_IMAGE_H
#define LODGE_VMM_BOOT_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/error.h"

struct image {
	const char *path;
	const uint8_t *data; /* NULL: none */
	uint64_t size;
	int fd; /* of a mapped image */
};

/*
 * Maps `path`; `what` ("kernel") names its part in the error. It keeps both
 * strings. -1 with `error`: missing, unreadable, no regular file, empty.
 */
int image_open(struct image *image, const char *what, const char *path,
	       struct vmm_error *error);

/*
 * Maps pages of the image again, writable and private, over the page-aligned
 * memory at `to`: true when [from, from + size) lies in this image.
 */
bool image_map(const struct image *image, void *to, const void *from,
	       uint64_t size);

/* Lets go of the pages that reading the image brought in; it stays mapped. */
void image_forget(const struct image *image);

/* Nothing to do for a zeroed or failed image. */
void image_close(struct image *image);

/*
 * Whether the file is still as large as it was, so that it can be loaded
 * again: reading a mapping beyond the end of its file is fatal.
 */
int image_check(const struct image *image, struct vmm_error *error);

/*
 * Refuses a file that is no ISO 9660 image (ECMA-119, 8.1). What cannot be read
 * at all is left to whoever opens it.
 */
int image_check_iso(const char *path, struct vmm_error *error);

/*
 * Refuses a Linux initrd that the kernel could not unpack, as far as its
 * frames tell without decompressing: neither cpio nor a compression that
 * Linux knows, or cut short.
 */
int image_check_initrd(const struct image *image, struct vmm_error *error);

#endif
