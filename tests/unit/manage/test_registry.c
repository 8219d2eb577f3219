/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: what was put is there again, names are unique, a writer that
 * is killed loses nothing that it was told, damage is kept aside, versions.
 */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"
#include "manage/registry/registry.h"
#include "manage/registry/schema.h"

static char folder[64], kept[PROBLEM_TEXT_MAX];
static struct registry *registry;
static struct problem problem;
static bool fresh;

static int open_again(void)
{
	registry_close(registry);
	return registry_open(&registry, folder, &fresh, kept, &problem);
}

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	registry = NULL;
	assert_int_equal(open_again(), 0);
	assert_true(fresh);
	assert_string_equal(kept, "");
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	registry_close(registry);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static struct registry_vm make(const char *id, const char *name)
{
	struct registry_vm vm = {
		.spec = "{\"cpus\":2}", .generation = 3, .state = "running",
		.run = "r1", .reason = "crash", .created = 11, .changed = 12,
		.started = 13, .restarts = 14, .next_start = 15,
	};

	strcpy(vm.id, id);
	strcpy(vm.name, name);
	return vm;
}

static int put(const char *id, const char *name, const char *key)
{
	const struct registry_vm vm = make(id, name);
	const struct registry_event event = { .kind = "created", .vm = id,
					      .name = name };

	return registry_put_vm(registry, &vm, &event, key, &problem);
}

struct seen {
	unsigned int count;
	struct registry_vm last;
	char spec[64];
};

static void see(void *ctx, const struct registry_vm *vm)
{
	struct seen *seen = ctx;

	seen->count++;
	seen->last = *vm;
	snprintf(seen->spec, sizeof(seen->spec), "%s", vm->spec);
}

static struct seen look(void)
{
	struct seen seen = { 0 };

	assert_int_equal(registry_each_vm(registry, see, &seen, &problem), 0);
	return seen;
}

static void a_machine_is_there_again(void **state)
{
	struct seen seen;

	assert_int_equal(put("a", "web", NULL), 0);
	assert_int_equal(open_again(), 0);
	assert_false(fresh);
	seen = look();
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.last.name, "web");
	assert_string_equal(seen.spec, "{\"cpus\":2}");
	assert_string_equal(seen.last.state, "running");
	assert_string_equal(seen.last.run, "r1");
	assert_string_equal(seen.last.reason, "crash");
	assert_int_equal(seen.last.generation, 3);
	assert_int_equal(seen.last.created, 11);
	assert_int_equal(seen.last.changed, 12);
	assert_int_equal(seen.last.started, 13);
	assert_int_equal(seen.last.restarts, 14);
	assert_int_equal(seen.last.next_start, 15);
}

static void a_name_is_given_once(void **state)
{
	assert_int_equal(put("a", "web", NULL), 0);
	assert_int_equal(put("b", "web", NULL), -1);
	assert_int_equal(problem.status, 409);
	assert_non_null(strstr(problem.text, "web"));
	assert_int_equal(look().count, 1);
	/* The failed one has left no event, and no transaction open. */
	assert_int_equal(registry_last_event(registry), 1);
	assert_int_equal(put("a", "db", NULL), 0);
	assert_string_equal(look().last.name, "db");
}

static void a_key_leads_to_its_machine(void **state)
{
	char id[REGISTRY_ID_MAX + 1];

	assert_int_equal(put("a", "web", "k1"), 0);
	assert_true(registry_find_key(registry, "k1", id));
	assert_string_equal(id, "a");
	assert_false(registry_find_key(registry, "k2", id));
	assert_int_equal(registry_drop_vm(registry, "a", NULL, &problem), 0);
	assert_false(registry_find_key(registry, "k1", id));
}

static void events_are_numbered(void **state)
{
	json_t *list;

	assert_int_equal(put("a", "web", NULL), 0);
	assert_int_equal(put("b", "db", NULL), 0);
	list = registry_events(registry, 1, 10, NULL, &problem);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_string_value(json_object_get(
		json_array_get(list, 0), "name")), "db");
	json_decref(list);
	list = registry_events(registry, 0, 10, "a", &problem);
	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	/* Numbers go on where they were, even when the rows are gone. */
	assert_int_equal(open_again(), 0);
	assert_int_equal(registry_last_event(registry), 2);
}

static void settings_are_kept(void **state)
{
	char value[16];

	registry_get(registry, "boot", value, sizeof(value));
	assert_string_equal(value, "");
	assert_int_equal(registry_set(registry, "boot", "x", &problem), 0);
	assert_int_equal(registry_set(registry, "boot", "y", &problem), 0);
	assert_int_equal(open_again(), 0);
	registry_get(registry, "boot", value, sizeof(value));
	assert_string_equal(value, "y");
}

