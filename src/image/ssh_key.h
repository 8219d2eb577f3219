/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key pair of lodge's own, ssh/id_ed25519 beside the images, with which
 * `lodge ssh` logs in to guests: made by ssh-keygen(1) when it is wanted first.
 */
#ifndef LODGE_IMAGE_SSH_KEY_H
#define LODGE_IMAGE_SSH_KEY_H

#include <limits.h>

#include "disk/error.h"
#include "image/store.h"

/*
 * The private key's file; the public one's has .pub behind it. 0, or -1 with
 * `error`, which says what is missing.
 */
int ssh_key_find(struct store *store, char key[PATH_MAX],
		 struct disk_error *error);

#endif
