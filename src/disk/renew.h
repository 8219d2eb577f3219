/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small file made anew in the place of an old one: whatever happens
 * meanwhile, there is the one or the other. A kill in between may leave a file
 * .NAME.lodge beside it, which the next one takes away.
 */
#ifndef LODGE_DISK_RENEW_H
#define LODGE_DISK_RENEW_H

#include <stddef.h>

/*
 * The file `path`, open as `old`, has these bytes from now on, the old one's
 * owner and mode, and is on the disk. A descriptor of it, locked for one that
 * writes, or a negative errno.
 */
int disk_renew(const char *path, int old, const void *bytes, size_t size);

#endif
