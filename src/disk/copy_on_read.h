/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-read: what is read from the images that one stands on is written
 * into it, so that it is not read from there again: a disk that stands on a
 * slow or distant image becomes one of its own as it is used.
 */
#ifndef LODGE_DISK_COPY_ON_READ_H
#define LODGE_DISK_COPY_ON_READ_H

#include "disk/node.h"

/*
 * A filter on `image`, which it owns when this succeeds. An image that stands
 * on nothing is given back as it is. A copy that fails is done without: what
 * was asked for is read all the same.
 */
int disk_copy_on_read(struct disk_node **filter, struct disk_node *image,
		      struct disk_error *error);

#endif
