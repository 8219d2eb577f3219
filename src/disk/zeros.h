/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LODGE_DISK_ZEROS_H
#define LODGE_DISK_ZEROS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Whether there is nothing but zeros. */
static inline bool disk_all_zeros(const void *buf, size_t size)
{
	const unsigned char *bytes = buf;

	return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

#endif
