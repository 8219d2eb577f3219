/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a card: what passes in which time, who is told to try again.
 */
#include "net/limiter.h"

#include "fake/host.h"
#include "fake/test.h"

#define MS 1000000ull
#define S  (1000 * MS)

static unsigned int agains[NET_WAYS];

static void again(void *ctx, enum net_way way)
{
	agains[way]++;
}

static bool take(struct limiter *l, enum net_way way, uint32_t size)
{
	const struct nic_frame frame = { .size = size };

	return limiter_take(l, way, &frame);
}

static struct limiter *make(const struct net_limits *limits)
{
	struct limiter *l;

	fake_host_reset();
	fake_time_set(5 * S);
	agains[NET_OUT] = agains[NET_IN] = 0;
	l = limiter_create(again, NULL);
	assert_non_null(l);
	assert_int_equal(limiter_set(l, limits), 0);
	return l;
}

/* Frames that pass in `ms` when each is tried as soon as that is worth it. */
static unsigned int passed(struct limiter *l, enum net_way way, uint32_t size,
			   uint64_t ms)
{
	const uint64_t end = host_monotonic_ns() + ms * MS;
	unsigned int count = 0;

	while (host_monotonic_ns() < end) {
		uint64_t due;

		if (take(l, way, size)) {
			count++;
			continue;
		}
		due = limiter_pass(l);
		assert_true(due > host_monotonic_ns() && due < UINT64_MAX);
		fake_time_set(due);
		limiter_pass(l);
	}
	return count;
}

static void without(void **state)
{
	const struct net_limits none = { 0 };
	struct limiter *l = make(&none);
	struct net_limits now;

	for (unsigned int i = 0; i < 100000; i++)
		assert_true(take(l, i & 1, 65000));
	assert_true(limiter_pass(l) == UINT64_MAX);
	limiter_get(l, &now);
	assert_int_equal(now.burst_ms, LIMITER_BURST_MS);
	limiter_destroy(l);
}

/* The rate, and 100 ms more at the beginning. */
static void frames(void **state)
{
	const struct net_limits limits = { .rate[NET_OUT].pps = 1000 };
	struct limiter *l = make(&limits);

	assert_in_range(passed(l, NET_OUT, 9000, 2000), 2095, 2105);
	assert_true(agains[NET_OUT] > 0);
	assert_int_equal(agains[NET_IN], 0);
	for (unsigned int i = 0; i < 10000; i++)
		assert_true(take(l, NET_IN, 9000));
	limiter_destroy(l);
}

static void bytes(void **state)
{
	const struct net_limits limits = {
		.rate[NET_IN].bps = 1000000, .burst_ms = 500,
	};
	struct limiter *l = make(&limits);

	assert_in_range(passed(l, NET_IN, 1000, 2000), 2490, 2510);
	/* A rest is made up for once, and no more than the burst. */
	fake_time_advance(60 * S);
	assert_in_range(passed(l, NET_IN, 1000, 1000), 1490, 1510);
	limiter_destroy(l);
}

/* A frame larger than all that a burst has goes; the next one waits for it. */
static void large(void **state)
{
	const struct net_limits limits = {
		.rate[NET_OUT].bps = 1000, .burst_ms = 1,
	};
	struct limiter *l = make(&limits);

	assert_true(take(l, NET_OUT, 60000));
	assert_false(take(l, NET_OUT, 60));
	assert_int_equal((limiter_pass(l) - 5 * S) / MS, 59999);
	limiter_destroy(l);
}

/* What is cut later counts as what it is cut into. */
static void segments(void **state)
{
	const struct net_limits limits = { .rate[NET_OUT].pps = 100 };
	const struct nic_frame frame = {
		.size = 54 + 14601, .cut = NIC_CUT_TCP4, .header = 54,
		.segment = 1460,
	};
	struct limiter *l = make(&limits);

	assert_true(limiter_take(l, NET_OUT, &frame));
	assert_false(limiter_take(l, NET_OUT, &frame));
	assert_int_equal((limiter_pass(l) - 5 * S) / MS, 10);
	limiter_destroy(l);
}

/* Who waits under old limits tries at once under new ones. */
static void changed(void **state)
{
	struct net_limits limits = { .rate[NET_OUT].pps = 1 };
	struct limiter *l = make(&limits);
	struct net_limits now;

	while (take(l, NET_OUT, 60))
		;
	assert_true(limiter_pass(l) > host_monotonic_ns());
	assert_int_equal(agains[NET_OUT], 0);
	limits.rate[NET_OUT].pps = 0;
	limits.rate[NET_IN].bps = 7;
	limits.burst_ms = 20;
	assert_int_equal(limiter_set(l, &limits), 0);
	assert_true(limiter_pass(l) == UINT64_MAX);
	assert_int_equal(agains[NET_OUT], 1);
	for (unsigned int i = 0; i < 100; i++)
		assert_true(take(l, NET_OUT, 60));
	limiter_get(l, &now);
	assert_int_equal(now.rate[NET_IN].bps, 7);
	assert_int_equal(now.burst_ms, 20);
	limiter_destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without),  cmocka_unit_test(frames),
		cmocka_unit_test(bytes),    cmocka_unit_test(large),
		cmocka_unit_test(segments), cmocka_unit_test(changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
