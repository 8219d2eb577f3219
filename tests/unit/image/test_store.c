/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: records, names, images that appear whole or not at all, and what
 * is left of makers that were killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"
#include "host/linux/json_file.h"
#include "image/store.h"

static char folder[64];
static struct store store;
static struct disk_error error;

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	setenv("XDG_DATA_HOME", folder, 1);
	assert_int_equal(store_open(&store, &error), 0);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	store_close(&store);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void put_file(int at, const char *name, const char *text)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static const struct image_record sample = {
	.name = "one",
	.system = "A system 1.0 \"quoted\"",
	.disk = "disk.raw",
	.kernel = "kernel",
	.format = "raw",
	.size = (uint64_t)10 << 30,
	.append = "root=LABEL=x ro",
	.firmware = "any",
	.source = "https://example.org/x?y=z",
	.checksum = "sha256:00",
	.created = 1700000000,
};

/* Makes image `name` with `text` as its disk. */
static int make_image(const char *name, const char *text, bool replace)
{
	struct image_record record = sample;
	struct store_draft draft;

	snprintf(record.name, sizeof(record.name), "%s", name);
	assert_int_equal(store_begin(&store, &draft, &error), 0);
	put_file(draft.folder, "disk.raw", text);
	return store_finish(&draft, &record, replace, &error);
}

/* Makes a machine's folder that names its image. */
static void make_machine(const char *name, const char *image)
{
	json_t *json = json_pack("{ss}", "image", image);
	int at;

	assert_int_equal(mkdirat(store.machines, name, 0700), 0);
	at = openat(store.machines, name, O_RDONLY | O_DIRECTORY);
	assert_int_equal(json_file_write(json, at, STORE_MACHINE_FILE), 0);
	close(at);
	json_decref(json);
}

/* Folders in the store's images, those that are hidden as well. */
static unsigned int folders(void)
{
	char command[128], line[256];
	unsigned int count = 0;
	FILE *list;

	snprintf(command, sizeof(command), "ls -A '%s/lodge/images'", folder);
	list = popen(command, "r");
	while (fgets(line, sizeof(line), list))
		count++;
	pclose(list);
	return count;
}

static void record_comes_back(void **state)
{
	struct image_record back;
	json_t *json = image_record_pack(&sample);

	assert_non_null(json);
	assert_int_equal(image_record_unpack(&back, json, &error), 0);
	assert_memory_equal(&back, &sample, sizeof(sample));
	json_decref(json);
}

static void damaged_records_are_refused(void **state)
{
	static const char *const changes[] = {
		"{\"version\": 0}",	 "{\"version\": 2}",
		"{\"name\": \"../x\"}",	 "{\"name\": \"\"}",
		"{\"name\": 1}",	 "{\"size\": 0}",
		"{\"size\": -5}",	 "{\"disk\": \"\"}",
		"{\"disk\": \"../x\"}",	 "{\"disk\": \"/etc/passwd\"}",
		"{\"kernel\": \"a/b\"}", "{\"initrd\": \"..\"}",
		"{\"format\": \"12345678901234567\"}",
		"{\"created\": \"now\"}", "{\"created\": 12}",
	};
	struct image_record back;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		json_t *json = image_record_pack(&sample);
		json_t *change = json_loads(changes[i], 0, NULL);

		assert_non_null(change);
		json_object_update(json, change);
		assert_int_equal(image_record_unpack(&back, json, &error), -1);
		json_decref(change);
		json_decref(json);
	}
	assert_int_equal(image_record_unpack(&back, NULL, &error), -1);
}

