/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry over SQLite. Statements are prepared once; each change is one
 * transaction, which a thread brings to the disk (flush.h). Events are bounded: those before the last EVENTS_KEPT go.
 */
#include "manage/registry/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "manage/registry/flush.h"
#include "manage/registry/schema.h"
#include "manage/registry/spare.h"
#include "manage/registry/uses.h"

#define EVENTS_KEPT 100000
#define BUSY_MS	    5000 /* for a look with other programs */

enum query {
	Q_BEGIN,
	Q_COMMIT,
	Q_EACH,
	Q_PUT,
	Q_DROP,
	Q_KEY,
	Q_KEY_PUT,
	Q_EVENT,
	Q_EVENTS_TRIM,
	Q_EVENTS,
	Q_EVENTS_VM,
	Q_GET,
	Q_SET,
	QUERIES,
};

static const char *const texts[QUERIES] = {
	[Q_BEGIN] = "BEGIN IMMEDIATE",
	[Q_COMMIT] = "COMMIT",
	[Q_EACH] = "SELECT id, name, spec, generation, state, run, reason, "
		   "created, changed, started, restarts, next_start, base FROM vms "
		   "ORDER BY name",
	[Q_PUT] = "INSERT INTO vms (id, name, spec, generation, state, run, "
		  "reason, created, changed, started, restarts, next_start, "
		  "base) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
		  "?12, ?13) "
		  "ON CONFLICT (id) DO UPDATE SET name = ?2, spec = ?3, "
		  "generation = ?4, state = ?5, run = ?6, reason = ?7, "
		  "changed = ?9, started = ?10, restarts = ?11, "
		  "next_start = ?12, base = ?13",
	[Q_DROP] = "DELETE FROM vms WHERE id = ?1",
	[Q_KEY] = "SELECT vm FROM requests WHERE key = ?1",
	[Q_KEY_PUT] = "INSERT INTO requests (key, vm, time) "
		      "VALUES (?1, ?2, ?3)",
	[Q_EVENT] = "INSERT INTO events (time, kind, vm, name, detail) "
		    "VALUES (?1, ?2, ?3, ?4, ?5)",
	[Q_EVENTS_TRIM] = "DELETE FROM events WHERE id <= ?1",
	[Q_EVENTS] = "SELECT id, time, kind, vm, name, detail FROM events "
		     "WHERE id > ?1 ORDER BY id LIMIT ?2",
	[Q_EVENTS_VM] = "SELECT id, time, kind, vm, name, detail FROM events "
			"WHERE id > ?1 AND vm = ?3 ORDER BY id LIMIT ?2",
	[Q_GET] = "SELECT value FROM settings WHERE name = ?1",
	[Q_SET] = "INSERT INTO settings (name, value) VALUES (?1, ?2) "
		  "ON CONFLICT (name) DO UPDATE SET value = ?2",
};

struct registry {
	sqlite3 *db;
	sqlite3_stmt *query[QUERIES];
	struct flush *flush;
	struct uses *uses;
	int64_t last_event;
	char path[PATH_MAX];
};

/* --- opening ---------------------------------------------------------------- */

void registry_close(struct registry *registry)
{
	if (!registry)
		return;
	flush_close(registry->flush);
	for (unsigned int i = 0; i < QUERIES; i++)
		sqlite3_finalize(registry->query[i]);
	uses_close(registry->uses);
	sqlite3_close(registry->db);
	free(registry);
}

/* Whether every page of it is what it should be. */
static bool is_whole(sqlite3 *db)
{
	sqlite3_stmt *check;
	const unsigned char *text;
	bool whole = false;

	if (sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &check,
			       NULL))
		return false;
	if (sqlite3_step(check) == SQLITE_ROW) {
		text = sqlite3_column_text(check, 0);
		whole = text && !strcmp((const char *)text, "ok");
	}
	sqlite3_finalize(check);
	return whole;
}

