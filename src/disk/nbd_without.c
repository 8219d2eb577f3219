/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NBD exports in a program that was built without libnbd.
 */
#include <errno.h>
#include <string.h>

#include "disk/nbd_client.h"

bool disk_nbd_is_address(const char *path)
{
	return !strncmp(path, "nbd", 3) && strstr(path, "://");
}

int disk_nbd_open(struct disk_node **node, const struct disk_open *how,
		  struct disk_error *error)
{
	*node = NULL;
	return disk_error_set(error, -ENOTSUP, "this lodge was built without "
			      "libnbd; build it with -Dnbd=enabled");
}
