/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the parts of instance.h: the record of a kept machine, and where it
 * says that the disk is.
 */
#ifndef LODGE_IMAGE_INSTANCE_DISK_H
#define LODGE_IMAGE_INSTANCE_DISK_H

#include <dirent.h>
#include <jansson.h>
#include <stdbool.h>

#include "image/instance.h"

/*
 * The record in the machine's open folder, with what has moved since it was
 * written; *moved (may be NULL): whether anything has. NULL: there is none.
 */
json_t *instance_record(const struct store *store, const char *name,
			int folder, bool *moved);

/* Of a folder of machines: one that is kept. For scandirat(3). */
int instance_is_entry(const struct dirent *entry);

/* With the store locked: a machine whose disk stands on that of `name`. */
bool instance_find_user(struct store *store, const char *name,
			char user[IMAGE_NAME_MAX + 1]);

/* With the folder locked: the record is written so. 0 or a negative errno. */
int instance_settle(const struct store *store, const char *name, int folder);

/*
 * Where the record says that the disk is. False, and nothing: it is disk.qcow2
 * in the `folder`, in which those lie that are named by no path.
 */
bool instance_read_disk(const json_t *record, const char *folder,
			char path[PATH_MAX], char format[16]);

#endif
