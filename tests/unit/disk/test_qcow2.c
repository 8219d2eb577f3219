/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 images: what the model test and the tests beside qemu-img do not see.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/qcow2/bitmap.h"
#include "fake/disk.h"
#include "fake/test.h"

#define MIB   (1u << 20)
#define GRAIN 65536u

static struct disk_error error;

static struct disk_node *open_on(struct fake_disk *disk, bool repair)
{
	const struct disk_open how = { .path = "fake", .format = "qcow2",
				       .repair = repair };
	struct disk_node *leaf = fake_disk_open(disk), *image = NULL;

	if (disk_open_on(&image, leaf, &how, &error))
		disk_close(leaf);
	return image;
}

static struct fake_disk *make(const char *option)
{
	const struct disk_create how = { .path = "fake", .format = "qcow2",
					 .size = 8 * MIB,
					 .options = &option,
					 .option_count = option != NULL };
	struct fake_disk *disk = fake_disk_create();
	struct disk_node *leaf = fake_disk_open(disk);

	assert_int_equal(disk_create_on(leaf, &how, &error), 0);
	assert_int_equal(disk_flush(leaf), 0);
	disk_close(leaf);
	return disk;
}

static void write_at(struct disk_node *image, uint64_t offset, uint64_t size)
{
	uint8_t *bytes = malloc(size);

	assert_non_null(bytes);
	memset(bytes, 0x5a, size);
	assert_int_equal(disk_write_bytes(image, offset, bytes, size), 0);
	free(bytes);
}

static void assert_sound(struct disk_node *image)
{
	struct disk_check check = { 0 };

	assert_int_equal(disk_check(image, false, &check, &error), 0);
	assert_int_equal(check.corruptions, 0);
	assert_int_equal(check.leaks, 0);
}

static void assert_bits(struct disk_node *image, const char *name,
			uint8_t first, uint8_t second)
{
	uint64_t granularity;
	uint8_t *bits;

	assert_int_equal(qcow2_bitmap_read(image, name, &bits, &granularity,
					   &error), 0);
	assert_int_equal(granularity, GRAIN);
	assert_int_equal(bits[0], first);
	assert_int_equal(bits[1], second);
	free(bits);
}

static void bitmaps_follow_writes(void **state)
{
	struct fake_disk *disk = make(NULL);
	struct disk_node *image = open_on(disk, false);

	write_at(image, 0, 8 * GRAIN); /* places, so that writes go there */
	assert_int_equal(qcow2_bitmap_add(image, "a", GRAIN, &error), 0);
	assert_int_equal(qcow2_bitmap_add(image, "a", GRAIN, &error), -EEXIST);
	assert_int_equal(qcow2_bitmap_add(image, "b", 700, &error), -EINVAL);
	assert_bits(image, "a", 0, 0);
	write_at(image, GRAIN - 1, 2);
	write_at(image, 3 * GRAIN, 10);
	assert_bits(image, "a", 0x0b, 0);
	assert_int_equal(disk_zero(image, 5 * GRAIN, 5, 0), 0);
	assert_bits(image, "a", 0x2b, 0);
	disk_close(image);
	image = open_on(disk, false);
	assert_bits(image, "a", 0x2b, 0);
	assert_int_equal(disk_discard(image, 8 * GRAIN, GRAIN), 0);
	assert_bits(image, "a", 0x2b, 1);
	assert_int_equal(qcow2_bitmap_add(image, "b", GRAIN, &error), 0);
	write_at(image, 0, 1);
	assert_bits(image, "b", 1, 0);
	assert_int_equal(qcow2_bitmap_clear(image, "a", &error), 0);
	assert_bits(image, "a", 0, 0);
	assert_int_equal(disk_resize(image, 9 * MIB, DISK_PREALLOC_OFF,
				     &error), -ENOTSUP);
	assert_int_equal(qcow2_bitmap_remove(image, "a", &error), 0);
	assert_int_equal(qcow2_bitmap_remove(image, "a", &error), -ENOENT);
	disk_close(image);
	image = open_on(disk, false);
	assert_bits(image, "b", 1, 0);
	assert_sound(image);
	assert_int_equal(qcow2_bitmap_remove(image, "b", &error), 0);
	assert_sound(image);
	disk_close(image);
	fake_disk_free(disk);
}

