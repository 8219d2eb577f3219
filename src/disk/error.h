/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something could not be done with an image, as one line for the user:
 * what is wrong and where it helps the mend. The image is named by the caller,
 * who knows what the user calls it; other images (a backing file) by the line.
 */
#ifndef LODGE_DISK_ERROR_H
#define LODGE_DISK_ERROR_H

struct disk_error {
	char text[320];
};

/* Fills `error`, which may be NULL; gives `code`, a negative errno. */
int disk_error_set(struct disk_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
