/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that NBD servers export, by their addresses. The client is an
 * extension, since its libraries are large.
 */
#ifndef LODGE_DISK_NBD_ADDRESS_H
#define LODGE_DISK_NBD_ADDRESS_H

#include "disk/node.h"

/* Whether `path` is such an address: nbd://HOST[:PORT]/NAME, nbds://...,
 * nbd+unix:///NAME?socket=PATH (the NBD project's doc/uri.md). */
bool disk_nbd_is_address(const char *path);

/* Connects, as a leaf. -ENOTSUP: the extension is missing. */
int disk_nbd_open(struct disk_node **node, const struct disk_open *how,
		  struct disk_error *error);

#endif
