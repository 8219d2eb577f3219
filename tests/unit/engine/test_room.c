/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the software CPU's cache of code grows.
 */
#include "engine/soft/room.h"

#include "fake/test.h"

#define MIB ((size_t)1 << 20)
#define S   ((uint64_t)1000000000)

/* Full `times` times, `gap_ns` apart; how often it grew. */
static unsigned int fill(struct soft_room *room, unsigned int times,
			 uint64_t gap_ns)
{
	unsigned int grown = 0;

	for (unsigned int i = 0; i < times; i++)
		grown += soft_room_full(room, 7 * S + i * gap_ns);
	return grown;
}

static void begins_small(void **state)
{
	struct soft_room room;

	soft_room_init(&room, 24 * MIB);
	assert_int_equal(room.size, SOFT_ROOM_FIRST);
	soft_room_init(&room, 1 * MIB);
	assert_int_equal(room.size, 1 * MIB);
}

static void start_up_may_fill_it(void **state)
{
	struct soft_room room;

	soft_room_init(&room, 24 * MIB);
	assert_int_equal(fill(&room, SOFT_ROOM_TIMES - 1, S / 10), 0);
	assert_int_equal(room.size, SOFT_ROOM_FIRST);
}

static void grows_when_full_again_and_again(void **state)
{
	struct soft_room room;

	soft_room_init(&room, 24 * MIB);
	assert_int_equal(fill(&room, SOFT_ROOM_TIMES, S / 10), 1);
	assert_int_equal(room.size, 2 * SOFT_ROOM_FIRST);
	assert_int_equal(fill(&room, SOFT_ROOM_TIMES, S), 1);
	assert_int_equal(room.size, 24 * MIB);
}

static void stays_when_seldom_full(void **state)
{
	struct soft_room room;

	soft_room_init(&room, 24 * MIB);
	assert_int_equal(fill(&room, 100, SOFT_ROOM_SPAN_NS + S), 0);
	assert_int_equal(room.size, SOFT_ROOM_FIRST);
}

static void ends_at_its_size(void **state)
{
	struct soft_room room;

	soft_room_init(&room, 20 * MIB);
	assert_int_equal(fill(&room, 100, S / 10), 2);
	assert_int_equal(room.size, 20 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_small),
		cmocka_unit_test(start_up_may_fill_it),
		cmocka_unit_test(grows_when_full_again_and_again),
		cmocka_unit_test(stays_when_seldom_full),
		cmocka_unit_test(ends_at_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
