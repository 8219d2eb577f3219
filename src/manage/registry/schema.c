/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/registry/schema.h"

#include <stdio.h>

static const char *const steps[] = {
	/* 1 */
	"CREATE TABLE settings ("
	"  name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE vms ("
	"  id TEXT PRIMARY KEY,"
	"  name TEXT NOT NULL UNIQUE,"
	"  spec TEXT NOT NULL,"
	"  generation INTEGER NOT NULL,"
	"  state TEXT NOT NULL,"
	"  run TEXT NOT NULL,"
	"  reason TEXT NOT NULL,"
	"  created INTEGER NOT NULL,"
	"  changed INTEGER NOT NULL,"
	"  started INTEGER NOT NULL,"
	"  restarts INTEGER NOT NULL,"
	"  next_start INTEGER NOT NULL);"
	/* Outlives the machine: what happened to it stays known. */
	"CREATE TABLE events ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  time REAL NOT NULL,"
	"  kind TEXT NOT NULL,"
	"  vm TEXT,"
	"  name TEXT,"
	"  detail TEXT);"
	"CREATE INDEX events_vm ON events (vm, id);"
	"CREATE TABLE requests ("
	"  key TEXT PRIMARY KEY,"
	"  vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,"
	"  time INTEGER NOT NULL);"
	"CREATE INDEX requests_vm ON requests (vm);",
	/* 2: clones */
	"ALTER TABLE vms ADD COLUMN base TEXT NOT NULL DEFAULT '';"
	"CREATE INDEX vms_base ON vms (base);",
	/* 3: a token of a certificate has no hash. */
	"CREATE TABLE tokens ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  name TEXT NOT NULL UNIQUE,"
	"  hash BLOB UNIQUE,"
	"  role TEXT NOT NULL,"
	"  grants TEXT NOT NULL,"
	"  created INTEGER NOT NULL,"
	"  expires INTEGER NOT NULL);"
	"CREATE TABLE audit ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  time REAL NOT NULL,"
	"  who TEXT,"
	"  place TEXT,"
	"  method TEXT NOT NULL,"
	"  path TEXT NOT NULL,"
	"  status INTEGER NOT NULL,"
	"  detail TEXT);",
	/* 4: what machines use; `made`: by lodged, and gone with the machine */
	"CREATE TABLE disks ("
	"  vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,"
	"  name TEXT NOT NULL, base TEXT, made INTEGER NOT NULL,"
	"  PRIMARY KEY (vm, name)) WITHOUT ROWID;"
	"CREATE TABLE images ("
	"  vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,"
	"  name TEXT NOT NULL, PRIMARY KEY (vm, name)) WITHOUT ROWID;"
	"CREATE TABLE networks ("
	"  vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,"
	"  name TEXT NOT NULL, PRIMARY KEY (vm, name)) WITHOUT ROWID;"
	"CREATE INDEX disks_name ON disks (name);"
	"CREATE INDEX images_name ON images (name);"
	"CREATE INDEX networks_name ON networks (name);",
};

#define STEPS ((int)(sizeof(steps) / sizeof(steps[0])))

int schema_newest(void)
{
	return STEPS;
}

const char *schema_step(int from)
{
	return steps[from];
}

static int version_of(sqlite3 *db)
{
	sqlite3_stmt *query;
	int version = -1;

	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &query, NULL))
		return -1;
	if (sqlite3_step(query) == SQLITE_ROW)
		version = sqlite3_column_int(query, 0);
	sqlite3_finalize(query);
	return version;
}

static int take_steps(sqlite3 *db, int version)
{
	char line[48];
	int err = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (; !err && version < STEPS; version++)
		err = sqlite3_exec(db, steps[version], NULL, NULL, NULL);
	snprintf(line, sizeof(line), "PRAGMA user_version = %d", STEPS);
	if (!err)
		err = sqlite3_exec(db, line, NULL, NULL, NULL);
	return err ? err : sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
}

int schema_upgrade(sqlite3 *db, const char *path, struct problem *problem)
{
	int version = version_of(db), err = SQLITE_OK;

	if (version > STEPS)
		return problem_set(problem, 500, "newer-registry",
				   "registry %s: a newer lodged wrote it "
				   "(version %d, this one knows %d); use that",
				   path, version, STEPS);
	if (version >= 0 && version < STEPS)
		err = take_steps(db, version);
	if (version >= 0 && !err)
		return 0;
	problem_set(problem, 500, "registry", "registry %s: %s", path,
		    sqlite3_errmsg(db));
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return err == SQLITE_ERROR ? 1 : -1;
}
