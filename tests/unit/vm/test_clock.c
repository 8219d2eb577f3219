/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM's clock and timers, on the fake host's time.
 */
#include "vm/clock.h"

#include <string.h>

#include "fake/host.h"
#include "fake/test.h"

static struct host_lock device_lock;
static struct clock vm_clock;
static struct timer timers[4];
static char fired[64];
static uint64_t armed_for;
static uint64_t period; /* fire() re-arms by this; 0: not */

static void fire(void *ctx)
{
	size_t at = strlen(fired), index = (size_t)ctx;

	assert_int_not_equal(device_lock.word, 0);
	if (at < sizeof(fired) - 1)
		fired[at] = (char)('a' + index);
	if (period)
		timer_arm(&vm_clock, &timers[index],
			  clock_now(&vm_clock) + period - 1);
}

static void rearm(void *ctx, uint64_t deadline)
{
	armed_for = deadline;
}

static int setup(void **state)
{
	size_t i;

	fake_host_reset();
	fake_time_set(1000);
	memset(fired, 0, sizeof(fired));
	device_lock.word = 0;
	period = 0;
	armed_for = 12345;
	clock_init(&vm_clock, &device_lock);
	vm_clock.rearm = rearm;
	for (i = 0; i < 4; i++)
		timer_init(&timers[i], fire, (void *)i);
	return 0;
}

static void stands_still_while_stopped(void **state)
{
	assert_int_equal(clock_now(&vm_clock), 0);
	fake_time_advance(50);
	assert_int_equal(clock_now(&vm_clock), 0);
	clock_start(&vm_clock);
	fake_time_advance(50);
	assert_int_equal(clock_now(&vm_clock), 50);
	clock_stop(&vm_clock);
	fake_time_advance(1000000);
	assert_int_equal(clock_now(&vm_clock), 50);
	clock_set(&vm_clock, 7000);
	clock_start(&vm_clock);
	clock_start(&vm_clock);
	fake_time_advance(1);
	assert_int_equal(clock_now(&vm_clock), 7001);
	assert_true(fake_catches_bug(clock_set(&vm_clock, 1)));
}

static void fires_in_order(void **state)
{
	clock_start(&vm_clock);
	timer_arm(&vm_clock, &timers[2], 30);
	timer_arm(&vm_clock, &timers[0], 10);
	timer_arm(&vm_clock, &timers[1], 20);
	timer_arm(&vm_clock, &timers[3], 20);
	assert_int_equal(armed_for, 1010);
	assert_int_equal(clock_run(&vm_clock), 1010);
	fake_time_advance(9);
	clock_run(&vm_clock);
	assert_string_equal(fired, "");
	fake_time_advance(1);
	assert_int_equal(clock_run(&vm_clock), 1020);
	assert_string_equal(fired, "a");
	assert_false(timers[0].armed);
	assert_true(timers[0].deadline == TIMER_NEVER);
	fake_time_advance(100);
	assert_true(clock_run(&vm_clock) == TIMER_NEVER);
	assert_string_equal(fired, "abdc");
	assert_true(armed_for == TIMER_NEVER);
}

static void tells_the_first_deadline(void **state)
{
	timer_arm(&vm_clock, &timers[0], 100);
	assert_int_equal(armed_for, 12345); /* stopped: not told */
	clock_start(&vm_clock);
	assert_int_equal(armed_for, 1100);
	timer_arm(&vm_clock, &timers[1], 200);
	assert_int_equal(armed_for, 1100);
	timer_arm(&vm_clock, &timers[1], 50);
	assert_int_equal(armed_for, 1050);
	timer_cancel(&vm_clock, &timers[1]);
	assert_int_equal(armed_for, 1100);
	timer_cancel(&vm_clock, &timers[1]); /* idle: harmless */
	clock_stop(&vm_clock);
	assert_true(armed_for == TIMER_NEVER);
	fake_time_advance(5000);
	assert_true(clock_run(&vm_clock) == TIMER_NEVER);
	assert_string_equal(fired, "");
	clock_start(&vm_clock);
	assert_int_equal(armed_for, 6100);
	timer_arm(&vm_clock, &timers[0], TIMER_NEVER);
	assert_false(timers[0].armed);
	assert_true(armed_for == TIMER_NEVER);
}

static void bears_extreme_deadlines(void **state)
{
	clock_start(&vm_clock);
	timer_arm(&vm_clock, &timers[0], TIMER_NEVER - 1);
	assert_true(armed_for == TIMER_NEVER - 1);
	timer_cancel(&vm_clock, &timers[0]);
	clock_stop(&vm_clock);
	clock_set(&vm_clock, 1000000);
	clock_start(&vm_clock);
	timer_arm(&vm_clock, &timers[0], 0); /* before the host began */
	assert_int_equal(armed_for, 0);
	clock_run(&vm_clock);
	assert_string_equal(fired, "a");
}

static void fires_periodic_timers(void **state)
{
	clock_start(&vm_clock);
	period = 11;
	timer_arm(&vm_clock, &timers[0], 10);
	fake_time_advance(10);
	assert_int_equal(clock_run(&vm_clock), 1020);
	fake_time_advance(10);
	assert_int_equal(clock_run(&vm_clock), 1030);
	assert_string_equal(fired, "aa");
}

/* A guest that programs a period of nothing must not hang the event loop. */
static void comes_back_from_endless_timers(void **state)
{
	clock_start(&vm_clock);
	period = 1;
	timer_arm(&vm_clock, &timers[0], 0);
	assert_int_equal(clock_run(&vm_clock), 1000); /* already passed */
	assert_int_equal(armed_for, 1000);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stands_still_while_stopped),
		TEST(fires_in_order),
		TEST(tells_the_first_deadline),
		TEST(bears_extreme_deadlines),
		TEST(fires_periodic_timers),
		TEST(comes_back_from_endless_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