static int set_up(sqlite3 *db)
{
	static const char settings[] = "PRAGMA journal_mode = WAL;"
				       "PRAGMA synchronous = NORMAL;"
				       "PRAGMA wal_autocheckpoint = 0;"
				       "PRAGMA foreign_keys = ON;"
				       "PRAGMA trusted_schema = OFF;"
				       "PRAGMA cache_size = -1024;";

	sqlite3_busy_timeout(db, BUSY_MS);
	return sqlite3_exec(db, settings, NULL, NULL, NULL);
}

/* 0; 1: damaged; -1 with `problem`. */
static int open_file(const char *path, sqlite3 **db, struct problem *problem)
{
	/* SQLite would let others read it; its log has the same mode. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), err;

	if (fd >= 0) {
		fchmod(fd, 0600);
		close(fd);
	}
	err = sqlite3_open_v2(path, db,
				  SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
					  SQLITE_OPEN_NOMUTEX,
				  NULL);

	if (!err)
		err = set_up(*db);
	if (err == SQLITE_NOTADB || err == SQLITE_CORRUPT ||
	    (!err && !is_whole(*db)))
		return 1;
	if (!err)
		return 0;
	return problem_set(problem, 500, "registry", "registry %s: %s; let "
			   "lodged's user read and write it, or move it away: "
			   "a new one is filled from the machines' folders",
			   path, sqlite3_errmsg(*db));
}

/* The damaged one and its log, out of the way; 0 or -1 with `problem`. */
static int keep_aside(const char *path, char kept[PROBLEM_TEXT_MAX],
		      struct problem *problem)
{
	static const char *const parts[] = { "-wal", "-shm", "" };
	char from[PATH_MAX + 8], to[PATH_MAX + 80], stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
	for (unsigned int i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), "%s%s", path, parts[i]);
		snprintf(to, sizeof(to), "%s.damaged-%s-%d%s", path, stamp,
			 (int)getpid(), parts[i]);
		if (rename(from, to) && errno != ENOENT)
			return problem_set(problem, 500, "registry",
					   "registry %s: is damaged and cannot "
					   "be kept aside: %s", path,
					   strerror(errno));
	}
	snprintf(kept, PROBLEM_TEXT_MAX, "%.*s", PROBLEM_TEXT_MAX - 1, to);
	return 0;
}

static int64_t number_of(struct registry *registry, const char *text)
{
	sqlite3_stmt *query;
	int64_t number = 0;

	if (sqlite3_prepare_v2(registry->db, text, -1, &query, NULL))
		return 0;
	if (sqlite3_step(query) == SQLITE_ROW)
		number = sqlite3_column_int64(query, 0);
	sqlite3_finalize(query);
	return number;
}

static int prepare(struct registry *registry, struct problem *problem)
{
	for (unsigned int i = 0; i < QUERIES; i++)
		if (sqlite3_prepare_v3(registry->db, texts[i], -1,
				       SQLITE_PREPARE_PERSISTENT,
				       &registry->query[i], NULL))
			return problem_set(problem, 500, "registry",
					   "registry %s: %s", registry->path,
					   sqlite3_errmsg(registry->db));
	registry->last_event =
		number_of(registry, "SELECT seq FROM sqlite_sequence WHERE "
				    "name = 'events'");
	return 0;
}

static void close_file(struct registry *registry)
{
	for (unsigned int i = 0; i < QUERIES; i++) {
		sqlite3_finalize(registry->query[i]);
		registry->query[i] = NULL;
	}
	sqlite3_close(registry->db);
	registry->db = NULL;
}

/* As open_file(); one that has not what its version has is damaged as well. */
static int open_whole(struct registry *registry, struct problem *problem)
{
	int rc = open_file(registry->path, &registry->db, problem);

	if (!rc)
		rc = schema_upgrade(registry->db, registry->path, problem);
	if (!rc && prepare(registry, problem))
		rc = 1;
	return rc;
}

