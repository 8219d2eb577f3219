/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staged transfers: what is written is there, what is read comes back, and a
 * transfer that has no slot is left as it was.
 */
#include "disk/stage.h"

#include <stdlib.h>
#include <string.h>

#include "fake/test.h"

#define SIZE DISK_STAGE_MIN

static struct disk_stage stage;
static uint8_t *memory;

static int setup(void **state)
{
	disk_stage_init(&stage);
	memory = malloc(2 * SIZE);
	for (uint32_t i = 0; i < 2 * SIZE; i++)
		memory[i] = (uint8_t)(i * 7 + i / 4096);
	return 0;
}

static int teardown(void **state)
{
	for (unsigned int i = 0; i < DISK_STAGE_SLOTS; i++)
		assert_null(stage.slot[i].io);
	disk_stage_fini(&stage);
	free(memory);
	return 0;
}

/* In two pieces, the second one first in memory, and not from their start. */
static struct disk_io transfer(struct span span[2], bool write)
{
	span[0] = (struct span){ memory + SIZE, SIZE };
	span[1] = (struct span){ memory, SIZE };
	return (struct disk_io){
		.write = write,
		.length = SIZE,
		.vec = { .span = span, .spans = 2, .skip = SIZE / 2 },
	};
}

static void written(void **state)
{
	struct span span[2];
	struct disk_io io = transfer(span, true);
	const uint8_t *staged;

	assert_true(disk_stage_enter(&stage, &io));
	assert_int_equal(io.vec.spans, 1);
	assert_int_equal(io.vec.skip, 0);
	assert_int_equal(io.vec.span->size, SIZE);
	staged = io.vec.span->data;
	assert_int_equal((uintptr_t)staged % DISK_STAGE_MAX, 0);
	assert_memory_equal(staged, memory + SIZE + SIZE / 2, SIZE / 2);
	assert_memory_equal(staged + SIZE / 2, memory, SIZE / 2);
	disk_stage_leave(&stage, &io);
	assert_ptr_equal(io.vec.span, span);
	assert_int_equal(io.vec.skip, SIZE / 2);
}

static void read_back(void **state)
{
	struct span span[2];
	struct disk_io io = transfer(span, false);
	uint8_t *staged;

	assert_true(disk_stage_enter(&stage, &io));
	staged = io.vec.span->data;
	memset(staged, 0x11, SIZE / 2);
	memset(staged + SIZE / 2, 0x22, SIZE / 2);
	memset(memory, 0, 2 * SIZE);
	disk_stage_leave(&stage, &io);
	assert_int_equal(memory[SIZE + SIZE / 2 - 1], 0);
	assert_int_equal(memory[SIZE + SIZE / 2], 0x11);
	assert_int_equal(memory[2 * SIZE - 1], 0x11);
	assert_int_equal(memory[0], 0x22);
	assert_int_equal(memory[SIZE / 2 - 1], 0x22);
	assert_int_equal(memory[SIZE / 2], 0);
}

/* What the disk did not read does not come to be in the guest. */
static void failed(void **state)
{
	struct span span[2];
	struct disk_io io = transfer(span, false);

	memset(memory, 0x33, 2 * SIZE);
	assert_true(disk_stage_enter(&stage, &io));
	memset(io.vec.span->data, 0x44, SIZE);
	io.error = -5;
	disk_stage_leave(&stage, &io);
	assert_int_equal(memory[0], 0x33);
	assert_int_equal(memory[2 * SIZE - 1], 0x33);
}

static void without_a_slot(void **state)
{
	struct span span[DISK_STAGE_SLOTS + 1][2];
	struct disk_io io[DISK_STAGE_SLOTS + 1];

	for (unsigned int i = 0; i <= DISK_STAGE_SLOTS; i++) {
		io[i] = transfer(span[i], true);
		assert_int_equal(disk_stage_enter(&stage, &io[i]),
				 i < DISK_STAGE_SLOTS);
	}
	assert_ptr_equal(io[DISK_STAGE_SLOTS].vec.span,
			 span[DISK_STAGE_SLOTS]);
	assert_ptr_not_equal(io[0].vec.span->data, io[1].vec.span->data);
	for (unsigned int i = 0; i <= DISK_STAGE_SLOTS; i++)
		disk_stage_leave(&stage, &io[i]);
	assert_true(disk_stage_enter(&stage, &io[DISK_STAGE_SLOTS]));
	disk_stage_leave(&stage, &io[DISK_STAGE_SLOTS]);
}

static void too_small_or_too_large(void **state)
{
	struct span span[2];
	struct disk_io io = transfer(span, true);

	io.length = DISK_STAGE_MIN - 1;
	assert_false(disk_stage_enter(&stage, &io));
	io.length = DISK_STAGE_MAX + 1ull;
	assert_false(disk_stage_enter(&stage, &io));
	assert_null(stage.memory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(written),
		TEST(read_back),
		TEST(failed),
		TEST(without_a_slot),
		TEST(too_small_or_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