static void names_are_checked(void **state)
{
	static const char *const bad[] = { "", ".x", "-x", "a/b", "..", "a b",
					   "\xc3\xa4" };
	char longest[IMAGE_NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(image_name_valid(bad[i]));
	memset(longest, 'a', sizeof(longest));
	longest[IMAGE_NAME_MAX + 1] = '\0';
	assert_false(image_name_valid(longest));
	longest[IMAGE_NAME_MAX] = '\0';
	assert_true(image_name_valid(longest));
	assert_true(image_name_valid("debian-12.5_x"));
}

static void an_image_is_made_found_and_removed(void **state)
{
	struct store_image image, *list;
	struct stat status;
	char path[2048];

	assert_int_equal(store_find(&store, "one", &image, &error), 1);
	assert_int_equal(make_image("one", "first", false), 0);
	assert_int_equal(make_image("two", "second", false), 0);
	assert_int_equal(store_find(&store, "one", &image, &error), 0);
	assert_string_equal(image.record.system, sample.system);
	snprintf(path, sizeof(path), "%s/disk.raw", image.path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0444);
	assert_int_equal(store_list(&store, &list, &error), 2);
	assert_string_equal(list[0].record.name, "one");
	assert_string_equal(list[1].record.name, "two");
	free(list);
	assert_int_equal(store_remove(&store, "one", &error), 0);
	assert_int_equal(store_remove(&store, "one", &error), -1);
	assert_int_equal(store_find(&store, "one", &image, &error), 1);
	assert_int_equal(folders(), 1);
}

static void a_second_one_needs_replace(void **state)
{
	struct store_image image;
	char path[2048], text[16] = "";
	int fd;

	assert_int_equal(make_image("one", "first", false), 0);
	assert_int_equal(make_image("one", "second", false), -1);
	assert_non_null(strstr(error.text, "--replace"));
	assert_int_equal(make_image("one", "third", true), 0);
	assert_int_equal(store_find(&store, "one", &image, &error), 0);
	snprintf(path, sizeof(path), "%s/disk.raw", image.path);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	close(fd);
	assert_string_equal(text, "third");
	assert_int_equal(folders(), 1);
}

static void an_image_in_use_stays(void **state)
{
	assert_int_equal(make_image("one", "first", false), 0);
	make_machine("box", "one");
	assert_int_equal(store_remove(&store, "one", &error), -1);
	assert_non_null(strstr(error.text, "box"));
	assert_int_equal(make_image("one", "other", true), -1);
	assert_int_equal(folders(), 1);
}

static void a_damaged_image_can_be_removed(void **state)
{
	struct store_image image, *list;
	int at;

	assert_int_equal(make_image("one", "first", false), 0);
	at = openat(store.images, "one", O_RDONLY | O_DIRECTORY);
	put_file(at, "image.json", "{\"version\": 1, \"na");
	close(at);
	assert_int_equal(store_find(&store, "one", &image, &error), -1);
	assert_int_equal(store_list(&store, &list, &error), 1);
	assert_true(list[0].damaged);
	free(list);
	assert_int_equal(store_remove(&store, "one", &error), 0);
}

static void a_living_draft_is_not_pruned(void **state)
{
	struct store_draft draft;
	uint64_t bytes = 0;

	assert_int_equal(store_begin(&store, &draft, &error), 0);
	put_file(draft.folder, "disk.raw", "text");
	assert_int_equal(store_prune(&store, &bytes), 0);
	assert_int_equal(folders(), 1);
	close(draft.folder); /* as a kill would */
	assert_int_equal(store_prune(&store, &bytes), 1);
	assert_true(bytes > 0);
	assert_int_equal(folders(), 0);
}

/* In a child: images come and go until it is killed. */
static _Noreturn void churn(void)
{
	for (unsigned int i = 0;; i++) {
		char name[8];

		snprintf(name, sizeof(name), "i%u", i % 3);
		if (store_open(&store, &error) ||
		    (make_image(name, "whole", i & 1) && !strstr(error.text,
								 name)))
			_exit(1);
		if (i % 4 == 3)
			store_remove(&store, name, &error);
		store_close(&store);
	}
}

/* What is there is whole, and nothing else stays. */
static void check_whole(void)
{
	struct store_image *list;
	uint64_t bytes = 0;
	int count;

	store_prune(&store, &bytes);
	count = store_list(&store, &list, &error);
	assert_int_equal(folders(), count);
	for (int i = 0; i < count; i++) {
		char path[2048], text[16] = "";
		int fd;

		assert_false(list[i].damaged);
		snprintf(path, sizeof(path), "%s/disk.raw", list[i].path);
		fd = open(path, O_RDONLY);
		assert_int_equal(read(fd, text, sizeof(text)), 5);
		close(fd);
		assert_string_equal(text, "whole");
	}
	free(list);
}

static void killed_makers_leave_whole_images(void **state)
{
	for (unsigned int round = 0; round < 60; round++) {
		pid_t child[2];
		int status;

		for (unsigned int i = 0; i < 2; i++) {
			child[i] = fork();
			if (!child[i])
				churn();
		}
		usleep(1000 + round * 531 % 7000);
		for (unsigned int i = 0; i < 2; i++) {
			kill(child[i], SIGKILL);
			assert_int_equal(waitpid(child[i], &status, 0),
					 child[i]);
			assert_true(WIFSIGNALED(status));
		}
		check_whole();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_comes_back),
		cmocka_unit_test(damaged_records_are_refused),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test_setup_teardown(
			an_image_is_made_found_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_one_needs_replace,
						setup, teardown),
		cmocka_unit_test_setup_teardown(an_image_in_use_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_damaged_image_can_be_removed,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_living_draft_is_not_pruned,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			killed_makers_leave_whole_images, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
