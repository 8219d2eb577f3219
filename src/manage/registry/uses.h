/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What machines use, as tables of the registry: disks, images and networks,
 * each by its path or name with the machine. They follow the configurations,
 * which say it, in the transactions that change those.
 */
#ifndef LODGE_MANAGE_REGISTRY_USES_H
#define LODGE_MANAGE_REGISTRY_USES_H

#include <jansson.h>
#include <sqlite3.h>

#include "manage/api/problem.h"

enum uses_kind {
	USES_DISKS,
	USES_IMAGES,
	USES_NETWORKS,
	USES_KINDS,
};

struct uses;

/* Statements on the registry's database. NULL with `problem`. */
struct uses *uses_open(sqlite3 *db, struct problem *problem);
void uses_close(struct uses *uses);

/*
 * Inside of a transaction: what machine `vm` of this configuration, a text,
 * uses. An SQLite error, or 0.
 */
int uses_put(struct uses *uses, const char *vm, const char *config);

/*
 * Writes it of all machines that the tables know nothing of, in a transaction
 * of its own: after an upgrade. 0, or -1.
 */
int uses_fill(struct uses *uses);

/*
 * Who uses what of a kind, or only `name` (NULL: all): a list of objects with
 * "name", "vm" and "vm_name", of disks "made" and, of layers, "base".
 */
json_t *uses_list(struct uses *uses, enum uses_kind kind, const char *name);

#endif