/* Of SQLite: a transaction is in the log, which has so many frames. */
static int committed(void *ctx, sqlite3 *db, const char *name, int frames)
{
	struct registry *registry = ctx;

	flush_commit(registry->flush, frames);
	return SQLITE_OK;
}

int registry_open(struct registry **out, const char *folder, bool *fresh,
		  char kept[PROBLEM_TEXT_MAX], struct problem *problem)
{
	struct registry *registry = calloc(1, sizeof(*registry));
	int rc;

	*out = NULL;
	kept[0] = '\0';
	if (!registry)
		return problem_set(problem, 500, "no-memory", "out of memory");
	snprintf(registry->path, sizeof(registry->path), "%s/registry.db",
		 folder);
	*fresh = access(registry->path, F_OK) != 0;
	rc = open_whole(registry, problem);
	if (rc == 1) {
		close_file(registry);
		*fresh = true;
		rc = keep_aside(registry->path, kept, problem);
		if (!rc)
			rc = open_whole(registry, problem);
	}
	if (rc) {
		registry_close(registry);
		return -1;
	}
	registry->uses = uses_open(registry->db, problem);
	if (!registry->uses || uses_fill(registry->uses)) {
		if (registry->uses)
			problem_set(problem, 500, "registry", "registry %s: %s",
				    registry->path,
				    sqlite3_errmsg(registry->db));
		registry_close(registry);
		return -1;
	}
	sqlite3_wal_hook(registry->db, committed, registry);
	rc = flush_open(&registry->flush, registry->path);
	if (rc) {
		problem_set(problem, 500, "registry", "registry %s: %s",
			    registry->path, strerror(-rc));
		registry_close(registry);
		return -1;
	}
	spare_keep(registry->path);
	*out = registry;
	return 0;
}

bool registry_spend(struct registry *registry, const struct problem *problem)
{
	return problem->status == 507 && spare_give(registry->path);
}

void registry_save_up(struct registry *registry)
{
	spare_keep(registry->path);
}

struct uses *registry_uses(struct registry *registry)
{
	return registry->uses;
}

struct flush *registry_flush(struct registry *registry)
{
	return registry->flush;
}

struct sqlite3 *registry_database(struct registry *registry)
{
	return registry->db;
}

/* --- transactions ------------------------------------------------------------ */

static int failed(struct registry *registry, struct problem *problem)
{
	int code = sqlite3_errcode(registry->db);

	if (code == SQLITE_FULL)
		return problem_set(problem, 507, "disk-full",
				   "registry %s: no room on the disk; make "
				   "some and try again", registry->path);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return problem_set(problem, 500, "registry", "registry %s: is "
				   "damaged; end lodged with kill %d, and the "
				   "next one fills a new one from the machines' "
				   "folders", registry->path, (int)getpid());
	return problem_set(problem, 500, "registry", "registry %s: %s",
			   registry->path, sqlite3_errmsg(registry->db));
}

/* Runs a statement whose values are bound, for its effect. */
static int run(struct registry *registry, enum query which)
{
	int code = sqlite3_step(registry->query[which]);

	sqlite3_reset(registry->query[which]);
	sqlite3_clear_bindings(registry->query[which]);
	return code == SQLITE_DONE ? 0 : code ? code : -1;
}

static void bind_text(struct registry *registry, enum query which, int place,
		      const char *text)
{
	if (text)
		sqlite3_bind_text(registry->query[which], place, text, -1,
				  SQLITE_STATIC);
}

static void bind_number(struct registry *registry, enum query which, int place,
			int64_t number)
{
	sqlite3_bind_int64(registry->query[which], place, number);
}

