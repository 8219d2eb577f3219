/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop.
 */
#include "host/linux/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "fake/test.h"
#include "host/linux/thread.h"
#include "vm/host.h"

#define MS 1000000u

struct fixture {
	struct loop *loop;
	int ends[2]; /* a pipe */
	unsigned int reads, wakes, deadlines;
	uint32_t last;
	bool removes; /* on the first event */
	unsigned int stops_after;
};

static int setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){ .stops_after = 1 };
	if (loop_create(&fixture.loop) || pipe(fixture.ends))
		return -1;
	alarm(20);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(f->loop);
	close(f->ends[0]);
	if (f->ends[1] >= 0)
		close(f->ends[1]);
	loop_destroy(NULL);
	alarm(0);
	return 0;
}

static void readable(void *ctx, uint32_t events)
{
	struct fixture *f = ctx;
	char byte;

	f->reads++;
	f->last = events;
	if (events & LOOP_READ)
		assert_true(read(f->ends[0], &byte, 1) >= 0);
	if (f->removes)
		assert_int_equal(loop_remove(f->loop, f->ends[0]), 0);
	if (f->reads >= f->stops_after)
		loop_stop(f->loop);
}

static void reads(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_add(f->loop, f->ends[0], LOOP_READ, readable, f),
			 0);
	assert_int_equal(loop_add(f->loop, f->ends[0], LOOP_READ, readable, f),
			 -EEXIST);
	assert_int_equal(write(f->ends[1], "ab", 2), 2);
	f->stops_after = 2;
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->reads, 2);
	close(f->ends[1]);
	f->ends[1] = -1;
	assert_int_equal(loop_run(f->loop), 0);
	assert_true(f->last & LOOP_HUP);
	assert_int_equal(loop_change(f->loop, 99, 0), -ENOENT);
	assert_int_equal(loop_remove(f->loop, 99), -ENOENT);
	assert_int_equal(loop_add(f->loop, -1, LOOP_READ, readable, f), -EBADF);
}

static void stop(void *ctx)
{
	struct fixture *f = ctx;

	f->deadlines++;
	loop_stop(f->loop);
}

static void leaves_removed_and_muted_alone(void **state)
{
	struct fixture *f = *state;

	f->removes = true;
	f->stops_after = 99;
	loop_on_deadline(f->loop, stop, f);
	loop_add(f->loop, f->ends[0], LOOP_READ, readable, f);
	assert_int_equal(write(f->ends[1], "ab", 2), 2);
	loop_set_deadline(f->loop, host_monotonic_ns() + 20 * MS);
	loop_run(f->loop);
	assert_int_equal(f->reads, 1);

	loop_add(f->loop, f->ends[0], LOOP_READ, readable, f);
	loop_change(f->loop, f->ends[0], 0);
	loop_set_deadline(f->loop, host_monotonic_ns() + 20 * MS);
	loop_run(f->loop);
	assert_int_equal(f->reads, 1);
	loop_change(f->loop, f->ends[0], LOOP_READ);
	loop_set_deadline(f->loop, host_monotonic_ns() + 20 * MS);
	loop_run(f->loop);
	assert_int_equal(f->reads, 2);
}

static void keeps_deadlines(void **state)
{
	struct fixture *f = *state;
	uint64_t start = host_monotonic_ns();

	loop_on_deadline(f->loop, stop, f);
	loop_set_deadline(f->loop, start + 5 * MS);
	loop_set_deadline(f->loop, start + 20 * MS);
	loop_run(f->loop);
	assert_true(host_monotonic_ns() >= start + 20 * MS);
	loop_set_deadline(f->loop, 0); /* long past */
	loop_run(f->loop);
	assert_int_equal(f->deadlines, 2);
	loop_set_deadline(f->loop, 0);
	loop_set_deadline(f->loop, UINT64_MAX); /* none after all */
	loop_stop(f->loop);
	loop_run(f->loop);
	assert_int_equal(f->deadlines, 2);
}

static void woken(void *ctx)
{
	struct fixture *f = ctx;

	f->wakes++;
	loop_stop(f->loop);
}

static void wake(void *ctx)
{
	struct fixture *f = ctx;

	usleep(10000);
	loop_wake(f->loop);
}

static void wakes_from_other_threads(void **state)
{
	struct fixture *f = *state;
	struct thread thread;

	loop_on_wake(f->loop, woken, f);
	assert_int_equal(thread_start(&thread, "wake", wake, f), 0);
	loop_run(f->loop);
	assert_int_equal(f->wakes, 1);
	thread_join(&thread);
	loop_wake(f->loop);
	loop_wake(f->loop);
	loop_run(f->loop);
	assert_int_equal(f->wakes, 2);
}

static void remembers_a_stop(void **state)
{
	struct fixture *f = *state;

	loop_stop(f->loop);
	assert_int_equal(loop_run(f->loop), 0);
}

static void to_the_end(void *ctx, uint32_t events)
{
	struct fixture *f = ctx;

	f->reads++;
	if (f->reads == 3)
		loop_stop(f->loop);
}

/* What epoll refuses: /dev/null, files. */
static void serves_plain_files(void **state)
{
	struct fixture *f = *state;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(loop_add(f->loop, null, LOOP_READ, to_the_end, f), 0);
	loop_run(f->loop);
	assert_int_equal(f->reads, 3);
	loop_change(f->loop, null, 0);
	loop_on_deadline(f->loop, stop, f);
	loop_set_deadline(f->loop, host_monotonic_ns() + 10 * MS);
	loop_run(f->loop);
	assert_int_equal(f->reads, 3);
	assert_int_equal(loop_remove(f->loop, null), 0);
	close(null);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads),
		TEST(leaves_removed_and_muted_alone),
		TEST(keeps_deadlines),
		TEST(wakes_from_other_threads),
		TEST(remembers_a_stop),
		TEST(serves_plain_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