static void a_crash_makes_bitmaps_stale(void **state)
{
	struct fake_disk *disk = make(NULL), *left;
	struct disk_node *image = open_on(disk, false);
	uint64_t granularity;
	uint8_t *bits;

	assert_int_equal(qcow2_bitmap_add(image, "a", GRAIN, &error), 0);
	left = fake_disk_cut(disk, 0);
	write_at(image, 0, 512);
	assert_int_equal(disk_flush(image), 0);
	disk_close(image);
	/* Before the first write it was stored. */
	image = open_on(left, false);
	assert_bits(image, "a", 0, 0);
	write_at(image, 0, 512);
	fake_disk_free(disk);
	disk = fake_disk_cut(left, 1);
	disk_close(image);
	fake_disk_free(left);
	image = open_on(disk, false);
	assert_int_equal(qcow2_bitmap_read(image, "a", &bits, &granularity,
					   &error), -ESTALE);
	write_at(image, GRAIN, 512);
	assert_int_equal(qcow2_bitmap_clear(image, "a", &error), 0);
	write_at(image, 2 * GRAIN, 512);
	assert_bits(image, "a", 4, 0);
	disk_close(image);
	image = open_on(disk, false);
	assert_bits(image, "a", 4, 0);
	disk_close(image);
	fake_disk_free(disk);
}

static void narrow_counts_take_no_snapshot(void **state)
{
	struct fake_disk *disk = make("refcount_bits=1");
	struct disk_node *image = open_on(disk, false);

	write_at(image, 100, MIB);
	assert_int_equal(disk_snapshot_create(image, "one", &error), -ERANGE);
	assert_sound(image);
	disk_close(image);
	fake_disk_free(disk);
}

static uint64_t number_at(struct disk_node *leaf, uint64_t at)
{
	uint8_t bytes[8];

	assert_int_equal(disk_read_bytes(leaf, at, bytes, 8), 0);
	return get_be64(bytes);
}

/* A count that lies makes a table look free: it must not be overwritten. */
static void tables_are_never_overwritten(void **state)
{
	struct fake_disk *disk = make(NULL);
	struct disk_node *image = open_on(disk, false), *leaf;
	const uint8_t zeros[512] = { 0 };
	struct disk_check check = { 0 };
	uint64_t block;

	write_at(image, 0, 1000);
	disk_close(image);
	leaf = fake_disk_open(disk);
	block = number_at(leaf, number_at(leaf, QCOW2_AT_REFTABLE));
	assert_int_equal(disk_write_bytes(leaf, block, zeros, 512), 0);
	disk_close(leaf);
	image = open_on(disk, false);
	assert_non_null(image);
	assert_int_equal(disk_write_bytes(image, MIB, zeros, 512), -EIO);
	assert_int_equal(disk_write_bytes(image, 0, zeros, 512), -EIO);
	disk_close(image);
	/* It is marked: only to be mended. */
	assert_null(open_on(disk, false));
	image = open_on(disk, true);
	assert_int_equal(disk_check(image, true, &check, &error), 0);
	assert_true(check.corruptions);
	assert_int_equal(check.corruptions, check.corruptions_fixed);
	disk_close(image);
	image = open_on(disk, false);
	assert_sound(image);
	write_at(image, MIB, 512);
	disk_close(image);
	fake_disk_free(disk);
}

static void a_full_host_loses_nothing(void **state)
{
	struct fake_disk *disk = make("cluster_size=4096");
	struct disk_node *image = open_on(disk, false);
	uint8_t bytes[4096];
	uint64_t offset = 0;
	int result = 0;

	memset(bytes, 7, sizeof(bytes));
	disk->room = disk->used + 300000;
	for (; !result; offset += 4096)
		result = disk_write_bytes(image, offset, bytes, 4096);
	assert_int_equal(result, -ENOSPC);
	offset -= 4096;
	disk->room = UINT64_MAX;
	assert_int_equal(disk_write_bytes(image, offset, bytes, 4096), 0);
	assert_int_equal(disk_flush(image), 0);
	disk_close(image);
	image = open_on(disk, false);
	assert_sound(image);
	for (; offset; offset -= 4096) {
		assert_int_equal(disk_read_bytes(image, offset, bytes, 4096),
				 0);
		assert_true(bytes[0] == 7 && bytes[4095] == 7);
	}
	disk_close(image);
	fake_disk_free(disk);
}

