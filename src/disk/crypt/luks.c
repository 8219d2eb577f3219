/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of LUKS images that is always there: how to know one. The rest is
 * an extension, since its libraries are large.
 */
#include <errno.h>
#include <string.h>

#include "disk/crypt/crypt.h"
#include "disk/driver.h"
#include "host/linux/extension.h"

static const struct disk_option luks_options[] = {
	{ "version", "1 or 2: of the header (2)" },
	{ "key_bits", "256 or 512 (512)" },
	{ "sector", "512 or 4096 bytes (4096; 512 of version 1)" },
	{ "hash", "of key derivation (sha256)" },
	{ "pbkdf", "argon2id, argon2i or pbkdf2 (argon2id; pbkdf2 of version "
		   "1)" },
	{ "iterations", "of key derivation (as many as take a second)" },
	{ "memory_kib", "of argon2 (262144)" },
	{ 0 },
};

/* What the extension calls so, or NULL with `error`. */
static const void *find(const char *symbol, struct disk_error *error)
{
	char why[sizeof(error->text)];
	const void *found = extension_symbol("luks", symbol, why, sizeof(why));

	if (!found)
		disk_error_set(error, -ENOTSUP, "%s", why);
	return found;
}

static const struct disk_driver *load(struct disk_error *error)
{
	return find("disk_luks_volume", error);
}

const struct disk_crypt_calls *disk_crypt_load(struct disk_error *error)
{
	return find("disk_crypt_calls", error);
}

static bool luks_probe(const uint8_t *head, size_t size)
{
	return size >= 8 && !memcmp(head, "LUKS\xba\xbe\0", 7) &&
	       (head[7] == 1 || head[7] == 2);
}

static int luks_open(struct disk_node **node, struct disk_node *file,
		     const struct disk_open *how, struct disk_error *error)
{
	const struct disk_driver *driver = load(error);

	return driver ? driver->open(node, file, how, error) : -ENOTSUP;
}

static int luks_create(struct disk_node *file, const struct disk_create *how,
		       struct disk_error *error)
{
	const struct disk_driver *driver = load(error);

	return driver ? driver->create(file, how, error) : -ENOTSUP;
}

const struct disk_driver disk_luks = {
	.name = "luks",
	.title = "LUKS",
	.suffixes = ".luks",
	.noisy = true,
	.encrypts = true,
	.options = luks_options,
	.probe = luks_probe,
	.open = luks_open,
	.create = luks_create,
};
