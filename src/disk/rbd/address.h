/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of RBD images, as QEMU's programs write them:
 *
 *	rbd:POOL/[NAMESPACE/]IMAGE[@SNAPSHOT][:NAME=VALUE]...
 *
 * A backslash before a character takes it as it is, / @ : = and itself. NAME
 * is id (the user, without "client."), conf (a file of Ceph's) or an option of
 * Ceph's.
 */
#ifndef LODGE_DISK_RBD_ADDRESS_H
#define LODGE_DISK_RBD_ADDRESS_H

#include "disk/error.h"

#define RBD_OPTIONS_MAX 32

struct rbd_address {
	char *text; /* what the others are parts of */
	const char *pool, *image;
	const char *space, *snapshot; /* NULL: none */
	struct {
		const char *name, *value;
	} option[RBD_OPTIONS_MAX];
	unsigned int options;
};

/* To be freed in either case. */
int rbd_address_parse(struct rbd_address *address, const char *path,
		      struct disk_error *error);
void rbd_address_free(struct rbd_address *address);

/* An option's last value, or NULL. */
const char *rbd_address_option(const struct rbd_address *address,
			       const char *name);

#endif
