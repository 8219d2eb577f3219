/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leaf that is another host's: an export of an NBD server.
 */
#ifndef LODGE_DISK_NBD_CLIENT_H
#define LODGE_DISK_NBD_CLIENT_H

#include "disk/node.h"

/* Whether `path` is such a server's address: nbd://HOST[:PORT]/NAME,
 * nbds://..., nbd+unix:///NAME?socket=PATH (the NBD project's doc/uri.md). */
bool disk_nbd_is_address(const char *path);

/* Connects; -ENOTSUP when the program was built without libnbd. */
int disk_nbd_open(struct disk_node **node, const struct disk_open *how,
		  struct disk_error *error);

#endif
