/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: order, once is once, nothing is lost.
 */
#include "vm/host.h"

#include <stdatomic.h>
#include <string.h>

#include "fake/test.h"
#include "host/linux/thread.h"

#define THREADS 4
#define ROUNDS	20000

static struct host_worker *worker;
static struct host_event gate;
static char trace[16];
static _Atomic unsigned int runs;

static int setup(void **state)
{
	memset(trace, 0, sizeof(trace));
	runs = 0;
	return host_worker_create(&worker, "test");
}

static int teardown(void **state)
{
	host_worker_destroy(worker);
	return 0;
}

static void wait_at_gate(void *ctx)
{
	host_event_wait(&gate, UINT64_MAX);
}

static void note(void *ctx)
{
	strncat(trace, ctx, 1);
}

static void in_order_and_once(void **state)
{
	struct host_work hold = { .run = wait_at_gate };
	struct host_work a = { .run = note, .ctx = "a" };
	struct host_work b = { .run = note, .ctx = "b" };

	host_work_queue(worker, &hold);
	host_work_queue(worker, &a);
	host_work_queue(worker, &b);
	host_work_queue(worker, &a); /* queued already */
	host_event_set(&gate);
	host_worker_wait(worker);
	assert_string_equal(trace, "ab");
	host_work_queue(worker, &a);
	host_worker_wait(worker);
	assert_string_equal(trace, "aba");
}

static void again(void *ctx)
{
	if (++runs < 5)
		host_work_queue(worker, ctx);
}

/* While it runs it may be queued for another time. */
static void queues_itself(void **state)
{
	struct host_work work = { .run = again };

	work.ctx = &work;
	host_work_queue(worker, &work);
	while (runs < 5)
		host_worker_wait(worker);
	host_worker_wait(worker);
	assert_int_equal(runs, 5);
}

/* Work that counts what others have announced, as a virtqueue does. */
static struct shared {
	struct host_work work;
	_Atomic unsigned int announced;
	unsigned int seen; /* the worker's */
} shared;

static void look(void *ctx)
{
	shared.seen = shared.announced;
}

static void announce(void *ctx)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		shared.announced++;
		host_work_queue(worker, &shared.work);
	}
}

static void misses_nothing(void **state)
{
	struct thread thread[THREADS];

	shared.work.run = look;
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(thread_start(&thread[i], "announce", announce,
					      NULL), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		thread_join(&thread[i]);
	host_worker_wait(worker);
	assert_int_equal(shared.seen, THREADS * ROUNDS);
}

/* The end comes after what is queued. */
static void ends_last(void **state)
{
	struct host_work a = { .run = note, .ctx = "a" };

	host_work_queue(worker, &a);
	host_worker_destroy(worker);
	worker = NULL;
	assert_string_equal(trace, "a");
	host_worker_destroy(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_order_and_once),
		TEST(queues_itself),
		TEST(misses_nothing),
		TEST(ends_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