static void a_failed_flush_is_made_good(void **state)
{
	struct fake_disk *disk = make(NULL), *left;
	struct disk_node *image = open_on(disk, false);
	uint8_t byte;

	for (unsigned int after = 0; after < 6; after++) {
		write_at(image, after * MIB, 70000);
		disk->fail = FAKE_WRITE | FAKE_FLUSH;
		disk->after = after;
		disk->times = 1;
		disk->error = -EIO;
		(void)disk_flush(image);
		disk->fail = 0;
		assert_int_equal(disk_flush(image), 0);
		left = fake_disk_cut(disk, 0);
		assert_int_equal(disk_flush(image), 0);
		for (unsigned int i = 0; i <= after; i++) {
			struct disk_node *there = open_on(left, false);

			assert_non_null(there);
			assert_int_equal(disk_read_bytes(there, i * MIB, &byte,
							 1), 0);
			assert_int_equal(byte, 0x5a);
			disk_close(there);
		}
		fake_disk_free(left);
	}
	assert_sound(image);
	disk_close(image);
	fake_disk_free(disk);
}

/* --- the backing file's name ------------------------------------------------- */

static char old_name[1024], new_name[1024];

/* The power goes: the image names one or the other. */
static void expect_a_name(struct fake_disk *disk, unsigned int kind, void *ctx)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		const struct disk_open how = { .path = "fake",
					       .format = "qcow2",
					       .alone = true,
					       .readonly = true };
		struct fake_disk *left = fake_disk_cut(disk, seed);
		struct disk_node *leaf = fake_disk_open(left), *image;
		const char *name;
		json_t *info;

		assert_int_equal(disk_open_on(&image, leaf, &how, &error), 0);
		info = disk_info(image);
		name = json_string_value(json_object_get(info, "backing"));
		assert_non_null(name);
		assert_true(!strcmp(name, old_name) || !strcmp(name, new_name));
		json_decref(info);
		disk_close(image);
		fake_disk_free(left);
	}
}

static void change_name(size_t from, size_t to)
{
	struct fake_disk *disk = make(NULL);
	struct disk_node *image = open_on(disk, false);

	memset(old_name, 'o', from);
	memset(new_name, 'n', to);
	old_name[from] = new_name[to] = '\0';
	assert_int_equal(disk_set_backing(image, old_name, "raw", &error), 0);
	disk->before = expect_a_name;
	assert_int_equal(disk_set_backing(image, new_name, "qcow2", &error), 0);
	expect_a_name(disk, 0, NULL);
	disk->before = NULL;
	disk_close(image);
	fake_disk_free(disk);
}

static void a_name_changes_in_one_go(void **state)
{
	static const size_t sizes[] = { 1, 5, 100, 290, 310, 330, 400, 1000 };
	const size_t count = sizeof(sizes) / sizeof(sizes[0]);

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++)
			change_name(sizes[i], sizes[j]);
}

/* The data file's clusters have no counts to be taken away. */
static void a_data_file_shrinks(void **state)
{
	const char *const options[] = { "cluster_size=1024",
					"data_file=data.raw" };
	char folder[64], path[96], data[96];
	const struct disk_create make = { .path = path, .format = "qcow2",
					  .size = MIB, .options = options,
					  .option_count = 2 };
	const struct disk_open how = { .path = path, .format = "qcow2" };
	struct disk_node *image;

	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk.qcow2", folder);
	snprintf(data, sizeof(data), "%s/data.raw", folder);
	assert_int_equal(disk_create(&make, &error), 0);
	assert_int_equal(disk_open(&image, &how, &error), 0);
	write_at(image, 0, MIB);
	assert_int_equal(disk_resize(image, MIB / 4, DISK_PREALLOC_OFF,
				     &error), 0);
	assert_sound(image);
	disk_close(image);
	unlink(data);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bitmaps_follow_writes),
		cmocka_unit_test(a_crash_makes_bitmaps_stale),
		cmocka_unit_test(narrow_counts_take_no_snapshot),
		cmocka_unit_test(tables_are_never_overwritten),
		cmocka_unit_test(a_full_host_loses_nothing),
		cmocka_unit_test(a_failed_flush_is_made_good),
		cmocka_unit_test(a_name_changes_in_one_go),
		cmocka_unit_test(a_data_file_shrinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
