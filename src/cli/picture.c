/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures as PNG files, through libpng's simplified interface.
 */
#include "cli/picture.h"

#include <errno.h>
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* From 0x00rrggbb to three bytes. */
static uint8_t *rgb_of(const uint32_t *pixels, size_t count)
{
	uint8_t *rgb = malloc(count * 3);

	for (size_t i = 0; rgb && i < count; i++) {
		rgb[3 * i] = (uint8_t)(pixels[i] >> 16);
		rgb[3 * i + 1] = (uint8_t)(pixels[i] >> 8);
		rgb[3 * i + 2] = (uint8_t)pixels[i];
	}
	return rgb;
}

static int write_rgb(const char *path, const uint8_t *rgb, unsigned int width,
		     unsigned int height)
{
	png_image image = {
		.version = PNG_IMAGE_VERSION,
		.width = width,
		.height = height,
		.format = PNG_FORMAT_RGB,
	};
	FILE *file = fopen(path, "we");
	int rc = 0;

	if (!file)
		return -errno;
	errno = 0;
	if (!png_image_write_to_stdio(&image, file, 0, rgb, 0, NULL))
		rc = errno ? -errno : -EIO;
	png_image_free(&image);
	if (fclose(file) && !rc)
		rc = -errno;
	if (rc)
		remove(path);
	return rc;
}

int picture_write(const char *path, int fd, unsigned int width,
		  unsigned int height)
{
	size_t count = (size_t)width * height;
	size_t size = count * sizeof(uint32_t);
	struct stat st;
	uint32_t *pixels;
	uint8_t *rgb;
	int rc = -ENOMEM;

	if (fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size < size)
		return -EPROTO;
	pixels = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (pixels == MAP_FAILED)
		return -errno;
	rgb = rgb_of(pixels, count);
	if (rgb)
		rc = write_rgb(path, rgb, width, height);
	free(rgb);
	munmap(pixels, size);
	return rc;
}
