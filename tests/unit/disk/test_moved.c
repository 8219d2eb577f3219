/* SPDX-License-Identifier: Apache-2.0 */
/* Where a running machine says that its disks are: who is believed. */
#include "disk/moved.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/linux/json_file.h"

#define LIST "moves.json"

static struct {
	char path[64], list[96];
	int folder;
} place;

static int set_up(void **state)
{
	strcpy(place.path, "/tmp/lodge-moved-XXXXXX");
	assert_non_null(mkdtemp(place.path));
	snprintf(place.list, sizeof(place.list), "%s/" LIST, place.path);
	place.folder = open(place.path, O_RDONLY | O_DIRECTORY);
	assert_true(place.folder >= 0);
	return 0;
}

static int tear_down(void **state)
{
	moved_forget(place.folder, LIST);
	close(place.folder);
	return rmdir(place.path);
}

/* How many entries are believed of a list with that one. */
static size_t believed(const char *path, const char *format)
{
	json_t *list = json_pack("[{ss ss ss}]", "from", "/a", "path", path,
				 "format", format), *found;
	size_t count;

	assert_int_equal(json_file_write(list, place.folder, LIST), 0);
	json_decref(list);
	found = moved_read(place.folder, LIST, "web");
	assert_non_null(found);
	count = json_array_size(found);
	json_decref(found);
	return count;
}

static void test_nothing_moved(void **state)
{
	assert_null(moved_read(place.folder, LIST, "web"));
}

static void test_nobody_named_it(void **state)
{
	assert_int_equal(believed("/b.qcow2", "qcow2"), 0);
	moved_note(place.list, "/b.qcow2", NULL);
	assert_int_equal(believed("/b.qcow2", "qcow2"), 1);
	assert_int_equal(believed("/b.qcow", "qcow2"), 0);
	assert_int_equal(believed("b.qcow2", "qcow2"), 0);
	assert_int_equal(believed("", "raw"), 0);
}

/* What was written as it is must not be taken for an image with a header. */
static void test_the_format_is_the_named_one(void **state)
{
	moved_note(place.list, "/b.img", NULL);
	moved_note(place.list, "/c.img", "vdi");
	assert_int_equal(believed("/b.img", "raw"), 1);
	assert_int_equal(believed("/b.img", "qcow2"), 0);
	assert_int_equal(believed("/c.img", "vdi"), 1);
	assert_int_equal(believed("/c.img", "raw"), 0);
	assert_int_equal(believed("/c.img", ""), 0);
}

static void test_a_name_is_one_line(void **state)
{
	moved_note(place.list, "/x\n- /etc/shadow", NULL);
	moved_note(place.list, "/y", "z\nraw /etc/shadow");
	assert_int_equal(believed("/etc/shadow", "raw"), 0);
	assert_int_equal(believed("/x\n- /etc/shadow", "raw"), 0);
	assert_int_equal(believed("/y", "raw"), 1);
}

static void test_an_older_broker_named_no_format(void **state)
{
	int fd = openat(place.folder, LIST MOVED_NAMED, O_WRONLY | O_CREAT,
			0600);

	assert_int_equal(write(fd, "/b.img\n", 7), 7);
	close(fd);
	assert_int_equal(believed("/b.img", "vdi"), 1);
	assert_int_equal(believed("/b", "vdi"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_moved, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_named_it, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			test_the_format_is_the_named_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_name_is_one_line,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_an_older_broker_named_no_format, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
