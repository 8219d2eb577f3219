/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors beside bytes: one, none, and more than were asked for. */
#include "host/linux/passing.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
	int from, to, file;
};

static struct pair open_pair(void)
{
	struct pair pair;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    ends), 0);
	pair.from = ends[0];
	pair.to = ends[1];
	pair.file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(pair.file >= 0);
	return pair;
}

static void close_pair(const struct pair *pair)
{
	close(pair->from);
	close(pair->to);
	close(pair->file);
}

static bool same_file(int a, int b)
{
	struct stat one, other;

	return !fstat(a, &one) && !fstat(b, &other) &&
	       one.st_rdev == other.st_rdev && one.st_ino == other.st_ino;
}

static void test_with_and_without(void **state)
{
	struct pair pair = open_pair();
	const struct iovec parts[2] = { { "two ", 4 }, { "parts", 5 } };
	char bytes[16];
	int fd;

	assert_int_equal(passing_send(pair.from, parts, 2, pair.file, 0), 9);
	assert_int_equal(passing_receive(pair.to, bytes, sizeof(bytes), &fd,
					 0), 9);
	assert_memory_equal(bytes, "two parts", 9);
	assert_true(same_file(fd, pair.file));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	assert_int_equal(passing_send(pair.from, parts, 1, -1, 0), 4);
	assert_int_equal(passing_receive(pair.to, bytes, sizeof(bytes), &fd,
					 0), 4);
	assert_int_equal(fd, -1);
	assert_int_equal(passing_receive(pair.to, bytes, sizeof(bytes), &fd,
					 MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fd, -1);
	close_pair(&pair);
}

/* The lowest descriptor that is free: what leaks moves it. */
static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void test_too_many(void **state)
{
	struct pair pair = open_pair();
	int sent[4] = { pair.file, pair.from, pair.to, pair.file }, fd, before;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(sent))];
	} control = { .header = { .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(sent)) } };
	struct iovec part = { "x", 1 };
	const struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	char byte;

	memcpy(CMSG_DATA(&control.header), sent, sizeof(sent));
	before = lowest_free();
	assert_int_equal(sendmsg(pair.from, &message, 0), 1);
	assert_int_equal(passing_receive(pair.to, &byte, 1, &fd, 0), 1);
	assert_true(same_file(fd, pair.file));
	close(fd);
	assert_int_equal(lowest_free(), before);
	close_pair(&pair);
}

static void test_nobody_there(void **state)
{
	struct pair pair = open_pair();
	const struct iovec part = { "x", 1 };
	char byte;
	int fd;

	close(pair.to);
	assert_int_equal(passing_send(pair.from, &part, 1, pair.file, 0), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(passing_receive(pair.from, &byte, 1, &fd, 0), 0);
	assert_int_equal(fd, -1);
	pair.to = -1;
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_with_and_without),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
