/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk that loses what was not flushed: it loses no more, it does lose
 * that, and images can be made and opened on it; and the leaf in memory.
 */
#include "fake/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/file.h"
#include "fake/test.h"

#define SECTORS 64
#define SIZE	(SECTORS * FAKE_DISK_SECTOR)

static struct fake_disk *disk;
static struct disk_node *leaf;
static struct disk_error error;

static int setup(void **state)
{
	disk = fake_disk_create();
	leaf = fake_disk_open(disk);
	return 0;
}

static int teardown(void **state)
{
	disk_close(leaf);
	fake_disk_free(disk);
	return 0;
}

static void fill(unsigned int sector, unsigned int sectors, int byte)
{
	static uint8_t data[SIZE];

	memset(data, byte, sizeof(data));
	assert_int_equal(disk_write_bytes(leaf, sector * FAKE_DISK_SECTOR,
					  data, sectors * FAKE_DISK_SECTOR),
			 0);
}

/* The first bytes of the sectors that a cut leaves; 0xff: not there. */
static void after_cut(uint64_t seed, uint8_t first[SECTORS])
{
	struct fake_disk *cut = fake_disk_cut(disk, seed);
	struct disk_node *node = fake_disk_open(cut);

	for (unsigned int i = 0; i < SECTORS; i++)
		if (disk_read_bytes(node, i * FAKE_DISK_SECTOR, first + i, 1))
			first[i] = 0xff;
	disk_close(node);
	fake_disk_free(cut);
}

static void flushed_bytes_stay(void **state)
{
	unsigned int changed = 0, whole = 0;
	uint8_t first[SECTORS];

	fill(0, SECTORS, 1);
	assert_int_equal(disk_flush(leaf), 0);
	fill(8, 8, 2);
	fill(24, 8, 3);
	after_cut(0, first);
	assert_int_equal(first[8], 1);
	after_cut(1, first);
	assert_true(first[8] == 2 && first[31] == 3);
	for (uint64_t seed = 2; seed < 200; seed++) {
		unsigned int kept = 0;

		after_cut(seed, first);
		for (unsigned int i = 0; i < SECTORS; i++) {
			kept += first[i] != 1;
			if (i / 8 == 1)
				assert_in_range(first[i], 1, 2);
			else if (i / 8 == 3)
				assert_true(first[i] == 1 || first[i] == 3);
			else
				assert_int_equal(first[i], 1);
		}
		changed += kept != 0;
		whole += kept == 8 && first[8] == 1 && first[24] == 3;
	}
	assert_true(changed > 50);
	assert_true(whole > 5); /* the later one alone: out of order */
}

static void length_is_lost_too(void **state)
{
	uint8_t first[SECTORS];

	fill(0, 4, 1);
	assert_int_equal(disk_flush(leaf), 0);
	fill(4, 4, 2);
	after_cut(0, first);
	assert_true(first[3] == 1 && first[4] == 0xff);
	assert_int_equal(disk_resize(leaf, 512, DISK_PREALLOC_OFF, &error), 0);
	after_cut(0, first);
	assert_int_equal(first[3], 1);
	after_cut(1, first);
	assert_true(first[0] == 1 && first[1] == 0xff);
}

static void faults_come_when_told(void **state)
{
	uint8_t byte = 0;

	fill(0, 8, 1);
	disk->fail = FAKE_WRITE | FAKE_FLUSH;
	disk->error = -EIO;
	disk->after = 1;
	disk->times = 2;
	fill(0, 1, 2);
	assert_int_equal(disk_write_bytes(leaf, 0, &byte, 1), -EIO);
	assert_int_equal(disk_read_bytes(leaf, 0, &byte, 1), 0);
	assert_int_equal(disk_flush(leaf), -EIO);
	assert_int_equal(disk_flush(leaf), 0);
}

static void room_runs_out(void **state)
{
	static const uint8_t data[4 * FAKE_DISK_ROOM];

	disk->room = 3 * FAKE_DISK_ROOM;
	assert_int_equal(disk_write_bytes(leaf, 0, data, sizeof(data)),
			 -ENOSPC);
	assert_int_equal(leaf->size, 3 * FAKE_DISK_ROOM);
	assert_int_equal(disk_write_bytes(leaf, 0, data, 3 * FAKE_DISK_ROOM),
			 0);
	assert_int_equal(disk_discard(leaf, 0, FAKE_DISK_ROOM), 0);
	assert_int_equal(disk_write_bytes(leaf, 3 * FAKE_DISK_ROOM, data, 1),
			 0);
	assert_int_equal(disk_write_bytes(leaf, 0, data, 1), -ENOSPC);
	assert_int_equal(disk_allocated(leaf), 3 * FAKE_DISK_ROOM);
}

static unsigned int cuts;

static void cut_here(struct fake_disk *at, unsigned int kind, void *ctx)
{
	fake_disk_free(fake_disk_cut(at, ++cuts));
}

static void images_stand_on_it(void **state)
{
	const struct disk_create create = { .path = "fake", .format = "raw",
					    .size = SIZE };
	const struct disk_open how = { .path = "fake", .format = "raw" };
	struct disk_node *image;
	struct disk_extent extent;

	cuts = 0;
	disk->before = cut_here;
	assert_int_equal(disk_create_on(leaf, &create, &error), 0);
	assert_int_equal(disk_open_on(&image, leaf, &how, &error), 0);
	leaf = image;
	assert_int_equal(image->size, SIZE);
	fill(16, 1, 1);
	assert_int_equal(disk_map(image, 0, SIZE, DISK_SPARSE, &extent), 0);
	assert_int_equal(extent.kind, DISK_ZERO);
	assert_int_equal(extent.length, 16 * FAKE_DISK_SECTOR);
	assert_int_equal(cuts, 2); /* the resize, the write */
}

static void memory_is_sparse(void **state)
{
	struct disk_extent extent;
	struct disk_node *memory;
	uint8_t byte = 7;

	assert_int_equal(disk_memory_open(&memory, &error), 0);
	assert_int_equal(disk_write_bytes(memory, 1ull << 40, &byte, 1), 0);
	assert_int_equal(memory->size, (1ull << 40) + 1);
	assert_true(disk_allocated(memory) < 1 << 20);
	assert_int_equal(disk_map(memory, 0, 1ull << 40, DISK_SPARSE, &extent),
			 0);
	assert_int_equal(extent.kind, DISK_ZERO);
	assert_int_equal(disk_read_bytes(memory, 1ull << 40, &byte, 1), 0);
	assert_int_equal(byte, 7);
	disk_close(memory);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(flushed_bytes_stay),
		TEST(length_is_lost_too),
		TEST(faults_come_when_told),
		TEST(room_runs_out),
		TEST(images_stand_on_it),
		TEST(memory_is_sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
