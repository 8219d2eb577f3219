/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/registry/uses.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum query {
	Q_DROP, /* one of each kind */
	Q_PUT = Q_DROP + USES_KINDS,
	Q_LIST = Q_PUT + USES_KINDS,
	Q_UNKNOWN = Q_LIST + USES_KINDS,
	Q_FILLED,
	QUERIES,
};

#define LIST(table_, more_)                                               \
	"SELECT u.name, u.vm, v.name" more_ " FROM " table_ " u JOIN vms " \
	"v ON v.id = u.vm WHERE ?1 IS NULL OR u.name = ?1 "                \
	"ORDER BY u.name, v.name"

static const char *const texts[QUERIES] = {
	[Q_DROP + USES_DISKS] = "DELETE FROM disks WHERE vm = ?1",
	[Q_DROP + USES_IMAGES] = "DELETE FROM images WHERE vm = ?1",
	[Q_DROP + USES_NETWORKS] = "DELETE FROM networks WHERE vm = ?1",
	[Q_PUT + USES_DISKS] = "INSERT OR IGNORE INTO disks (vm, name, base, "
			       "made) VALUES (?1, ?2, ?3, ?4)",
	[Q_PUT + USES_IMAGES] =
		"INSERT OR IGNORE INTO images (vm, name) VALUES (?1, ?2)",
	[Q_PUT + USES_NETWORKS] =
		"INSERT OR IGNORE INTO networks (vm, name) VALUES (?1, ?2)",
	[Q_LIST + USES_DISKS] = LIST("disks", ", u.made, u.base"),
	[Q_LIST + USES_IMAGES] = LIST("images", ""),
	[Q_LIST + USES_NETWORKS] = LIST("networks", ""),
	[Q_UNKNOWN] = "SELECT id, spec FROM vms",
	[Q_FILLED] = "SELECT value FROM settings WHERE name = 'uses'",
};

struct uses {
	sqlite3 *db;
	sqlite3_stmt *query[QUERIES];
};

struct uses *uses_open(sqlite3 *db, struct problem *problem)
{
	struct uses *uses = calloc(1, sizeof(*uses));

	if (uses)
		uses->db = db;
	for (int i = 0; uses && i < QUERIES; i++) {
		if (!sqlite3_prepare_v3(db, texts[i], -1,
					SQLITE_PREPARE_PERSISTENT,
					&uses->query[i], NULL))
			continue;
		problem_set(problem, 500, "registry", "registry: %s",
			    sqlite3_errmsg(db));
		uses_close(uses);
		return NULL;
	}
	if (!uses)
		problem_set(problem, 500, "no-memory", "out of memory");
	return uses;
}

void uses_close(struct uses *uses)
{
	for (int i = 0; uses && i < QUERIES; i++)
		sqlite3_finalize(uses->query[i]);
	free(uses);
}

/* --- writing ------------------------------------------------------------------------ */

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static int run(struct uses *uses, int which)
{
	int code = sqlite3_step(uses->query[which]);

	sqlite3_reset(uses->query[which]);
	sqlite3_clear_bindings(uses->query[which]);
	return code == SQLITE_DONE ? 0 : code;
}

static int put(struct uses *uses, enum uses_kind kind, const char *vm,
	       const char *name)
{
	sqlite3_stmt *query = uses->query[Q_PUT + (int)kind];

	if (!name)
		return 0;
	sqlite3_bind_text(query, 1, vm, -1, SQLITE_STATIC);
	sqlite3_bind_text(query, 2, name, -1, SQLITE_STATIC);
	return run(uses, Q_PUT + (int)kind);
}

/* A layer is a user of what it stands on as well. */
static int put_disk(struct uses *uses, const char *vm, const json_t *disk)
{
	sqlite3_stmt *query = uses->query[Q_PUT + USES_DISKS];
	const char *path = text_of(disk, "path"), *base = text_of(disk, "base");
	int err;

	if (!path || !strcmp(path, "none"))
		return 0;
	if (base)
		sqlite3_bind_text(query, 3, base, -1, SQLITE_STATIC);
	sqlite3_bind_int(query, 4, base && strstr(path, vm));
	err = put(uses, USES_DISKS, vm, path);
	if (err || !base)
		return err;
	sqlite3_bind_int(query, 4, 0);
	return put(uses, USES_DISKS, vm, base);
}