/* Inside of a transaction. */
static int put_event(struct registry *registry,
		     const struct registry_event *event)
{
	struct timespec now;
	int err;

	if (!event)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	sqlite3_bind_double(registry->query[Q_EVENT], 1,
			    (double)now.tv_sec + (double)now.tv_nsec / 1e9);
	bind_text(registry, Q_EVENT, 2, event->kind);
	bind_text(registry, Q_EVENT, 3, event->vm);
	bind_text(registry, Q_EVENT, 4, event->name);
	bind_text(registry, Q_EVENT, 5, event->detail);
	err = run(registry, Q_EVENT);
	if (!err && sqlite3_last_insert_rowid(registry->db) % 64 == 0) {
		bind_number(registry, Q_EVENTS_TRIM, 1,
			    sqlite3_last_insert_rowid(registry->db) -
				    EVENTS_KEPT);
		err = run(registry, Q_EVENTS_TRIM);
	}
	return err;
}

/* Ends what Q_BEGIN began: for `err`, undone with `problem`. */
static int finish(struct registry *registry, int err, bool event,
		  struct problem *problem)
{
	int64_t last = event ? sqlite3_last_insert_rowid(registry->db) : 0;

	if (!err)
		err = run(registry, Q_COMMIT);
	if (!err) {
		if (event)
			registry->last_event = last;
		return 0;
	}
	if (!problem->status)
		failed(registry, problem);
	if (!sqlite3_get_autocommit(registry->db))
		sqlite3_exec(registry->db, "ROLLBACK", NULL, NULL, NULL);
	return -1;
}

/* --- machines ----------------------------------------------------------------- */

static void copy_text(char *to, size_t size, sqlite3_stmt *row, int column)
{
	const unsigned char *text = sqlite3_column_text(row, column);

	snprintf(to, size, "%s", text ? (const char *)text : "");
}

int registry_each_vm(struct registry *registry,
		     void (*use)(void *ctx, const struct registry_vm *vm),
		     void *ctx, struct problem *problem)
{
	sqlite3_stmt *row = registry->query[Q_EACH];
	int code;

	while ((code = sqlite3_step(row)) == SQLITE_ROW) {
		struct registry_vm vm = {
			.spec = (char *)sqlite3_column_text(row, 2),
			.generation = sqlite3_column_int64(row, 3),
			.listed = sqlite3_column_int64(row, 3),
			.created = sqlite3_column_int64(row, 7),
			.changed = sqlite3_column_int64(row, 8),
			.started = sqlite3_column_int64(row, 9),
			.restarts = sqlite3_column_int64(row, 10),
			.next_start = sqlite3_column_int64(row, 11),
		};

		copy_text(vm.id, sizeof(vm.id), row, 0);
		copy_text(vm.name, sizeof(vm.name), row, 1);
		copy_text(vm.state, sizeof(vm.state), row, 4);
		copy_text(vm.run, sizeof(vm.run), row, 5);
		copy_text(vm.reason, sizeof(vm.reason), row, 6);
		copy_text(vm.base, sizeof(vm.base), row, 12);
		use(ctx, &vm);
	}
	sqlite3_reset(row);
	return code == SQLITE_DONE ? 0 : failed(registry, problem);
}

static int put_row(struct registry *registry, const struct registry_vm *vm,
		   struct problem *problem)
{
	const int64_t numbers[] = { vm->created, vm->changed, vm->started,
				    vm->restarts, vm->next_start };
	int err;

	bind_text(registry, Q_PUT, 1, vm->id);
	bind_text(registry, Q_PUT, 2, vm->name);
	bind_text(registry, Q_PUT, 3, vm->spec);
	bind_number(registry, Q_PUT, 4, vm->generation);
	bind_text(registry, Q_PUT, 5, vm->state);
	bind_text(registry, Q_PUT, 6, vm->run);
	bind_text(registry, Q_PUT, 7, vm->reason);
	for (int i = 0; i < 5; i++)
		bind_number(registry, Q_PUT, 8 + i, numbers[i]);
	bind_text(registry, Q_PUT, 13, vm->base);
	err = run(registry, Q_PUT);
	if (err && sqlite3_errcode(registry->db) == SQLITE_CONSTRAINT)
		problem_set(problem, 409, "name-taken", "there is a machine "
			    "%s; give another name", vm->name);
	return err;
}

