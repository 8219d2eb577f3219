/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS volumes as images: a header with key slots, then encrypted sectors. The
 * bytes of a sector are never plain on the host. Discards do nothing: what
 * they would tell is which sectors are in use.
 */
#include "disk/crypt/luks_volume.h"

#include <errno.h>
#include <stdlib.h>

#include "disk/crypt/crypt.h"
#include "disk/driver.h"

#define UNIT 4096u /* what a write has alone */

struct luks {
	struct disk_node node;
	struct disk_crypt *crypt;
};

static struct luks *luks_of(struct disk_node *node)
{
	return (struct luks *)node;
}

/* --- opening ---------------------------------------------------------------- */

static int luks_attach(struct luks *luks, struct disk_node *file,
		       const struct disk_open *how, struct disk_error *error)
{
	uint64_t payload = disk_crypt_payload(luks->crypt);
	uint64_t size = file->size > payload ? file->size - payload : 0;
	int result;

	if (!size || size % disk_crypt_sector(luks->crypt))
		return disk_error_set(error, -EINVAL, "its volume has %llu "
				      "bytes, no multiple of its sectors; a "
				      "truncated copy?",
				      (unsigned long long)size);
	result = disk_node_init(&luks->node, &disk_luks_volume, file, how);
	if (result)
		return disk_error_set(error, result, "out of memory");
	luks->node.size = size;
	luks->node.cluster = UNIT;
	luks->node.encrypted = true;
	return 0;
}

static int luks_open(struct disk_node **node, struct disk_node *file,
		     const struct disk_open *how, struct disk_error *error)
{
	struct luks *luks = calloc(1, sizeof(*luks));
	int result;

	if (!luks)
		return disk_error_set(error, -ENOMEM, "out of memory");
	result = disk_crypt_open(&luks->crypt, file, 0, file->size,
				 how->secret, how->sealed, error);
	if (!result)
		result = luks_attach(luks, file, how, error);
	if (result) {
		disk_crypt_close(luks->crypt);
		free(luks);
		return result;
	}
	*node = &luks->node;
	return 0;
}

static void luks_close(struct disk_node *node)
{
	disk_crypt_close(luks_of(node)->crypt);
}

static int luks_make_writable(struct disk_node *node, struct disk_error *error)
{
	int result = disk_leaf_make_writable(node->file, true, error);

	if (!result)
		node->readonly = false;
	return result;
}

/* --- making ----------------------------------------------------------------- */

static int luks_create(struct disk_node *file, const struct disk_create *how,
		       struct disk_error *error)
{
	struct disk_crypt_make make;
	struct disk_crypt *crypt;
	int result = disk_crypt_take_options(how, 2, &make, error);

	if (!result)
		result = disk_crypt_create(&crypt, file, 0, &make, how->secret,
					   error);
	if (result)
		return result;
	result = disk_resize(file, disk_crypt_payload(crypt) + how->size,
			     DISK_PREALLOC_OFF, error);
	disk_crypt_close(crypt);
	return result;
}

/* --- bytes ------------------------------------------------------------------ */

static int luks_map(struct disk_node *node, uint64_t offset, uint64_t length,
		    unsigned int flags, struct disk_extent *extent)
{
	*extent = (struct disk_extent){
		.kind = DISK_PACKED,
		.length = length,
		.at = disk_crypt_payload(luks_of(node)->crypt) + offset,
	};
	return 0;
}

static int luks_read(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec to)
{
	struct disk_crypt *crypt = luks_of(node)->crypt;

	return disk_crypt_read(crypt, node->file, disk_crypt_payload(crypt),
			       offset, length, to);
}

static int luks_write(struct disk_node *node, uint64_t offset,
		      uint64_t length, struct disk_vec from)
{
	struct disk_crypt *crypt = luks_of(node)->crypt;

	return disk_crypt_write(crypt, node->file, disk_crypt_payload(crypt),
				offset, length, from);
}

/* --- care ------------------------------------------------------------------- */

static int luks_resize(struct disk_node *node, uint64_t size,
		       enum disk_preallocation prealloc,
		       struct disk_error *error)
{
	struct luks *luks = luks_of(node);
	int result;

	if (size % disk_crypt_sector(luks->crypt))
		return disk_error_set(error, -EINVAL, "its sectors have %u "
				      "bytes; give a multiple",
				      disk_crypt_sector(luks->crypt));
	result = disk_resize(node->file,
			     disk_crypt_payload(luks->crypt) + size, prealloc,
			     error);
	if (!result)
		node->size = size;
	return result;
}

static json_t *luks_info(struct disk_node *node)
{
	return disk_crypt_info(luks_of(node)->crypt);
}

static int luks_add_key(struct disk_node *node,
			const struct disk_secret *secret,
			struct disk_error *error)
{
	return disk_crypt_add_key(luks_of(node)->crypt, secret, error);
}

static int luks_remove_key(struct disk_node *node,
			   const struct disk_secret *secret,
			   struct disk_error *error)
{
	return disk_crypt_remove_key(luks_of(node)->crypt, secret, error);
}

const struct disk_driver disk_luks_volume = {
	.name = "luks",
	.title = "LUKS",
	.open = luks_open,
	.create = luks_create,
	.close = luks_close,
	.make_writable = luks_make_writable,
	.map = luks_map,
	.read = luks_read,
	.write = luks_write,
	.resize = luks_resize,
	.info = luks_info,
	.add_key = luks_add_key,
	.remove_key = luks_remove_key,
};
