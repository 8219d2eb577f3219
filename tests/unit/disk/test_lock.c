/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on images: who shares, who is named, and what QEMU's locks mean.
 */
#include "disk/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"

static char path[64];
static struct disk_error error;

static int setup(void **state)
{
	int fd;

	snprintf(path, sizeof(path), "%s/lodge-XXXXXX", P_tmpdir);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return 0;
}

static int open_it(bool readonly)
{
	int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void one_writes_or_many_read(void **state)
{
	int a = open_it(false), b = open_it(true), c = open_it(true);

	assert_int_equal(disk_lock(a, false, &error), 0);
	assert_int_equal(disk_lock(b, true, &error), -EBUSY);
	assert_non_null(strstr(error.text, "in use here already"));
	close(a);
	assert_int_equal(disk_lock(b, true, &error), 0);
	assert_int_equal(disk_lock(c, true, &error), 0);
	a = open_it(false);
	assert_int_equal(disk_lock(a, false, &error), -EBUSY);
	close(c);
	close(b);
	assert_int_equal(disk_lock(a, false, &error), 0);
	close(a);
}

static void the_holder_is_named(void **state)
{
	int told[2], end[2], fd;
	char expected[64], byte;
	pid_t child;

	assert_int_equal(pipe(told), 0);
	assert_int_equal(pipe(end), 0);
	child = fork();
	if (!child) {
		close(end[1]);
		fd = open_it(false);
		if (!disk_lock(fd, false, &error) && write(told[1], "", 1))
			_exit(read(end[0], &byte, 1) != 0);
		_exit(1);
	}
	close(end[0]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	fd = open_it(true);
	assert_int_equal(disk_lock(fd, true, &error), -EBUSY);
	snprintf(expected, sizeof(expected), "by process %d (test-disk-lock",
		 (int)child);
	if (!strstr(error.text, expected))
		fail_msg("said: %s", error.text);
	close(end[1]);
	waitpid(child, NULL, 0);
	assert_int_equal(disk_lock(fd, true, &error), 0);
	close(fd);
	close(told[0]);
	close(told[1]);
}

/* As QEMU does with a byte. */
static void share_byte(int fd, off_t at)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
			      .l_start = at, .l_len = 1 };

	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

/* As QEMU looks whether anybody has a byte. */
static bool is_shared(int fd, off_t at)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
			      .l_start = at, .l_len = 1 };

	assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
	return lock.l_type != F_UNLCK;
}

static void qemu_is_seen_and_sees(void **state)
{
	int qemu = open_it(false), fd = open_it(true);

	share_byte(qemu, 100); /* reads, and lets others read */
	share_byte(qemu, 201);
	assert_int_equal(disk_lock(fd, true, &error), 0);
	assert_true(is_shared(qemu, 201)); /* nobody may write */
	assert_false(is_shared(qemu, 101)); /* nobody does */
	assert_false(is_shared(qemu, 200)); /* anybody may read */
	close(fd);
	fd = open_it(false);
	assert_int_equal(disk_lock(fd, false, &error), -EBUSY);
	close(fd);
	share_byte(qemu, 101); /* writes */
	fd = open_it(true);
	assert_int_equal(disk_lock(fd, true, &error), -EBUSY);
	close(qemu);
	close(fd);
	qemu = open_it(false);
	fd = open_it(false);
	assert_int_equal(disk_lock(fd, false, &error), 0);
	assert_true(is_shared(qemu, 101) && is_shared(qemu, 200));
	close(qemu);
	close(fd);
}

/* The file is open, and locked, in a message that waits: nobody has it. */
static void post(int to, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(fd))];
	} control = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	assert_int_equal(sendmsg(to, &message, 0), 1);
	close(fd);
}

static void *drop(void *arg)
{
	int *pair = arg;

	close(pair[0]);
	close(pair[1]);
	return NULL;
}

/* One that nobody is seen to have may be a dying process's: it is waited for,
 * but not for ever. */
static void the_unseen_are_waited_for(void **state)
{
	int pair[2], fd, other = open_it(false);
	pthread_t thread;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fd = open_it(false);
	assert_int_equal(disk_lock(fd, false, &error), 0);
	post(pair[0], fd);
	assert_int_equal(disk_lock(other, false, &error), -EBUSY);
	assert_non_null(strstr(error.text, "another user's"));
	assert_int_equal(pthread_create(&thread, NULL, drop, pair), 0);
	assert_int_equal(disk_lock(other, false, &error), 0);
	pthread_join(thread, NULL);
	close(other);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_writes_or_many_read),
		TEST(the_holder_is_named),
		TEST(qemu_is_seen_and_sees),
		TEST(the_unseen_are_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
