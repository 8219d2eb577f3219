/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the extension "nbd" has.
 */
#ifndef LODGE_DISK_NBD_CLIENT_H
#define LODGE_DISK_NBD_CLIENT_H

#include "disk/node.h"

/* A leaf that is an NBD server's export; how->path is its address. */
typedef int disk_nbd_connector(struct disk_node **node,
			       const struct disk_open *how,
			       struct disk_error *error);

disk_nbd_connector disk_nbd_connect;

#endif
