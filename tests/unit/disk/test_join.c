/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flushes that are wanted at once: how many are done, and whose error counts.
 */
#include "disk/join.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "fake/test.h"
#include "host/linux/thread.h"

#define OTHERS 5

static struct disk_join join;
static _Atomic unsigned int begun;
static _Atomic bool go_on;
static _Atomic int fails; /* the number of the flush that does */

static int flush(void *ctx)
{
	unsigned int number = atomic_fetch_add(&begun, 1) + 1;

	while (!atomic_load(&go_on))
		sched_yield();
	return number == (unsigned int)fails ? -EIO : 0;
}

struct caller {
	struct thread thread;
	int error;
};

static void call(void *ctx)
{
	struct caller *caller = ctx;

	caller->error = disk_join_run(&join, flush, NULL);
}

static void start(struct caller *caller)
{
	caller->thread = (struct thread){ 0 };
	assert_int_equal(thread_start(&caller->thread, "call", call, caller),
			 0);
}

static unsigned int waiting(void)
{
	unsigned int count;

	pthread_mutex_lock(&join.mutex);
	count = join.waiting;
	pthread_mutex_unlock(&join.mutex);
	return count;
}

/* One is under way, the others come meanwhile. */
static void run_all(struct caller *first, struct caller other[OTHERS])
{
	disk_join_init(&join);
	atomic_store(&begun, 0);
	atomic_store(&go_on, false);
	start(first);
	while (!atomic_load(&begun))
		sched_yield();
	for (unsigned int i = 0; i < OTHERS; i++)
		start(&other[i]);
	while (waiting() < OTHERS)
		sched_yield();
	atomic_store(&go_on, true);
	thread_join(&first->thread);
	for (unsigned int i = 0; i < OTHERS; i++)
		thread_join(&other[i].thread);
	/* Not the one that was under way, but one for all of them. */
	assert_int_equal(begun, 2);
	assert_int_equal(disk_join_run(&join, flush, NULL), 0);
	assert_int_equal(begun, 3);
	disk_join_destroy(&join);
}

static void those_that_wait_share_one(void **state)
{
	struct caller first, other[OTHERS];

	fails = 0;
	run_all(&first, other);
	assert_int_equal(first.error, 0);
	for (unsigned int i = 0; i < OTHERS; i++)
		assert_int_equal(other[i].error, 0);
}

static void errors_are_for_those_who_waited(void **state)
{
	struct caller first, other[OTHERS];

	fails = 1;
	run_all(&first, other);
	assert_int_equal(first.error, -EIO);
	for (unsigned int i = 0; i < OTHERS; i++)
		assert_int_equal(other[i].error, 0);
	fails = 2;
	run_all(&first, other);
	assert_int_equal(first.error, 0);
	for (unsigned int i = 0; i < OTHERS; i++)
		assert_int_equal(other[i].error, -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_that_wait_share_one),
		cmocka_unit_test(errors_are_for_those_who_waited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