int registry_put_vm(struct registry *registry, const struct registry_vm *vm,
		    const struct registry_event *event, const char *key,
		    struct problem *problem)
{
	int err = run(registry, Q_BEGIN);

	problem->status = 0;
	if (!err)
		err = put_row(registry, vm, problem);
	if (!err && key) {
		bind_text(registry, Q_KEY_PUT, 1, key);
		bind_text(registry, Q_KEY_PUT, 2, vm->id);
		bind_number(registry, Q_KEY_PUT, 3, time(NULL));
		err = run(registry, Q_KEY_PUT);
	}
	if (!err && vm->listed != vm->generation)
		err = uses_put(registry->uses, vm->id, vm->spec);
	if (!err)
		err = put_event(registry, event);
	return finish(registry, err, event, problem);
}

int registry_drop_vm(struct registry *registry, const char *id,
		     const struct registry_event *event,
		     struct problem *problem)
{
	int err = run(registry, Q_BEGIN);

	problem->status = 0;
	bind_text(registry, Q_DROP, 1, id);
	if (!err)
		err = run(registry, Q_DROP);
	if (!err)
		err = put_event(registry, event);
	return finish(registry, err, event, problem);
}

bool registry_find_key(struct registry *registry, const char *key,
		       char id[REGISTRY_ID_MAX + 1])
{
	sqlite3_stmt *row = registry->query[Q_KEY];
	bool found;

	bind_text(registry, Q_KEY, 1, key);
	found = sqlite3_step(row) == SQLITE_ROW;
	if (found)
		copy_text(id, REGISTRY_ID_MAX + 1, row, 0);
	sqlite3_reset(row);
	return found;
}

/* --- events -------------------------------------------------------------------- */

int64_t registry_last_event(const struct registry *registry)
{
	return registry->last_event;
}

int registry_add_event(struct registry *registry,
		       const struct registry_event *event,
		       struct problem *problem)
{
	int err = run(registry, Q_BEGIN);

	problem->status = 0;
	if (!err)
		err = put_event(registry, event);
	return finish(registry, err, true, problem);
}

static json_t *event_json(sqlite3_stmt *row)
{
	return json_pack("{sI sf ss ss* ss* ss*}", "id",
			 (json_int_t)sqlite3_column_int64(row, 0), "time",
			 sqlite3_column_double(row, 1), "kind",
			 (const char *)sqlite3_column_text(row, 2), "vm",
			 (const char *)sqlite3_column_text(row, 3), "name",
			 (const char *)sqlite3_column_text(row, 4), "detail",
			 (const char *)sqlite3_column_text(row, 5));
}

json_t *registry_events(struct registry *registry, int64_t since, int limit,
			const char *vm, struct problem *problem)
{
	enum query which = vm ? Q_EVENTS_VM : Q_EVENTS;
	sqlite3_stmt *row = registry->query[which];
	json_t *list = json_array();
	int code;

	bind_number(registry, which, 1, since);
	bind_number(registry, which, 2, limit);
	if (vm)
		bind_text(registry, which, 3, vm);
	while ((code = sqlite3_step(row)) == SQLITE_ROW)
		json_array_append_new(list, event_json(row));
	sqlite3_reset(row);
	if (code == SQLITE_DONE)
		return list;
	json_decref(list);
	failed(registry, problem);
	return NULL;
}

/* --- settings ------------------------------------------------------------------- */

void registry_get(struct registry *registry, const char *name, char *value,
		  size_t size)
{
	sqlite3_stmt *row = registry->query[Q_GET];

	bind_text(registry, Q_GET, 1, name);
	value[0] = '\0';
	if (sqlite3_step(row) == SQLITE_ROW)
		copy_text(value, size, row, 0);
	sqlite3_reset(row);
}

int registry_set(struct registry *registry, const char *name,
		 const char *value, struct problem *problem)
{
	bind_text(registry, Q_SET, 1, name);
	bind_text(registry, Q_SET, 2, value);
	return run(registry, Q_SET) ? failed(registry, problem) : 0;
}
