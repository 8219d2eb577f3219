/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS under formats that do not encrypt by themselves: the image's file is a
 * LUKS volume (disk/crypt/crypt.h), and the format lies in that as in a file. So
 * headers, tables and sizes are encrypted as well. Only what the host knows of
 * a file is plain: its length, and when it changes.
 */
#ifndef LODGE_DISK_CRYPT_UNDER_H
#define LODGE_DISK_CRYPT_UNDER_H

#include "disk/node.h"

/*
 * A leaf with what is in the volume on `file`, which it owns when it
 * succeeds. It grows as a file does, and what is new reads as zeros.
 */
int disk_crypt_under_open(struct disk_node **leaf, struct disk_node *file,
			  const struct disk_open *how,
			  struct disk_error *error);

/* Makes an empty volume in an empty file first. */
int disk_crypt_under_make(struct disk_node **leaf, struct disk_node *file,
			  const struct disk_create *how,
			  struct disk_error *error);

/* Closes the leaf, and leaves its file to the caller. */
void disk_crypt_under_leave(struct disk_node *leaf);

#endif
