/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS volumes as images: a header with key slots, then encrypted sectors. The
 * bytes of a sector are never plain on the host. Discards do nothing: what
 * they would tell is which sectors are in use.
 */
#include "disk/luks_volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crypt.h"
#include "disk/driver.h"

#define UNIT 4096u	  /* what a write has alone */
#define PART (256u << 10) /* bytes that go through memory at once */

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

/* --- making ----------------------------------------------------------------- */

static int number_option(const struct disk_create *how, const char *name,
			 unsigned int *value, struct disk_error *error)
{
	const char *text = disk_create_option(how, name);
	unsigned long n;
	char *end;

	if (!text)
		return 0;
	n = strtoul(text, &end, 10);
	if (*end || end == text || n > 1u << 30)
		return disk_error_set(error, -EINVAL, "%s=%s: give a number",
				      name, text);
	*value = (unsigned int)n;
	return 0;
}

static int take_options(const struct disk_create *how,
			struct disk_crypt_make *make, struct disk_error *error)
{
	*make = (struct disk_crypt_make){
		.version = 2,
		.hash = disk_create_option(how, "hash"),
		.pbkdf = disk_create_option(how, "pbkdf"),
	};
	if (number_option(how, "version", &make->version, error) ||
	    number_option(how, "key_bits", &make->key_bits, error) ||
	    number_option(how, "sector", &make->sector, error) ||
	    number_option(how, "iterations", &make->iterations, error) ||
	    number_option(how, "memory_kib", &make->memory_kib, error))
		return -EINVAL;
	if (make->version < 1 || make->version > 2)
		return disk_error_set(error, -EINVAL, "version=%u: give 1 or 2",
				      make->version);
	if (make->key_bits && make->key_bits != 256 && make->key_bits != 512)
		return disk_error_set(error, -EINVAL, "key_bits=%u: give 256 "
				      "or 512", make->key_bits);
	if (make->sector && make->sector != 512 &&
	    (make->sector != 4096 || make->version == 1))
		return disk_error_set(error, -EINVAL, "sector=%u: give 512, or "
				      "4096 of version 2", make->sector);
	if (!make->sector && how->size % 4096)
		make->sector = 512;
	if (make->sector != 512 && make->version == 2 && how->size % 4096)
		return disk_error_set(error, -EINVAL, "a size of %llu bytes "
				      "does not go with sector=4096",
				      (unsigned long long)how->size);
	return 0;
}

static int luks_create(struct disk_node *file, const struct disk_create *how,
		       struct disk_error *error)
{
	struct disk_crypt_make make;
	struct disk_crypt *crypt;
	int result = take_options(how, &make, error);

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

/* The sectors around [offset, offset + length), decrypted. */
static int read_sectors(struct luks *luks, uint64_t offset, uint64_t length,
			uint8_t *buf)
{
	int error = disk_read_bytes(luks->node.file,
				    disk_crypt_payload(luks->crypt) + offset,
				    buf, length);

	return error ? error
		     : disk_crypt_decrypt(luks->crypt, offset, buf, length);
}

static int luks_read(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec to)
{
	struct luks *luks = luks_of(node);
	uint32_t sector = disk_crypt_sector(luks->crypt);
	uint8_t *buf = malloc(PART);
	int error = buf ? 0 : -ENOMEM;

	while (length && !error) {
		uint64_t from = offset & ~(uint64_t)(sector - 1);
		uint64_t skip = offset - from, part = PART - skip;
		uint64_t end;

		if (part > length)
			part = length;
		end = (offset + part + sector - 1) & ~(uint64_t)(sector - 1);
		error = read_sectors(luks, from, end - from, buf);
		if (!error)
			disk_vec_fill(to, buf + skip, part);
		to = disk_vec_from(to, part);
		offset += part;
		length -= part;
	}
	free(buf);
	return error;
}

/* What the sectors at both ends have beside what is written. */
static int read_ends(struct luks *luks, uint64_t from, uint64_t offset,
		     uint64_t length, uint64_t end, uint8_t *buf)
{
	uint32_t sector = disk_crypt_sector(luks->crypt);
	int error = 0;

	if (offset > from || (offset + length < end && end - from == sector))
		error = read_sectors(luks, from, sector, buf);
	if (!error && offset + length < end && end - from > sector)
		error = read_sectors(luks, end - sector, sector,
				     buf + (end - from - sector));
	return error;
}

static int luks_write(struct disk_node *node, uint64_t offset,
		      uint64_t length, struct disk_vec from)
{
	struct luks *luks = luks_of(node);
	uint64_t mask = disk_crypt_sector(luks->crypt) - 1;
	uint8_t *buf = malloc(PART);
	int error = buf ? 0 : -ENOMEM;

	while (length && !error) {
		uint64_t first = offset & ~mask, skip = offset - first;
		uint64_t part = PART - skip < length ? PART - skip : length;
		uint64_t end = (offset + part + mask) & ~mask;

		error = read_ends(luks, first, offset, part, end, buf);
		if (error)
			break;
		disk_vec_gather(buf + skip, from, part);
		error = disk_crypt_encrypt(luks->crypt, first, buf,
					   end - first);
		if (!error)
			error = disk_write_bytes(
				node->file,
				disk_crypt_payload(luks->crypt) + first, buf,
				end - first);
		from = disk_vec_from(from, part);
		offset += part;
		length -= part;
	}
	free(buf);
	return error;
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
	.map = luks_map,
	.read = luks_read,
	.write = luks_write,
	.resize = luks_resize,
	.info = luks_info,
	.add_key = luks_add_key,
	.remove_key = luks_remove_key,
};
