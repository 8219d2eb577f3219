/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums of files (SHA-256 and SHA-512, FIPS 180-4) and the lists of them
 * that distributions publish.
 */
#ifndef LODGE_IMAGE_CHECKSUM_H
#define LODGE_IMAGE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>

#include "disk/job.h"

#define CHECKSUM_MAX (7 + 128 + 1) /* "sha512:" and the digits */

/* "sha256:HEX", "sha512:HEX" or HEX alone, as the first two; false. */
bool checksum_parse(const char *text, char checksum[CHECKSUM_MAX]);

/*
 * The checksum of file `name` in a list of them: lines "HEX  NAME" or "SHA256
 * (NAME) = HEX", or one HEX alone. False: it is not there.
 */
bool checksum_find(const char *list, const char *name,
		   char checksum[CHECKSUM_MAX]);

/* That of an open file, of the kind that `like` has. 0 or -errno. */
int checksum_file(int fd, const char *like, char checksum[CHECKSUM_MAX],
		  struct disk_job *job);

#endif