static int put_disks(struct uses *uses, const char *vm, const json_t *config)
{
	static const char *const lists[] = { "disks", "cdroms", "floppies" };
	const json_t *disk;
	int err = 0;
	size_t k;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		json_array_foreach(json_object_get(config, lists[i]), k, disk)
			err = err ? err : put_disk(uses, vm, disk);
	return err;
}

/* "network=NAME" and "switch=NAME". */
static int put_networks(struct uses *uses, const char *vm,
			const json_t *config)
{
	const json_t *net;
	int err = 0;
	size_t i;

	json_array_foreach(json_object_get(config, "networks"), i, net) {
		const char *mode = text_of(net, "mode");

		if (mode && (!strncmp(mode, "network=", 8) ||
			     !strncmp(mode, "switch=", 7)))
			err = err ? err :
				    put(uses, USES_NETWORKS, vm,
					strchr(mode, '=') + 1);
	}
	return err;
}

int uses_put(struct uses *uses, const char *vm, const char *text)
{
	json_t *config = json_loads(text, 0, NULL);
	int err = 0;

	for (int kind = 0; !err && kind < USES_KINDS; kind++) {
		sqlite3_bind_text(uses->query[Q_DROP + kind], 1, vm, -1,
				  SQLITE_STATIC);
		err = run(uses, Q_DROP + kind);
	}
	if (!err)
		err = put_disks(uses, vm, config);
	if (!err)
		err = put(uses, USES_IMAGES, vm, text_of(config, "image"));
	if (!err)
		err = put_networks(uses, vm, config);
	json_decref(config);
	return err;
}

static bool is_filled(struct uses *uses)
{
	bool filled = sqlite3_step(uses->query[Q_FILLED]) == SQLITE_ROW;

	sqlite3_reset(uses->query[Q_FILLED]);
	return filled;
}

int uses_fill(struct uses *uses)
{
	sqlite3_stmt *row = uses->query[Q_UNKNOWN];
	int err;

	if (is_filled(uses))
		return 0;
	err = sqlite3_exec(uses->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	while (!err && sqlite3_step(row) == SQLITE_ROW)
		err = uses_put(uses, (const char *)sqlite3_column_text(row, 0),
			       (const char *)sqlite3_column_text(row, 1));
	sqlite3_reset(row);
	if (!err)
		err = sqlite3_exec(uses->db, "INSERT INTO settings (name, "
				   "value) VALUES ('uses', '1'); COMMIT", NULL,
				   NULL, NULL);
	if (err && !sqlite3_get_autocommit(uses->db))
		sqlite3_exec(uses->db, "ROLLBACK", NULL, NULL, NULL);
	return err ? -1 : 0;
}

/* --- reading ------------------------------------------------------------------------ */

json_t *uses_list(struct uses *uses, enum uses_kind kind, const char *name)
{
	sqlite3_stmt *row = uses->query[Q_LIST + (int)kind];
	json_t *list = json_array();

	if (name)
		sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
	while (sqlite3_step(row) == SQLITE_ROW) {
		json_t *use = json_pack(
			"{ss* ss* ss*}", "name",
			(const char *)sqlite3_column_text(row, 0), "vm",
			(const char *)sqlite3_column_text(row, 1), "vm_name",
			(const char *)sqlite3_column_text(row, 2));

		if (kind == USES_DISKS)
			json_object_update_new(
				use, json_pack("{sb ss*}", "made",
					       sqlite3_column_int(row, 3),
					       "base",
					       (const char *)
						       sqlite3_column_text(
							       row, 4)));
		json_array_append_new(list, use);
	}
	sqlite3_reset(row);
	sqlite3_clear_bindings(row);
	return list;
}
