/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/access/audit.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>

#include "vm/host.h"

enum query {
	Q_ADD,
	Q_TRIM,
	Q_AFTER,
	Q_NEWEST,
	QUERIES,
};

static const char *const texts[QUERIES] = {
	[Q_ADD] = "INSERT INTO audit (time, who, place, method, path, status, "
		  "detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[Q_TRIM] = "DELETE FROM audit WHERE id <= ?1",
	[Q_AFTER] = "SELECT id, time, who, place, method, path, status, detail "
		    "FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2",
	[Q_NEWEST] = "SELECT * FROM (SELECT id, time, who, place, method, "
		     "path, status, detail FROM audit WHERE id > ?1 "
		     "ORDER BY id DESC LIMIT ?2) ORDER BY id",
};

struct audit {
	sqlite3 *db;
	sqlite3_stmt *query[QUERIES];
};

struct audit *audit_open(struct registry *registry, struct problem *problem)
{
	struct audit *audit = calloc(1, sizeof(*audit));

	if (!audit) {
		problem_set(problem, 500, "no-memory", "out of memory");
		return NULL;
	}
	audit->db = registry_database(registry);
	for (unsigned int i = 0; i < QUERIES; i++) {
		if (!sqlite3_prepare_v3(audit->db, texts[i], -1,
					SQLITE_PREPARE_PERSISTENT,
					&audit->query[i], NULL))
			continue;
		problem_set(problem, 500, "registry", "registry: %s",
			    sqlite3_errmsg(audit->db));
		audit_close(audit);
		return NULL;
	}
	return audit;
}

void audit_close(struct audit *audit)
{
	if (!audit)
		return;
	for (unsigned int i = 0; i < QUERIES; i++)
		sqlite3_finalize(audit->query[i]);
	free(audit);
}

static int run(struct audit *audit, enum query which)
{
	int code = sqlite3_step(audit->query[which]);

	sqlite3_reset(audit->query[which]);
	sqlite3_clear_bindings(audit->query[which]);
	return code == SQLITE_DONE ? 0 : -1;
}

static void bind(sqlite3_stmt *query, int place, const char *text)
{
	if (text)
		sqlite3_bind_text(query, place, text, -1, SQLITE_STATIC);
}

void audit_add(struct audit *audit, const struct audit_line *line)
{
	sqlite3_stmt *query = audit->query[Q_ADD];
	struct timespec now;
	int64_t id;

	clock_gettime(CLOCK_REALTIME, &now);
	sqlite3_bind_double(query, 1, (double)now.tv_sec +
					      (double)now.tv_nsec / 1e9);
	bind(query, 2, line->who);
	bind(query, 3, line->where);
	bind(query, 4, line->method);
	bind(query, 5, line->path);
	sqlite3_bind_int(query, 6, line->status);
	bind(query, 7, line->detail);
	if (run(audit, Q_ADD)) {
		host_log(HOST_LOG_ERROR, "audit: %s %s by %s (%d) is not kept: "
			 "%s", line->method, line->path,
			 line->who ? line->who : "nobody", line->status,
			 sqlite3_errmsg(audit->db));
		return;
	}
	id = sqlite3_last_insert_rowid(audit->db);
	if (id % 64)
		return;
	sqlite3_bind_int64(audit->query[Q_TRIM], 1, id - AUDIT_KEPT);
	run(audit, Q_TRIM);
}

static const char *text_of(sqlite3_stmt *row, int column)
{
	return (const char *)sqlite3_column_text(row, column);
}

static json_t *line_json(sqlite3_stmt *row)
{
	return json_pack("{sI sf ss* ss* ss ss si ss*}", "id",
			 (json_int_t)sqlite3_column_int64(row, 0), "time",
			 sqlite3_column_double(row, 1), "who", text_of(row, 2),
			 "from", text_of(row, 3), "method", text_of(row, 4),
			 "path", text_of(row, 5), "status",
			 sqlite3_column_int(row, 6), "detail",
			 text_of(row, 7));
}

json_t *audit_list(struct audit *audit, int64_t since, int limit, bool newest,
		   struct problem *problem)
{
	sqlite3_stmt *row = audit->query[newest ? Q_NEWEST : Q_AFTER];
	json_t *list = json_array();
	int code;

	sqlite3_bind_int64(row, 1, since);
	sqlite3_bind_int(row, 2, limit);
	while ((code = sqlite3_step(row)) == SQLITE_ROW)
		json_array_append_new(list, line_json(row));
	sqlite3_reset(row);
	if (code == SQLITE_DONE)
		return list;
	problem_set(problem, 500, "registry", "registry: %s",
		    sqlite3_errmsg(audit->db));
	json_decref(list);
	return NULL;
}
