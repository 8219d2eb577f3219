/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image with all that it stands on, seen as one: which of the chain's
 * images gives which bytes.
 */
#ifndef LODGE_DISK_CHAIN_H
#define LODGE_DISK_CHAIN_H

#include "disk/node.h"

/* DISK_ZERO, DISK_DATA or DISK_PACKED, and whose that is. */
struct disk_piece {
	struct disk_extent extent;
	struct disk_node *owner; /* NULL: nobody's, zeros */
	unsigned int depth;	 /* 0: the image itself, 1: its backing ... */
};

/*
 * What begins at `offset` and how far that goes, at most `length` bytes.
 * `base` and below are not looked at: what they would give has `base` as
 * owner and is DISK_HOLE; NULL: all is looked at.
 */
int disk_chain_map(struct disk_node *node, const struct disk_node *base,
		   uint64_t offset, uint64_t length, struct disk_piece *piece);

/* Whether `base` is one of those that `node` stands on. */
bool disk_chain_has(const struct disk_node *node,
		    const struct disk_node *base);

#endif
