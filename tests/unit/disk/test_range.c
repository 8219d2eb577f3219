/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges: who shares, who waits, and that nobody overtakes.
 */
#include "disk/range.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fake/test.h"

static struct disk_ranges ranges;

static int setup(void **state)
{
	disk_ranges_init(&ranges);
	return 0;
}

static int teardown(void **state)
{
	assert_null(ranges.first);
	disk_ranges_destroy(&ranges);
	return 0;
}

static void readers_share(void **state)
{
	struct disk_range a, b, c;

	assert_true(disk_range_try(&ranges, &a, 0, 100, false));
	assert_true(disk_range_try(&ranges, &b, 50, 100, false));
	assert_false(disk_range_try(&ranges, &c, 149, 1, true));
	assert_true(disk_range_try(&ranges, &c, 150, 1, true));
	disk_range_leave(&ranges, &b);
	disk_range_leave(&ranges, &a);
	disk_range_leave(&ranges, &c);
}

static void the_whole_conflicts_with_all(void **state)
{
	struct disk_range a, b;

	assert_true(disk_range_try(&ranges, &a, UINT64_MAX - 10, 5, false));
	assert_false(disk_range_try(&ranges, &b, 0, UINT64_MAX, true));
	disk_range_leave(&ranges, &a);
	assert_true(disk_range_try(&ranges, &b, 0, UINT64_MAX, true));
	assert_false(disk_range_try(&ranges, &a, 7, 1, false));
	disk_range_leave(&ranges, &b);
}

static _Atomic int inside;

static void *enter_alone(void *ctx)
{
	struct disk_range *range = ctx;

	disk_range_enter(&ranges, range, 0, 10, true);
	atomic_fetch_add(&inside, 1);
	return NULL;
}

static void a_waiter_is_not_overtaken(void **state)
{
	struct disk_range first, writer, late;
	pthread_t thread;

	atomic_store(&inside, 0);
	disk_range_enter(&ranges, &first, 0, 10, false);
	pthread_create(&thread, NULL, enter_alone, &writer);
	for (;;) {
		pthread_mutex_lock(&ranges.mutex);
		if (ranges.waiting)
			break;
		pthread_mutex_unlock(&ranges.mutex);
		usleep(100);
	}
	pthread_mutex_unlock(&ranges.mutex);
	assert_false(disk_range_try(&ranges, &late, 5, 1, false));
	assert_int_equal(atomic_load(&inside), 0);
	disk_range_leave(&ranges, &first);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&inside), 1);
	disk_range_leave(&ranges, &writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(readers_share, setup, teardown),
		cmocka_unit_test_setup_teardown(the_whole_conflicts_with_all,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_waiter_is_not_overtaken,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
