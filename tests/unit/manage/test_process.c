/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes by their lock: one at a time, found again by who comes later,
 * whatever became of the one that started them; and how runs end.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"
#include "manage/vm/ending.h"
#include "manage/vm/process.h"

static char path[64];
static int folder;
static struct problem problem;

static int setup(void **state)
{
	snprintf(path, sizeof(path), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(path));
	folder = open(path, O_RDONLY | O_DIRECTORY);
	return folder < 0;
}

static int teardown(void **state)
{
	char command[128];

	close(folder);
	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	return system(command);
}

static int start(struct process *process, const char *script, const char *run)
{
	char *const arg[] = { "lodge-vm", "-c", (char *)script, NULL };

	return process_start(process, folder, "/bin/sh", arg, run, &problem);
}

static int end(struct process *process)
{
	struct pollfd ready = { .fd = process->pidfd, .events = POLLIN };

	assert_int_equal(poll(&ready, 1, -1), 1);
	return process_end(process);
}

static void it_lives_once(void **state)
{
	struct process process, other;

	assert_int_equal(process_find(&other, folder, &problem), 1);
	assert_string_equal(other.run, "");
	assert_int_equal(start(&process, "read never; sleep 600", "one"), 0);
	process_close(&process);
	assert_int_equal(start(&process, "exec sleep 600", "two"), -1);
	assert_string_equal(problem.code, "lives");
}

/* Its number, though nobody told it. */
static void it_is_found_again(void **state)
{
	struct process process, other;
	int rc;

	assert_int_equal(start(&process, "exec sleep 600", "one"), 0);
	while ((rc = process_find(&other, folder, &problem)) == 2)
		;
	assert_int_equal(rc, 0);
	assert_int_equal(other.pid, process.pid);
	assert_string_equal(other.run, "one");
	process_signal(&other, SIGKILL);
	process_close(&other);
	assert_int_equal(WTERMSIG(end(&process)), SIGKILL);
	assert_int_equal(process_find(&other, folder, &problem), 1);
	assert_string_equal(other.run, "one");
}

static void it_has_no_descriptor_but_the_lock(void **state)
{
	struct process process;
	char text[256] = "";
	int fd, stray = open("/dev/null", O_RDONLY);

	assert_int_equal(start(&process, "for i in 3 4 5 6 7 8 9; do test ! -e "
					 "/proc/$$/fd/$i || echo $i; done",
			       "one"), 0);
	assert_int_equal(WEXITSTATUS(end(&process)), 0);
	fd = openat(folder, "log", O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	close(stray);
	assert_string_equal(text, "3\n");
}

static void no_program_is_told_in_the_log(void **state)
{
	char *const arg[] = { "lodge-vm", NULL };
	struct process process;
	struct ending ending;

	assert_int_equal(process_start(&process, folder, "/no/such", arg,
				       "one", &problem), 0);
	ending_find(&ending, folder, "one", end(&process));
	assert_true(ending.failed);
	assert_string_equal(ending.kind, "failed");
	assert_non_null(strstr(ending.text, "/no/such"));
}

static int count_calls(void *ctx)
{
	int *left = ctx;

	dprintf(2, "before %d\n", *left);
	return *left ? 0 : -1;
}

static void something_goes_before_the_program(void **state)
{
	char *const arg[] = { "lodge-vm", "-c", "exit 5", NULL };
	struct process process;
	int value = 1;
	const struct process_before before = { count_calls, &value };
	char text[32] = "";
	int fd, status;

	assert_int_equal(process_start_after(&process, folder, "/bin/sh", arg,
					     "one", &before, &problem), 0);
	status = end(&process);
	assert_int_equal(WEXITSTATUS(status), 5);
	fd = openat(folder, "log", O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text, "before 1\n");
	value = 0;
	assert_int_equal(process_start_after(&process, folder, "/bin/sh", arg,
					     "two", &before, &problem), 0);
	status = end(&process);
	assert_int_equal(WEXITSTATUS(status), 127);
}

static void put(const char *name, const char *text)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void ends_are_told_apart(void **state)
{
	static const struct {
		const char *report, *kind;
		bool failed, asked;
	} cases[] = {
		{ "{\"exit_reason\":\"power-off\"}", "stopped", false, false },
		{ "{\"exit_reason\":\"stopped\"}", "stopped", false, true },
		{ "{\"exit_reason\":\"crash\"}", "crashed", true, false },
		{ "{\"exit_reason\":\"???\"}", "failed", true, false },
		{ "{", "failed", true, false },
		{ "[]", "failed", true, false },
	};
	struct ending ending;

	put("log", "lodge: log in as x with the password y\nlodge: disk a: "
		   "broken\nnoise\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put("report-one.json", cases[i].report);
		ending_find(&ending, folder, "one", 1 << 8);
		assert_string_equal(ending.kind, cases[i].kind);
		assert_int_equal(ending.failed, cases[i].failed);
		assert_int_equal(ending.asked, cases[i].asked);
		if (ending.failed)
			assert_string_equal(ending.text, "disk a: broken");
	}
	ending_find(&ending, folder, "two", 9);
	assert_non_null(strstr(ending.text, "signal 9"));
	/* Nobody saw it end: what it said last may be of long before. */
	ending_find(&ending, folder, "two", -1);
	assert_string_equal(ending.text, "its process was killed, or ended "
			    "unseen; it said last: disk a: broken");
	put("log", "lodge: log in as x with the password y\n");
	ending_find(&ending, folder, "two", -1);
	assert_null(strstr(ending.text, "password"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_lives_once, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_found_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			it_has_no_descriptor_but_the_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(no_program_is_told_in_the_log,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			something_goes_before_the_program, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_are_told_apart, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
