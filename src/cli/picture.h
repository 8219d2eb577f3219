/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures as PNG files (ISO/IEC 15948), by libpng: the extension "picture".
 */
#ifndef LODGE_CLI_PICTURE_H
#define LODGE_CLI_PICTURE_H

#define PICTURE_SIDE_MAX 16384u

/*
 * Writes the pixels in the file `fd`, 32 bits of 0x00rrggbb each in rows
 * without gaps, to `path`. 0 or a negative errno.
 */
typedef int picture_writer(const char *path, int fd, unsigned int width,
			   unsigned int height);

picture_writer picture_write;

#endif
