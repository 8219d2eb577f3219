/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/address.h"

#include <errno.h>
#include <string.h>

#include "host/linux/extension.h"

static const struct {
	const char *begins;
	const char *extension, *connect;
	const char *make; /* NULL: nothing can be made there */
} kinds[] = {
	{ "nbd://", "nbd", "disk_nbd_connect", NULL },
	{ "nbds://", "nbd", "disk_nbd_connect", NULL },
	{ "nbd+unix://", "nbd", "disk_nbd_connect", NULL },
	{ "nbds+unix://", "nbd", "disk_nbd_connect", NULL },
	{ "rbd:", "rbd", "disk_rbd_connect", "disk_rbd_make" },
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

static int call(const char *extension, const char *symbol,
		struct disk_node **node, const struct disk_open *how,
		struct disk_error *error)
{
	char why[sizeof(error->text)];
	disk_connector *connect = (disk_connector *)extension_symbol(
		extension, symbol, why, sizeof(why));

	if (!connect)
		return disk_error_set(error, -ENOTSUP, "%s", why);
	return connect(node, how, error);
}

int disk_address_open(struct disk_node **node, const struct disk_open *how,
		      struct disk_error *error)
{
	size_t kind = kind_of(how->path);

	*node = NULL;
	if (kind == KINDS)
		return disk_error_set(error, -EINVAL, "is no address");
	return call(kinds[kind].extension, kinds[kind].connect, node, how,
		    error);
}

int disk_address_make(struct disk_node **node, const struct disk_open *how,
		      struct disk_error *error)
{
	size_t kind = kind_of(how->path);

	*node = NULL;
	if (kind == KINDS || !kinds[kind].make)
		return disk_error_set(error, -ENOTSUP, "is a server's, where "
				      "nothing can be made from here");
	return call(kinds[kind].extension, kinds[kind].make, node, how, error);
}
