/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the extension "rbd" has.
 */
#ifndef LODGE_DISK_RBD_RBD_H
#define LODGE_DISK_RBD_RBD_H

#include "disk/address.h"

/* A leaf that is an image of a Ceph cluster; how->path is its address. */
disk_connector disk_rbd_connect;

/* The same on a new one, which is empty. */
disk_connector disk_rbd_make;

#endif
