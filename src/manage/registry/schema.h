/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry's tables. Each step brings them from one version to the next,
 * which SQLite keeps as the file's user_version; a new file takes all steps.
 * A step that was released is never changed.
 */
#ifndef LODGE_MANAGE_REGISTRY_SCHEMA_H
#define LODGE_MANAGE_REGISTRY_SCHEMA_H

#include <sqlite3.h>

#include "manage/api/problem.h"

int schema_newest(void);

/* The statements that lead from version `from` to the next. */
const char *schema_step(int from);

/*
 * Takes the steps that are missing, all or none. 0; 1 with `problem`: it has
 * not what its version has; or -1 with `problem`: a newer lodged wrote it, the
 * disk is full.
 */
int schema_upgrade(sqlite3 *db, const char *path, struct problem *problem);

#endif
