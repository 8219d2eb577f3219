/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a disk: everything is done, also while others wait, by
 * several threads and one after the other, and at the end.
 */
#include "disk/pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake/test.h"

#define SUBMITTERS 4
#define REQUESTS   2000

static struct disk_pool pool;
static _Atomic unsigned int done;

/* A request's offset: what else must have been done before it ends. */
static void wait_and_count(void *ctx, struct block_request *r)
{
	while (atomic_load(&done) < r->offset)
		usleep(100);
	atomic_fetch_add(&done, 1);
}

static int setup(void **state)
{
	pool = (struct disk_pool){ 0 };
	atomic_store(&done, 0);
	disk_pool_init(&pool, wait_and_count, NULL);
	return 0;
}

static void nothing_to_do(void **state)
{
	disk_pool_end(&pool);
	assert_int_equal(pool.started, 0);
}

/* Each waits for all that come behind it. */
static void those_that_wait_hold_up_nobody(void **state)
{
	struct block_request r[POOL_THREADS] = { 0 };

	for (unsigned int i = 0; i < POOL_THREADS; i++) {
		r[i].offset = POOL_THREADS - 1 - i;
		assert_true(disk_pool_put(&pool, &r[i]));
	}
	disk_pool_end(&pool);
	assert_int_equal(done, POOL_THREADS);
}

static void put_and_wait(unsigned int count)
{
	struct block_request *r = calloc(count, sizeof(*r));

	for (unsigned int i = 0; i < count; i++) {
		assert_true(disk_pool_put(&pool, &r[i]));
		if (i % 100 == 99)
			usleep(500); /* they fall asleep */
		while (i % 3 && atomic_load(&done) <= i)
			;
	}
	while (atomic_load(&done) < count)
		;
	free(r);
}

/* As a guest does that waits for each. */
static void one_after_the_other(void **state)
{
	put_and_wait(REQUESTS);
	disk_pool_end(&pool);
	assert_int_equal(done, REQUESTS);
}

static struct block_request many[SUBMITTERS][REQUESTS];

static void put_many(void *ctx)
{
	struct block_request *r = ctx;

	for (unsigned int i = 0; i < REQUESTS; i++)
		assert_true(disk_pool_put(&pool, &r[i]));
}

static void several_submit(void **state)
{
	struct thread thread[SUBMITTERS] = { 0 };

	for (unsigned int i = 0; i < SUBMITTERS; i++)
		assert_int_equal(thread_start(&thread[i], "put", put_many,
					      many[i]), 0);
	for (unsigned int i = 0; i < SUBMITTERS; i++)
		thread_join(&thread[i]);
	disk_pool_end(&pool); /* after what there still is */
	assert_int_equal(done, SUBMITTERS * REQUESTS);
	assert_true(pool.started <= POOL_THREADS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_to_do, setup),
		cmocka_unit_test_setup(those_that_wait_hold_up_nobody, setup),
		cmocka_unit_test_setup(one_after_the_other, setup),
		cmocka_unit_test_setup(several_submit, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
