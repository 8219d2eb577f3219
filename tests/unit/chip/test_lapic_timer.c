/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC's timer.
 */
#include "lapic_rig.h"

#define LVT	 LAPIC_LVT_FIRST
#define PERIODIC 0x20000u
#define DEADLINE 0x40000u
#define DIVIDE_1 0xbu
#define VECTOR	 0x80

static int setup(void **state)
{
	lapic_rig_setup(state);
	enable(0);
	xput(0, LAPIC_TIMER_DIVIDE, DIVIDE_1);
	return 0;
}

/* How often the timer interrupted during `ns`. */
static unsigned int ticks(uint64_t ns, uint64_t step)
{
	unsigned int count = 0;

	while (ns) {
		rig_run(&bench.rig, step);
		ns -= step;
		while (accept_vector(0) == VECTOR) {
			count++;
			xput(0, LAPIC_EOI, 0);
		}
	}
	return count;
}

static void one_shot(void **state)
{
	xput(0, LVT, VECTOR);
	xput(0, LAPIC_TIMER_INITIAL, 1000000);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 1000000);
	rig_run(&bench.rig, 250000);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 750000);
	assert_int_equal(accept_vector(0), -1);
	requests(0);
	rig_run(&bench.rig, 749999);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 1);
	assert_int_equal(requests(0), 0);
	rig_run(&bench.rig, 1);
	assert_int_equal(requests(0), X86_REQ_INTR);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 0);
	assert_int_equal(ticks(10 * MS, MS), 1);
	assert_int_equal(xget(0, LAPIC_TIMER_INITIAL), 1000000);
}

static void periodic(void **state)
{
	xput(0, LVT, VECTOR | PERIODIC);
	xput(0, LAPIC_TIMER_INITIAL, 1000000);
	assert_int_equal(ticks(20 * MS, MS / 4), 20);
	rig_run(&bench.rig, MS / 4);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 750000);
	/* Missed periods are one interrupt; the phase stays. */
	fake_time_advance(7 * MS);
	assert_int_equal(ticks(MS / 4, MS / 4), 1);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 500000);
	xput(0, LAPIC_TIMER_INITIAL, 0);
	assert_int_equal(ticks(5 * MS, MS), 0);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 0);
}

static void too_fast(void **state)
{
	xput(0, LVT, VECTOR | PERIODIC);
	xput(0, LAPIC_TIMER_INITIAL, 1);
	assert_in_range(ticks(MS, 1000), 45, 50);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 1);
}

static void divider(void **state)
{
	static const uint8_t value[] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };
	unsigned int i;

	xput(0, LVT, VECTOR);
	for (i = 0; i < 8; i++) {
		xput(0, LAPIC_TIMER_DIVIDE, value[i] | 4);
		assert_int_equal(xget(0, LAPIC_TIMER_DIVIDE), value[i]);
		xput(0, LAPIC_TIMER_INITIAL, 1000);
		rig_run(&bench.rig, 100u << i);
		assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 900);
	}
	/* A change on the way keeps the count. */
	xput(0, LAPIC_TIMER_DIVIDE, DIVIDE_1);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 900);
	rig_run(&bench.rig, 899);
	assert_int_equal(accept_vector(0), -1);
	rig_run(&bench.rig, 1);
	assert_int_equal(accept_vector(0), VECTOR);
}

static void mode_changes(void **state)
{
	xput(0, LVT, VECTOR | PERIODIC);
	xput(0, LAPIC_TIMER_INITIAL, 1000000);
	rig_run(&bench.rig, 3 * MS + MS / 2);
	accept_vector(0);
	xput(0, LAPIC_EOI, 0);
	xput(0, LVT, VECTOR); /* one-shot: runs out */
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 500000);
	assert_int_equal(ticks(5 * MS, MS / 2), 1);
	xput(0, LVT, VECTOR | PERIODIC); /* stays at zero */
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 0);
	assert_int_equal(ticks(5 * MS, MS), 0);
	xput(0, LAPIC_TIMER_INITIAL, 1000000);
	xput(0, LVT, VECTOR | DEADLINE); /* disarms */
	assert_int_equal(ticks(5 * MS, MS), 0);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 0);
	xput(0, LAPIC_TIMER_INITIAL, 1000);
	assert_int_equal(ticks(5 * MS, MS), 0);
}

