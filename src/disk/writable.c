/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that was opened read-only, as backing files are, becomes one that
 * may be written. Images of several files and encrypted ones cannot.
 */
#include <errno.h>

#include "disk/driver.h"

static int cannot(const struct disk_node *node, struct disk_error *error)
{
	return disk_error_set(error, -ENOTSUP, "an image of format %s cannot "
			      "be opened for writing while it is in use; stop "
			      "the machine and use lodge disk",
			      node->driver->title);
}

/* A leaf that is the image's whole, and may be written. */
static int widen_leaf(struct disk_node *node, struct disk_error *error)
{
	struct disk_node *leaf = node->file;

	if (!leaf || !leaf->driver->leaf || node->driver->names_itself ||
	    node->encrypted)
		return cannot(node, error);
	if (!leaf->readonly)
		return 0;
	return leaf->driver->make_writable
		       ? leaf->driver->make_writable(leaf, error)
		       : cannot(node, error);
}

int disk_make_writable(struct disk_node **at, struct disk_error *error)
{
	struct disk_node *old = *at, *node, *leaf = old->file;
	const struct disk_open how = { .path = old->name,
				       .format = old->driver->name,
				       .alone = true };
	int result;

	if (!old->readonly)
		return 0;
	result = widen_leaf(old, error);
	if (result)
		return result;
	result = disk_open_on(&node, leaf, &how, error);
	if (result) {
		leaf->readonly = true;
		return result;
	}
	node->backing = old->backing;
	old->backing = NULL;
	disk_node_abandon(old);
	*at = node;
	return 0;
}
