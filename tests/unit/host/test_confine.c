/* SPDX-License-Identifier: Apache-2.0 */
/* What a process has given up, each tried in a process of its own. */
#include "host/linux/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"

/* What `act` gives in a process of its own: 0 to 255; 256: it was killed. */
static int apart(int (*act)(void))
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? 255 : act());
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

/* --- system calls --------------------------------------------------------------- */

static int two_of_many(void)
{
	uint16_t calls[CONFINE_CALLS_MAX];

	/* The list's first and last; most are no calls at all. */
	for (unsigned int i = 0; i < CONFINE_CALLS_MAX; i++)
		calls[i] = (uint16_t)(2000 + i);
	calls[0] = SYS_exit_group;
	calls[CONFINE_CALLS_MAX - 1] = SYS_getppid;
	if (confine_calls(calls, CONFINE_CALLS_MAX) || getppid() <= 0)
		return 1;
	if (syscall(SYS_getuid) != -1 || errno != ENOSYS)
		return 2;
	return 0;
}

static void only_the_named_calls_are_made(void **state)
{
	assert_int_equal(apart(two_of_many), 0);
}

static int too_many(void)
{
	static const uint16_t calls[CONFINE_CALLS_MAX + 1];

	return -confine_calls(calls, CONFINE_CALLS_MAX + 1);
}

static void a_longer_list_is_refused(void **state)
{
	assert_int_equal(apart(too_many), E2BIG);
}

/* --- privileges ----------------------------------------------------------------- */

static int none_kept(void)
{
	if (confine_privileges(0))
		return 1;
	return unshare(CLONE_NEWNS) ? errno : 0;
}

static void privileges_are_gone(void **state)
{
	assert_int_equal(apart(none_kept), EPERM);
}

/* --- files ---------------------------------------------------------------------- */

/* A folder may be read, and only it. */
static int only_etc(void)
{
	int rules = confine_rules(true, CONFINE_ABSTRACT | CONFINE_SIGNALS);
	int etc = open("/etc", O_PATH | O_DIRECTORY);

	if (rules < 0 || confine_except(rules, etc,
					LANDLOCK_ACCESS_FS_READ_FILE |
						CONFINE_FS_IOCTL_DEV) ||
	    confine_files(rules))
		return 1;
	if (open("/etc/passwd", O_RDONLY) < 0)
		return 2;
	if (open("/proc/self/status", O_RDONLY) >= 0 || errno != EACCES)
		return 3;
	return open("/etc", O_RDONLY | O_DIRECTORY) < 0 ? 0 : 4;
}

static void only_excepted_files_are_there(void **state)
{
	if (!confine_landlock()) {
		assert_int_equal(confine_rules(true, 0), -ENOSYS);
		skip();
	}
	assert_int_equal(apart(only_etc), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_named_calls_are_made),
		cmocka_unit_test(a_longer_list_is_refused),
		cmocka_unit_test(privileges_are_gone),
		cmocka_unit_test(only_excepted_files_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
