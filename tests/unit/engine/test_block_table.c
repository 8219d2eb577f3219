/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software CPU's table of kept blocks.
 */
#include "engine/soft/block_table.h"

#include "fake/test.h"

#define MIB ((size_t)1 << 20)

static struct block_table table;

static int open_table(void **state)
{
	return block_table_init(&table, MIB);
}

static int close_table(void **state)
{
	block_table_fini(&table);
	return 0;
}

/* Neighbours, with upper bits that collide with nothing. */
static uint32_t hash_of(uint32_t i)
{
	return i << 20 | i % 64;
}

/* How many places with this hash; one of them is `place`. */
static unsigned int count(uint32_t hash, uint32_t place, bool *there)
{
	unsigned int n = 0;
	uint32_t at = 0, found;

	*there = false;
	while ((found = block_table_next(&table, hash, &at))) {
		*there |= found == place;
		n++;
	}
	return n;
}

static void assert_there(uint32_t hash, uint32_t place)
{
	bool there;

	assert_int_equal(count(hash, place, &there), 1);
	assert_true(there);
}

static uint32_t fill(void)
{
	uint32_t n = 0;

	for (; !block_table_is_full(&table); n++)
		block_table_add(&table, hash_of(n), n + 1);
	return n;
}

static void finds_all(void **state)
{
	uint32_t n = fill();
	bool there;

	assert_in_range(n, 1024, 4096);
	for (uint32_t i = 0; i < n; i++)
		assert_there(hash_of(i), i + 1);
	assert_int_equal(count(hash_of(n), n + 1, &there), 0);
}

static void same_hash_twice(void **state)
{
	bool there;

	block_table_add(&table, 7, 1);
	block_table_add(&table, 7, 2);
	assert_int_equal(count(7, 1, &there), 2);
	assert_true(there);
	assert_int_equal(count(7, 2, &there), 2);
	assert_true(there);
}

static void drops_one(void **state)
{
	uint32_t n = fill(), at = 0;
	bool there;

	assert_int_equal(block_table_next(&table, hash_of(70), &at), 71);
	block_table_drop(&table, hash_of(70), at);
	assert_int_equal(count(hash_of(70), 71, &there), 0);
	for (uint32_t i = 0; i < n; i++)
		if (i != 70)
			assert_there(hash_of(i), i + 1);
	/* Its place is given to another. */
	at = table.used;
	block_table_add(&table, hash_of(n), n + 1);
	assert_there(hash_of(n), n + 1);
	assert_int_equal(table.used, at);
}

static void grows(void **state)
{
	uint32_t n = fill();

	block_table_grow(&table, MIB / 2);
	assert_true(block_table_is_full(&table));
	block_table_grow(&table, 2 * MIB);
	assert_false(block_table_is_full(&table));
	for (uint32_t i = 0; i < n; i++)
		assert_there(hash_of(i), i + 1);
}

static void is_emptied(void **state)
{
	uint32_t n = fill();
	bool there;

	block_table_empty(&table);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(count(hash_of(i), i + 1, &there), 0);
	assert_int_equal(fill(), n);
}

#define TABLE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_table, close_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TABLE_TEST(finds_all),
		TABLE_TEST(same_hash_twice),
		TABLE_TEST(drops_one),
		TABLE_TEST(grows),
		TABLE_TEST(is_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
