/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/nbd_address.h"

#include <errno.h>
#include <string.h>

#include "disk/nbd_client.h"
#include "host/linux/extension.h"

bool disk_nbd_is_address(const char *path)
{
	return !strncmp(path, "nbd://", 6) || !strncmp(path, "nbds://", 7) ||
	       !strncmp(path, "nbd+unix://", 11) ||
	       !strncmp(path, "nbds+unix://", 12);
}

int disk_nbd_open(struct disk_node **node, const struct disk_open *how,
		  struct disk_error *error)
{
	char why[sizeof(error->text)];
	disk_nbd_connector *connect;

	*node = NULL;
	connect = (disk_nbd_connector *)extension_symbol("nbd",
							 "disk_nbd_connect",
							 why, sizeof(why));
	if (!connect)
		return disk_error_set(error, -ENOTSUP, "%s", why);
	return connect(node, how, error);
}
