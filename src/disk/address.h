/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that are no files but a server's or a cluster's, by their addresses.
 * Each kind is an extension, since its libraries are large.
 */
#ifndef LODGE_DISK_ADDRESS_H
#define LODGE_DISK_ADDRESS_H

#include "disk/node.h"

/*
 * Whether `path` is such an address: nbd://HOST[:PORT]/NAME, nbds://...,
 * nbd+unix:///NAME?socket=PATH (the NBD project's doc/uri.md), or
 * rbd:POOL/IMAGE and more (disk/rbd/address.h).
 */
bool disk_is_address(const char *path);

/* Connects to what how->path names, as a leaf. */
typedef int disk_connector(struct disk_node **node,
			   const struct disk_open *how,
			   struct disk_error *error);

/* The same by the extension for that. -ENOTSUP: it is missing. */
disk_connector disk_address_open;

/* Makes an empty image there first, where nothing may be. disk_remove() on it
 * takes it away when it is closed. */
disk_connector disk_address_make;

#endif
