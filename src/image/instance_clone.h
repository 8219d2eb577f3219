/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine of an image made of another one that does not run: a disk that
 * holds what will differ from the other's (qcow2), with the same account. Its
 * first start does a first boot of its own: another host name, other keys.
 */
#ifndef LODGE_IMAGE_INSTANCE_CLONE_H
#define LODGE_IMAGE_INSTANCE_CLONE_H

#include "image/instance.h"

struct instance_clone {
	const char *from, *to; /* machines */
	const char *id;	       /* of the clone: done again, it is one */
	bool freeze; /* `from` goes on on a disk of its own as well */
};

/*
 * 0: there is `to`, which this call or one of the same id has made; -1 with
 * `error` and no `to`: `from` runs or is not there, `to` is another one.
 */
int instance_clone(struct store *store, const struct instance_clone *how,
		   struct disk_error *error);

/* Takes away what a clone of that id has made as `to`, if anything. */
void instance_unclone(struct store *store, const char *to, const char *id);

#endif
