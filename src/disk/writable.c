/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that was opened read-only, as backing files are, becomes one that
 * may be written: by itself, or as another node on the same file.
 */
#include <errno.h>

#include "disk/driver.h"

static int cannot(const struct disk_node *node, struct disk_error *error)
{
	return disk_error_set(error, -ENOTSUP, "%s cannot "
			      "be opened for writing while it is in use; stop "
			      "the machine and use lodge disk",
			      node->driver->title);
}

int disk_leaf_make_writable(struct disk_node *leaf, bool grows,
			    struct disk_error *error)
{
	int result = 0;

	if (leaf->readonly)
		result = leaf->driver->make_writable
				 ? leaf->driver->make_writable(leaf, error)
				 : cannot(leaf, error);
	if (!result && grows)
		leaf->grows = true;
	return result;
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
	if (old->driver->make_writable)
		return old->driver->make_writable(old, error);
	if (!leaf || !leaf->driver->leaf)
		return cannot(old, error);
	result = disk_leaf_make_writable(leaf, false, error);
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
