/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures as PNG files (ISO/IEC 15948), by libpng. */
#ifndef LODGE_CLI_PNG_H
#define LODGE_CLI_PNG_H

#define PNG_SIDE_MAX 16384u

/*
 * Writes the pixels in the file `fd`, 32 bits of 0x00rrggbb each in rows
 * without gaps, to `path`. 0 or a negative errno.
 */
int png_write(const char *path, int fd, unsigned int width,
	      unsigned int height);

#endif
