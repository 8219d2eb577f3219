/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process and its children use: counted where it arises, once.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"
#include "host/linux/process_use.h"

#define MIB   (1u << 20)
#define SIZE  (16 * MIB)
#define SHARE (32 * MIB)

/* A child that has touched `own` bytes and all of `shared`, and waits. */
static pid_t child(size_t own, char *shared)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		char *bytes = malloc(own);

		memset(bytes, 1, own);
		memset(shared, 1, SHARE);
		if (write(ready[1], bytes, 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool tells_children(void)
{
	return !access("/proc/thread-self/children", R_OK);
}

static void children_are_counted(void **state)
{
	char *shared = mmap(NULL, SHARE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct process_use before, with, after;
	pid_t pid;

	if (!tells_children())
		skip();
	assert_true(shared != MAP_FAILED);
	memset(shared, 1, SHARE);
	process_use(getpid(), &before);
	assert_int_equal(before.processes, 1);
	pid = child(SIZE, shared);
	process_use(getpid(), &with);
	assert_int_equal(with.processes, 2);
	/* Its own, and not what both have. */
	assert_in_range(with.memory - before.memory, SIZE, SIZE + SHARE / 2);
	end(pid);
	process_use(getpid(), &after);
	assert_int_equal(after.processes, 1);
	assert_true(after.memory < with.memory);
	/* It has ended; what it used was used. */
	assert_true(after.cpu_ns >= before.cpu_ns);
	munmap(shared, SHARE);
}

static void one_that_is_gone(void **state)
{
	struct process_use use = { .processes = 7, .cpu_ns = 7 };
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	process_use(pid, &use);
	assert_int_equal(use.processes, 0);
	assert_int_equal(use.cpu_ns, 0);
	assert_int_equal(use.memory, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(children_are_counted),
		cmocka_unit_test(one_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
