/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/address.h"

#include <errno.h>
#include <string.h>

#include "host/linux/extension.h"

static const struct {
	const char *begins;
	const char *extension, *symbol;
} kinds[] = {
	{ "nbd://", "nbd", "disk_nbd_connect" },
	{ "nbds://", "nbd", "disk_nbd_connect" },
	{ "nbd+unix://", "nbd", "disk_nbd_connect" },
	{ "nbds+unix://", "nbd", "disk_nbd_connect" },
	{ "rbd:", "rbd", "disk_rbd_connect" },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* KINDS: it is none. */
static size_t kind_of(const char *path)
{
	size_t i = 0;

	while (i < KINDS &&
	       strncmp(path, kinds[i].begins, strlen(kinds[i].begins)))
		i++;
	return i;
}

bool disk_is_address(const char *path)
{
	return kind_of(path) < KINDS;
}

int disk_address_open(struct disk_node **node, const struct disk_open *how,
		      struct disk_error *error)
{
	size_t kind = kind_of(how->path);
	char why[sizeof(error->text)];
	disk_connector *connect;

	*node = NULL;
	if (kind == KINDS)
		return disk_error_set(error, -EINVAL, "is no address");
	connect = (disk_connector *)extension_symbol(kinds[kind].extension,
						     kinds[kind].symbol, why,
						     sizeof(why));
	if (!connect)
		return disk_error_set(error, -ENOTSUP, "%s", why);
	return connect(node, how, error);
}
