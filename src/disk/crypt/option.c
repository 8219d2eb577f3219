/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of formats that make LUKS headers. They are always there: the work
 * itself is an extension's.
 */
#include <errno.h>
#include <stdlib.h>

#include "disk/crypt/crypt.h"

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

int disk_crypt_take_options(const struct disk_create *how, unsigned int version,
			    struct disk_crypt_make *make,
			    struct disk_error *error)
{
	*make = (struct disk_crypt_make){
		.version = version,
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
