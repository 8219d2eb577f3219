/* SPDX-License-Identifier: Apache-2.0 */
#include "image/password.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

char *image_password_hash(const char *password, const char *salt)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *hashed = data ? crypt_r(password, salt, data) : NULL;
	char *copy = hashed && *hashed == '$' ? strdup(hashed) : NULL;

	if (data)
		explicit_bzero(data, sizeof(*data));
	free(data);
	return copy;
}
