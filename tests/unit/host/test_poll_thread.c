/* SPDX-License-Identifier: Apache-2.0 */
/* A thread in poll(2): woken, ended while it waits, started again. */
#include "host/linux/poll_thread.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/host.h"

struct waiter {
	struct poll_thread thread;
	struct host_event turned;
	_Atomic unsigned int turns, runs;
};

static void run(void *ctx)
{
	struct waiter *waiter = ctx;
	struct pollfd fd = { .fd = waiter->thread.wake, .events = POLLIN };

	atomic_fetch_add(&waiter->runs, 1);
	while (!atomic_load(&waiter->thread.ending)) {
		if (poll(&fd, 1, -1) > 0)
			poll_thread_clear(&waiter->thread);
		atomic_fetch_add(&waiter->turns, 1);
		host_event_set(&waiter->turned);
	}
}

static void wait_for_turn(struct waiter *waiter, unsigned int turns)
{
	while (atomic_load(&waiter->turns) < turns)
		host_event_wait(&waiter->turned, UINT64_MAX);
}

static void test_wakes(void **state)
{
	struct waiter waiter = { 0 };

	assert_int_equal(poll_thread_open(&waiter.thread), 0);
	poll_thread_start(&waiter.thread, "waiter", run, &waiter);
	poll_thread_start(&waiter.thread, "waiter", run, &waiter);
	for (unsigned int i = 1; i < 50; i++) {
		poll_thread_wake(&waiter.thread);
		wait_for_turn(&waiter, i);
	}
	poll_thread_stop(&waiter.thread);
	assert_int_equal(atomic_load(&waiter.runs), 1);
	assert_false(waiter.thread.ending);
	poll_thread_close(&waiter.thread);
	poll_thread_close(&waiter.thread);
}

/* A wake-up before it runs is not lost, nor is one that nobody heard. */
static void test_starts_again(void **state)
{
	struct waiter waiter = { 0 };

	assert_int_equal(poll_thread_open(&waiter.thread), 0);
	poll_thread_stop(&waiter.thread);
	for (unsigned int i = 1; i <= 3; i++) {
		poll_thread_wake(&waiter.thread);
		poll_thread_start(&waiter.thread, "waiter", run, &waiter);
		wait_for_turn(&waiter, i);
		poll_thread_stop(&waiter.thread);
		assert_int_equal(atomic_load(&waiter.runs), i);
		atomic_store(&waiter.turns, i);
	}
	poll_thread_close(&waiter.thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wakes),
		cmocka_unit_test(test_starts_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
