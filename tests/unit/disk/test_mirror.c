/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that moves to another image while it is written to.
 */
#include "disk/live/live.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "disk/file.h"
#include "fake/block.h"
#include "fake/disk.h"
#include "fake/test.h"

#define SIZE	(8u << 20)
#define SECTORS (SIZE / 512)

static struct block *block;
static uint8_t model[SIZE];

static struct disk_node *make_node(void)
{
	const struct disk_open how = { .path = "memory", .format = "raw" };
	struct disk_node *file, *node;

	assert_int_equal(disk_memory_open(&file, NULL), 0);
	assert_int_equal(disk_resize(file, SIZE, DISK_PREALLOC_OFF, NULL), 0);
	assert_int_equal(disk_open_on(&node, file, &how, NULL), 0);
	return node;
}

static int run(enum block_op op, uint64_t offset, void *buf, size_t size)
{
	return fake_block_run(block, op, offset, buf, size);
}

static int setup(void **state)
{
	unsigned int seed = 1;

	for (uint32_t i = 0; i < SIZE; i += 4)
		if (i / 65536 % 3)
			memset(model + i, rand_r(&seed), 4);
	assert_int_equal(disk_block_create(&block, make_node(),
					   DISK_CACHE_WRITEBACK, NULL), 0);
	for (uint32_t i = 0; i < SIZE; i += 65536)
		if (i / 65536 % 3)
			assert_int_equal(run(BLOCK_WRITE, i, model + i, 65536),
					 0);
	return 0;
}

static int teardown(void **state)
{
	block_close(block);
	block = NULL;
	memset(model, 0, SIZE);
	return 0;
}

static void expect_model(void)
{
	static uint8_t buf[SIZE];

	assert_int_equal(run(BLOCK_READ, 0, buf, SIZE), 0);
	assert_memory_equal(buf, model, SIZE);
}

static enum disk_live_state wait_for_end(struct disk_live *mirror)
{
	struct disk_live_status status;

	do {
		usleep(100);
		disk_live_look(mirror, &status);
	} while (status.state == DISK_LIVE_WORKS);
	assert_int_equal(status.total, SIZE);
	return status.state;
}

/* Writes, zeros and discards of the "guest", in the model as well. */
static void disturb(unsigned int seed, unsigned int count)
{
	uint8_t buf[8192];

	for (unsigned int i = 0; i < count; i++) {
		uint32_t length = 512 * (1 + (unsigned int)rand_r(&seed) % 16);
		uint32_t at = 512 * ((unsigned int)rand_r(&seed) %
				     (SECTORS - 16));

		if (rand_r(&seed) % 4) {
			memset(buf, rand_r(&seed), length);
			memcpy(model + at, buf, length);
			assert_int_equal(run(BLOCK_WRITE, at, buf, length), 0);
		} else {
			memset(model + at, 0, length);
			assert_int_equal(run(BLOCK_ZERO, at, NULL, length), 0);
		}
	}
}

static void content_moves_while_it_changes(void **state)
{
	for (unsigned int turn = 0; turn < 20; turn++) {
		struct disk_node *target = make_node();
		struct disk_live *mirror;

		assert_int_equal(disk_live_mirror(&mirror, block, target, true, 0,
						   NULL), 0);
		disturb(turn, 300);
		assert_int_equal(wait_for_end(mirror), DISK_LIVE_READY);
		disturb(turn + 100, 20);
		assert_int_equal(disk_live_finish(mirror, false, NULL), 0);
		assert_ptr_equal(disk_block_node(block), target);
		expect_model();
	}
}

static void old_content_of_the_target_goes(void **state)
{
	struct disk_node *target = make_node();
	struct disk_live *mirror;
	uint8_t *dirt = malloc(SIZE);

	memset(dirt, 0xee, SIZE);
	assert_int_equal(disk_write_bytes(target, 0, dirt, SIZE), 0);
	free(dirt);
	assert_int_equal(disk_live_mirror(&mirror, block, target, false, 0,
					  NULL), 0);
	assert_int_equal(wait_for_end(mirror), DISK_LIVE_READY);
	assert_int_equal(disk_live_finish(mirror, false, NULL), 0);
	expect_model();
}

static void cancelled_the_disk_stays(void **state)
{
	struct disk_node *image = disk_block_node(block);
	struct disk_live *mirror;
	struct disk_error error;

	assert_int_equal(disk_live_mirror(&mirror, block, make_node(), true,
					   0, NULL), 0);
	disturb(7, 50);
	if (disk_live_finish(mirror, false, &error)) {
		assert_non_null(strstr(error.text, "not all"));
		disk_live_cancel(mirror);
		assert_ptr_equal(disk_block_node(block), image);
	}
	expect_model();
}

static void a_copy_is_of_its_moment(void **state)
{
	struct disk_node *image = disk_block_node(block);
	struct disk_node *target = make_node();
	struct disk_live *mirror;

	assert_int_equal(disk_live_mirror(&mirror, block, target, true, 0,
					  NULL), 0);
	disturb(9, 100);
	assert_int_equal(wait_for_end(mirror), DISK_LIVE_READY);
	assert_int_equal(disk_live_finish(mirror, true, NULL), 0);
	assert_ptr_equal(disk_block_node(block), image);
	disturb(10, 100);
	expect_model();
}

static void another_size_is_refused(void **state)
{
	struct disk_node *target = make_node();
	struct disk_live *mirror;
	struct disk_error error;

	assert_int_equal(disk_resize(target, SIZE / 2, DISK_PREALLOC_OFF, NULL),
			 0);
	assert_int_equal(disk_live_mirror(&mirror, block, target, true, 0,
					   &error), -EINVAL);
	assert_non_null(strstr(error.text, "both must be alike"));
	disk_close(target);
}

static void a_target_that_fails_is_given_up(void **state)
{
	struct disk_node *target = make_node();
	struct disk_live *mirror;
	struct disk_live_status status;
	struct disk_error error;

	target->readonly = true; /* every write fails */
	assert_int_equal(disk_live_mirror(&mirror, block, target, true, 0,
					  NULL), 0);
	disturb(3, 50);
	assert_int_equal(wait_for_end(mirror), DISK_LIVE_FAILED);
	disk_live_look(mirror, &status);
	assert_int_equal(status.error, -EROFS);
	assert_int_equal(disk_live_finish(mirror, false, &error), -EROFS);
	disturb(4, 50);
	disk_live_cancel(mirror);
	expect_model();
}

/* Not from a little later on: a small disk would have been copied by then. */
static void its_pace_holds_from_the_start(void **state)
{
	const struct timespec while_it_could = { .tv_nsec = 50000000 };
	struct disk_live *mirror;
	struct disk_live_status status;

	assert_int_equal(disk_live_mirror(&mirror, block, make_node(), true, 1,
					  NULL), 0);
	nanosleep(&while_it_could, NULL);
	disk_live_look(mirror, &status);
	assert_int_equal(status.state, DISK_LIVE_WORKS);
	disk_live_cancel(mirror);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(content_moves_while_it_changes,
						setup, teardown),
		cmocka_unit_test_setup_teardown(old_content_of_the_target_goes,
						setup, teardown),
		cmocka_unit_test_setup_teardown(cancelled_the_disk_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(its_pace_holds_from_the_start,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_is_of_its_moment, setup,
						teardown),
		cmocka_unit_test_setup_teardown(another_size_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_target_that_fails_is_given_up,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
