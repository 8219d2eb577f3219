/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LUKS extension, built into a test program.
 */
#include <stdio.h>
#include <string.h>

#include "disk/crypt/luks_volume.h"
#include "host/linux/extension.h"
#include "trial.h"

const bool trial_has_luks = true;

void *extension_symbol(const char *name, const char *symbol, char *error,
		       size_t size)
{
	if (!strcmp(symbol, "disk_luks_volume"))
		return (void *)&disk_luks_volume;
	if (!strcmp(symbol, "disk_crypt_calls"))
		return (void *)&disk_crypt_calls;
	snprintf(error, size, "no %s in this program", symbol);
	return NULL;
}