static void masked(void **state)
{
	xput(0, LVT, VECTOR | PERIODIC | 0x10000);
	xput(0, LAPIC_TIMER_INITIAL, 1000000);
	assert_null(bench.rig.vm.clock.first); /* costs nothing */
	assert_int_equal(ticks(3 * MS, MS), 0);
	rig_run(&bench.rig, MS / 4);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 750000);
	xput(0, LVT, VECTOR | PERIODIC);
	assert_int_equal(ticks(3 * MS, MS / 4), 3);
	/* An interrupt that was due before the mask is not lost. */
	fake_time_advance(MS);
	xput(0, LVT, VECTOR | PERIODIC | 0x10000);
	assert_int_equal(accept_vector(0), VECTOR);
}

static void tsc_deadline(void **state)
{
	uint64_t value = 1, now;

	assert_true(mput(0, LAPIC_MSR_TSC_DEADLINE, 5000)); /* ignored */
	assert_true(mget(0, LAPIC_MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	xput(0, LVT, VECTOR | DEADLINE);
	now = clock_now(&bench.rig.vm.clock) * 2;
	mput(0, LAPIC_MSR_TSC_DEADLINE, now + 2001);
	mget(0, LAPIC_MSR_TSC_DEADLINE, &value);
	assert_int_equal(value, now + 2001);
	rig_run(&bench.rig, 1000);
	assert_int_equal(accept_vector(0), -1);
	rig_run(&bench.rig, 1);
	assert_int_equal(accept_vector(0), VECTOR);
	xput(0, LAPIC_EOI, 0);
	mget(0, LAPIC_MSR_TSC_DEADLINE, &value);
	assert_int_equal(value, 0);
	mput(0, LAPIC_MSR_TSC_DEADLINE, 1); /* has passed: at once */
	assert_int_equal(accept_vector(0), VECTOR);
	xput(0, LAPIC_EOI, 0);
	mput(0, LAPIC_MSR_TSC_DEADLINE, UINT64_MAX);
	assert_int_equal(ticks(5 * MS, MS), 0);
	mput(0, LAPIC_MSR_TSC_DEADLINE, now + 100 * 2 * MS);
	mput(0, LAPIC_MSR_TSC_DEADLINE, 0); /* disarms */
	assert_int_equal(ticks(200 * MS, MS), 0);
}

static void survives_pause_and_load(void **state)
{
	struct lapic *lapic = &bench.lapic[0];
	struct clock *clock = &bench.rig.vm.clock;
	struct state_item item = { lapic_class.state, lapic, 0 };
	struct state_buffer buffer = { 0 };
	struct state_error error;
	uint64_t now;

	xput(0, LVT, VECTOR | PERIODIC);
	xput(0, LAPIC_TIMER_INITIAL, 1000000);
	rig_run(&bench.rig, MS / 4);
	clock_stop(clock);
	now = clock_now(clock);
	assert_int_equal(state_save(&item, 1, &buffer), 0);
	clock_start(clock);
	rig_run(&bench.rig, 70 * MS);
	clock_stop(clock);
	clock_set(clock, now);
	assert_int_equal(state_load(&item, 1, buffer.data, buffer.size, clock,
				    &error), 0);
	fake_time_advance(SECOND);
	clock_start(clock);
	assert_int_equal(xget(0, LAPIC_TIMER_CURRENT), 750000);
	rig_run(&bench.rig, 3 * MS / 4 - 1);
	assert_int_equal(accept_vector(0), -1);
	rig_run(&bench.rig, 1);
	assert_int_equal(accept_vector(0), VECTOR);
	host_free(buffer.data);
}

static void reset_stops(void **state)
{
	xput(0, LVT, VECTOR | PERIODIC);
	xput(0, LAPIC_TIMER_INITIAL, 1000000);
	lapic_reset(&bench.lapic[0]);
	assert_null(bench.rig.vm.clock.first);
	enable(0);
	assert_int_equal(ticks(5 * MS, MS), 0);
}

#define TEST(f_) cmocka_unit_test_setup_teardown(f_, setup, lapic_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_shot),
		TEST(periodic),
		TEST(too_fast),
		TEST(divider),
		TEST(mode_changes),
		TEST(masked),
		TEST(tsc_deadline),
		TEST(survives_pause_and_load),
		TEST(reset_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
