/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and making images: what is refused and why, and raw's bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/node.h"
#include "fake/test.h"

static char folder[64], path[96];
static struct disk_error error;

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk.img", folder);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static void create_raw(uint64_t size)
{
	const struct disk_create how = { .path = path, .size = size };

	assert_int_equal(disk_create(&how, &error), 0);
}

static struct disk_node *open_it(bool readonly)
{
	const struct disk_open how = { .path = path, .readonly = readonly };
	struct disk_node *node;

	assert_int_equal(disk_open(&node, &how, &error), 0);
	return node;
}

static void raw_keeps_bytes(void **state)
{
	uint8_t out[700], in[700];
	struct disk_extent extent;
	struct disk_node *node;

	create_raw(1 << 20);
	node = open_it(false);
	assert_int_equal(node->size, 1 << 20);
	memset(out, 0x5a, sizeof(out));
	assert_int_equal(disk_write_bytes(node, 65536 - 300, out, 700), 0);
	assert_int_equal(disk_read_bytes(node, 65536 - 300, in, 700), 0);
	assert_memory_equal(in, out, 700);
	assert_int_equal(disk_zero(node, 65536, 100, 0), 0);
	assert_int_equal(disk_read_bytes(node, 65536, in, 101), 0);
	assert_true(!in[0] && !in[99] && in[100] == 0x5a);
	assert_int_equal(disk_map(node, 512 * 1024, 4096, DISK_SPARSE, &extent),
			 0);
	assert_int_equal(extent.kind, DISK_ZERO);
	assert_int_equal(extent.length, 4096);
	assert_int_equal(disk_flush(node), 0);
	disk_close(node);
}

static void ranges_are_checked(void **state)
{
	uint8_t byte = 1;
	struct disk_node *node;

	create_raw(4096);
	node = open_it(false);
	assert_int_equal(disk_write_bytes(node, 4096, &byte, 1), -EINVAL);
	assert_int_equal(disk_read_bytes(node, 4095, &byte, 1), 0);
	assert_int_equal(disk_read_bytes(node, UINT64_MAX, &byte, 1), -EINVAL);
	assert_int_equal(disk_zero(node, 1, UINT64_MAX, 0), -EINVAL);
	disk_close(node);
	node = open_it(true);
	assert_int_equal(disk_write_bytes(node, 0, &byte, 1), -EROFS);
	disk_close(node);
}

static void in_use_is_refused(void **state)
{
	const struct disk_open how = { .path = path };
	const struct disk_open look = { .path = path, .readonly = true,
					.unlocked = true };
	struct disk_node *node, *other;

	create_raw(4096);
	node = open_it(false);
	assert_int_equal(disk_open(&other, &how, &error), -EBUSY);
	assert_non_null(strstr(error.text, "in use"));
	assert_int_equal(disk_open(&other, &look, &error), 0);
	disk_close(other);
	disk_close(node);
}

static void making_twice_is_refused(void **state)
{
	const struct disk_create how = { .path = path, .size = 4096 };

	create_raw(512);
	assert_int_equal(disk_create(&how, &error), -EEXIST);
	assert_non_null(strstr(error.text, "there already"));
}

static void bad_sizes_and_words_leave_nothing(void **state)
{
	const char *option = "colour=red";
	struct disk_create how = { .path = path, .size = 513 };

	assert_int_equal(disk_create(&how, &error), -EINVAL);
	how.size = 512;
	how.options = &option;
	how.option_count = 1;
	assert_int_equal(disk_create(&how, &error), -EINVAL);
	assert_non_null(strstr(error.text, "colour=red"));
	how.option_count = 0;
	how.format = "cow";
	assert_int_equal(disk_create(&how, &error), -EINVAL);
	assert_non_null(strstr(error.text, "there are raw"));
	how.format = "raw";
	how.backing = "other.img";
	assert_int_equal(disk_create(&how, &error), -EINVAL);
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(raw_keeps_bytes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(ranges_are_checked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(in_use_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(making_twice_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			bad_sizes_and_words_leave_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
