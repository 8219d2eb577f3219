/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodged's configuration: what is taken, and how each mistake is told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fake/test.h"
#include "manage/settings.h"

static char folder[64];
static struct settings settings;
static struct problem problem;

static int setup(void **state)
{
	char path[96];

	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/lodge", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	return setenv("XDG_CONFIG_HOME", folder, 1);
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static int load(const char *text)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/lodge/lodged.conf", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	return settings_load(&settings, &problem);
}

static void refused(const char *text, const char *words)
{
	assert_int_equal(load(text), -1);
	assert_non_null(strstr(problem.text, "lodge/lodged.conf, line "));
	if (!strstr(problem.text, words))
		fail_msg("\"%s\" lacks \"%s\"", problem.text, words);
}

static void without_a_file_there_is_something(void **state)
{
	assert_int_equal(settings_load(&settings, &problem), 0);
	assert_true(settings.cpu_overcommit == 32);
	assert_true(settings.memory_overcommit == 1.5);
	assert_non_null(strstr(settings.path, "/lodge/lodged.conf"));
}

static void what_it_says_is_taken(void **state)
{
	assert_int_equal(load("# all\n\n cpu-overcommit = 2.5 # twice\n"
			      "memory-overcommit=none"), 0);
	assert_true(settings.cpu_overcommit == 2.5);
	assert_true(settings.memory_overcommit == 0);
}

static void mistakes_are_told_by_line(void **state)
{
	refused("\ncpu-overcomit = 1\n", "line 2: cpu-overcomit");
	refused("cpu-overcomit = 1", "did you mean cpu-overcommit?");
	refused("cpu-overcommit 2", "NAME = VALUE");
	refused("cpu-overcommit = 0", "0.1 to 1000, or none");
	refused("cpu-overcommit = nan", "0.1 to 1000, or none");
	refused("cpu-overcommit = ", "0.1 to 1000, or none");
	refused("memory-overcommit = 2x", "0.1 to 1000, or none");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_a_file_there_is_something),
		TEST(what_it_says_is_taken),
		TEST(mistakes_are_told_by_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
