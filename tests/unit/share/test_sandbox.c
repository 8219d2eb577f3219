/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server can still do when it has entered its sandbox, each tried in a
 * process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"
#include "host/linux/confine.h"
#include "share/server/sandbox.h"

static char folder[] = "/tmp/lodge-test-XXXXXX";
static int fd;

static int setup(void **state)
{
	strcpy(folder, "/tmp/lodge-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	fd = open(folder, O_PATH | O_DIRECTORY);
	return 0;
}

static int teardown(void **state)
{
	unlinkat(fd, "a", 0);
	unlinkat(fd, "b", 0);
	close(fd);
	return rmdir(folder);
}

/* What `act` gives in the sandbox: 0 to 255; 256: it was killed. */
static int inside(bool readonly, int (*act)(void))
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(sandbox_enter(fd, readonly) ? 255 : act());
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

static int result(int rc)
{
	return rc < 0 ? errno : 0;
}

static int write_own(void)
{
	return result(openat(fd, "a", O_WRONLY | O_CREAT, 0644)) ||
	       result(renameat(fd, "a", fd, "b"));
}

static int make_own(void)
{
	return result(openat(fd, "a", O_WRONLY | O_CREAT, 0644));
}

static int read_own(void)
{
	return result(openat(fd, "b", O_RDONLY));
}

static int read_other(void)
{
	return result(open("/etc/passwd", O_RDONLY));
}

static int make_other(void)
{
	return result(open("/tmp/lodge-test-outside", O_WRONLY | O_CREAT,
			   0644));
}

static int make_device(void)
{
	return result(mknodat(fd, "a", S_IFCHR | 0666, 0x103));
}

static int execute(void)
{
	char *const words[] = { "true", NULL };

	return result(execv("/bin/true", words));
}

static int signal_others(void)
{
	return result(kill(getppid(), 0));
}

static int have_socket(void)
{
	return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int trace(void)
{
	return result((int)syscall(SYS_ptrace, 16, getppid(), 0, 0));
}

static int gain(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1;
}

static void *nothing(void *ctx)
{
	return ctx;
}

/* Its threads start later. */
static int thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL) ||
	       pthread_join(thread, NULL);
}

static void own_files(void **state)
{
	assert_int_equal(inside(false, write_own), 0);
	assert_int_equal(inside(false, read_own), 0);
	assert_int_equal(inside(true, read_own), 0);
	assert_int_equal(inside(false, thread), 0);
}

static void other_files(void **state)
{
	if (confine_landlock() < 2)
		skip();
	assert_int_equal(inside(false, read_other), EACCES);
	assert_int_equal(inside(true, read_other), EACCES);
	assert_int_equal(inside(false, make_other), EACCES);
	assert_int_equal(inside(true, make_own), EACCES);
	assert_int_equal(access("/tmp/lodge-test-outside", F_OK), -1);
}

/* Whatever the kernel has, these are refused, one way or another. */
static void powers(void **state)
{
	assert_int_equal(inside(false, gain), 0);
	assert_int_not_equal(inside(false, make_device), 0);
	assert_in_range(inside(false, have_socket), 1, 254);
	assert_in_range(inside(false, execute), 1, 254);
	assert_in_range(inside(false, signal_others), 1, 254);
	assert_in_range(inside(false, trace), 1, 254);
}

static void descriptors(void **state)
{
	unsigned int count = sandbox_descriptors();

	assert_in_range(count, 32, 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(own_files, setup, teardown),
		cmocka_unit_test_setup_teardown(other_files, setup, teardown),
		cmocka_unit_test_setup_teardown(powers, setup, teardown),
		cmocka_unit_test(descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
