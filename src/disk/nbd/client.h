/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the extension "nbd" has.
 */
#ifndef LODGE_DISK_NBD_CLIENT_H
#define LODGE_DISK_NBD_CLIENT_H

#include "disk/address.h"

/* A leaf that is an NBD server's export; how->path is its address. */
disk_connector disk_nbd_connect;

#endif