/* A child that writes until it is killed tells each that it was told of. */
static void the_killed_lose_nothing(void **state)
{
	for (unsigned int round = 0; round < 5; round++) {
		unsigned int told = 0, base = look().count;
		char byte;
		int pipes[2];
		pid_t pid;

		assert_int_equal(pipe(pipes), 0);
		registry_close(registry);
		registry = NULL;
		pid = fork();
		if (!pid) {
			if (open_again())
				_exit(1);
			for (unsigned int i = 0;; i++) {
				char id[32];

				snprintf(id, sizeof(id), "%u-%u", round, i);
				if (put(id, id, NULL) ||
				    write(pipes[1], "x", 1) != 1)
					_exit(1);
			}
		}
		close(pipes[1]);
		while (told < 3 + round && read(pipes[0], &byte, 1) == 1)
			told++;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(pipes[0], &byte, 1) == 1)
			told++;
		close(pipes[0]);
		assert_true(told >= 3 + round);
		assert_int_equal(open_again(), 0);
		assert_string_equal(kept, "");
		/* One may have been written whose word was not heard. */
		assert_in_range(look().count, base + told, base + told + 1);
		assert_int_equal(registry_last_event(registry), look().count);
	}
}

static void overwrite(const char *name, long offset)
{
	char path[128], noise[2048];
	int fd;

	memset(noise, 0xa5, sizeof(noise));
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, noise, sizeof(noise), offset),
			 (ssize_t)sizeof(noise));
	close(fd);
}

static void a_damaged_one_is_kept_aside(void **state)
{
	const long offsets[] = { 0, 100, 4096 };

	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(put("a", "web", NULL), 0);
		registry_close(registry);
		registry = NULL;
		overwrite("registry.db", offsets[i]);
		assert_int_equal(open_again(), 0);
		assert_true(fresh);
		assert_non_null(strstr(kept, "registry.db.damaged-"));
		assert_int_equal(access(kept, F_OK), 0);
		assert_int_equal(unlink(kept), 0);
		assert_int_equal(look().count, 0);
	}
}

static void a_newer_one_is_refused(void **state)
{
	char path[128], line[64];
	sqlite3 *db;

	registry_close(registry);
	registry = NULL;
	snprintf(path, sizeof(path), "%s/registry.db", folder);
	assert_int_equal(sqlite3_open(path, &db), 0);
	snprintf(line, sizeof(line), "PRAGMA user_version = %d",
		 schema_newest() + 1);
	assert_int_equal(sqlite3_exec(db, line, NULL, NULL, NULL), 0);
	sqlite3_close(db);
	assert_int_equal(open_again(), -1);
	assert_non_null(strstr(problem.text, "newer"));
	assert_string_equal(kept, "");
}

/* A registry as a lodged wrote it that knew that version and no more. */
static void write_old(const char *path, int version)
{
	static const char row[] =
		"INSERT INTO vms (id, name, spec, generation, state, run, "
		"reason, created, changed, started, restarts, next_start) "
		"VALUES ('a', 'web', '{\"cpus\":2}', 3, 'stopped', 'r1', "
		"'crash', 11, 12, 13, 14, 15);"
		"INSERT INTO events (time, kind, vm, name) "
		"VALUES (1.5, 'created', 'a', 'web');"
		"INSERT INTO requests VALUES ('key', 'a', 11);"
		"INSERT INTO settings VALUES ('boot', 'b');";
	char line[64];
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), 0);
	for (int i = 0; i < version; i++)
		assert_int_equal(sqlite3_exec(db, schema_step(i), NULL, NULL,
					      NULL), 0);
	snprintf(line, sizeof(line), "PRAGMA user_version = %d", version);
	assert_int_equal(sqlite3_exec(db, line, NULL, NULL, NULL), 0);
	assert_int_equal(sqlite3_exec(db, row, NULL, NULL, NULL), 0);
	sqlite3_close(db);
}

static void older_ones_are_brought_up_to_date(void **state)
{
	char path[128], value[8], id[REGISTRY_ID_MAX + 1];
	struct seen seen;

	snprintf(path, sizeof(path), "%s/registry.db", folder);
	for (int version = 1; version < schema_newest(); version++) {
		registry_close(registry);
		registry = NULL;
		unlink(path);
		write_old(path, version);
		assert_int_equal(open_again(), 0);
		assert_false(fresh);
		assert_string_equal(kept, "");
		seen = look();
		assert_int_equal(seen.count, 1);
		assert_string_equal(seen.last.name, "web");
		assert_string_equal(seen.spec, "{\"cpus\":2}");
		assert_string_equal(seen.last.base, "");
		assert_int_equal(seen.last.next_start, 15);
		assert_int_equal(registry_last_event(registry), 1);
		assert_true(registry_find_key(registry, "key", id));
		registry_get(registry, "boot", value, sizeof(value));
		assert_string_equal(value, "b");
		/* And is used, and found as it was left. */
		assert_int_equal(put("b", "db", NULL), 0);
		assert_int_equal(open_again(), 0);
		assert_int_equal(look().count, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_machine_is_there_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_name_is_given_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_key_leads_to_its_machine,
						setup, teardown),
		cmocka_unit_test_setup_teardown(events_are_numbered, setup,
						teardown),
		cmocka_unit_test_setup_teardown(settings_are_kept, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_killed_lose_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_damaged_one_is_kept_aside,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_newer_one_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			older_ones_are_brought_up_to_date, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
