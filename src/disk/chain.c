/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/chain.h"

int disk_chain_map(struct disk_node *node, const struct disk_node *base,
		   uint64_t offset, uint64_t length, struct disk_piece *piece)
{
	for (unsigned int depth = 0;; depth++) {
		uint64_t size = node->size;
		int error;

		*piece = (struct disk_piece){ .owner = node, .depth = depth };
		if (node == base || offset >= size)
			break;
		if (length > size - offset)
			length = size - offset;
		error = disk_map(node, offset, length, DISK_SPARSE,
				 &piece->extent);
		if (error)
			return error;
		length = piece->extent.length;
		if (piece->extent.kind != DISK_HOLE)
			return 0;
		if (!node->backing)
			break;
		node = node->backing;
	}
	piece->extent.length = length;
	if (node == base)
		return 0;
	piece->extent.kind = DISK_ZERO;
	piece->owner = NULL;
	return 0;
}

bool disk_chain_has(const struct disk_node *node, const struct disk_node *base)
{
	for (; node; node = node->backing)
		if (node == base)
			return true;
	return false;
}
