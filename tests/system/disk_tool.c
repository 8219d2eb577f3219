/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does to images what tests want done, for test_formats.py and its kin:
 *
 *	disk-tool create FORMAT PATH SIZE [OPTION=VALUE|backing=PATH ...]
 *	disk-tool random FORMAT PATH MODEL COUNT SEED
 *	disk-tool copy FORMAT PATH FORMAT PATH [packed]
 *	disk-tool compare FORMAT PATH FORMAT PATH
 *	disk-tool check FORMAT PATH [repair]
 *	disk-tool resize FORMAT PATH SIZE
 *	disk-tool zero FORMAT PATH OFFSET LENGTH
 *	disk-tool info FORMAT PATH
 *	disk-tool die FORMAT PATH (writes 64 KiB at 3 MiB, flushes, kills itself)
 *
 * `random` does the same to an image and to MODEL, a raw one. Status 1 with
 * the reason on standard error when something fails.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "disk/job.h"
#include "fake/random.h"

#define OPTIONS_MAX 8
#define LENGTH_MAX  (3u << 20)

static struct disk_error error;

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, error.text);
	return 1;
}

static struct disk_node *open_image(const char *format, const char *path,
				    bool readonly)
{
	const struct disk_open how = { .path = path, .format = format,
				       .readonly = readonly };
	struct disk_node *node;

	if (disk_open(&node, &how, &error)) {
		fail(path);
		exit(1);
	}
	return node;
}

static int create(int argc, char **argv)
{
	const char *option[OPTIONS_MAX];
	struct disk_create how = { .format = argv[0], .path = argv[1],
				   .size = strtoull(argv[2], NULL, 0),
				   .options = option };

	for (int i = 3; i < argc && how.option_count < OPTIONS_MAX; i++) {
		if (strncmp(argv[i], "backing=", 8) == 0)
			how.backing = argv[i] + 8;
		else
			option[how.option_count++] = argv[i];
	}
	return disk_create(&how, &error) ? fail(argv[1]) : 0;
}

/* One step of `random`: 0 when image and model took it alike. */
static int step(struct disk_node *image, struct disk_node *model, uint8_t *buf)
{
	unsigned int sectors = 1 + random_below(random_below(6)
							? 64
							: LENGTH_MAX / 512);
	uint64_t limit = image->size / 512, offset, length;
	unsigned int what = random_below(12);

	if (sectors > limit)
		sectors = (unsigned int)limit;
	offset = random64() % (limit - sectors + 1) * 512;
	length = (uint64_t)sectors * 512;
	if (what < 7) {
		memset(buf, (int)random64(), length);
		for (uint64_t i = 0; i < length; i += 64)
			buf[i] = (uint8_t)random64();
		return disk_write_bytes(image, offset, buf, length) ||
		       disk_write_bytes(model, offset, buf, length);
	}
	if (what == 7)
		return disk_flush(image);
	if (what == 8) {
		if (disk_discard(image, offset, length) ||
		    disk_read_bytes(image, offset, buf, length))
			return 1;
		return disk_write_bytes(model, offset, buf, length);
	}
	if (what < 11)
		return disk_zero(image, offset, length,
				 what == 9 ? DISK_UNMAP : 0) ||
		       disk_zero(model, offset, length, 0);
	if (disk_read_bytes(image, offset, buf, length) ||
	    disk_read_bytes(model, offset, buf + LENGTH_MAX, length))
		return 1;
	return memcmp(buf, buf + LENGTH_MAX, length) != 0;
}

static int random_steps(int argc, char **argv)
{
	struct disk_node *image = open_image(argv[0], argv[1], false);
	struct disk_node *model = open_image("raw", argv[2], false);
	unsigned long count = strtoul(argv[3], NULL, 0);
	uint8_t *buf = malloc(2 * LENGTH_MAX);
	int result = 0;

	random_state = strtoull(argv[4], NULL, 0) * 2 + 1;
	for (unsigned long i = 0; buf && !result && i < count; i++) {
		result = step(image, model, buf);
		if (result)
			fprintf(stderr, "step %lu: %s\n", i,
				result < 0 ? strerror(-result) : "differs");
	}
	free(buf);
	if (!result && disk_flush(image))
		result = 1;
	disk_close(image);
	disk_close(model);
	return result != 0;
}

static int copy(int argc, char **argv)
{
	struct disk_job job = { 0 };
	struct disk_copy how = {
		.from = open_image(argv[0], argv[1], true),
		.to = open_image(argv[2], argv[3], false),
		.zeroed = true,
		.packed = argc > 4,
	};
	int result = disk_copy(&how, &job, &error);

	if (!result && disk_flush(how.to))
		result = 1;
	disk_close(how.from);
	disk_close(how.to);
	return result ? fail(argv[3]) : 0;
}

static int compare(int argc, char **argv)
{
	struct disk_node *a = open_image(argv[0], argv[1], true);
	struct disk_node *b = open_image(argv[2], argv[3], true);
	struct disk_job job = { 0 };
	uint64_t differs = 0;
	int result = disk_compare(a, b, &differs, &job, &error);

	if (result > 0)
		fprintf(stderr, "differ at byte %" PRIu64 "\n", differs);
	else if (result)
		fail(argv[1]);
	disk_close(a);
	disk_close(b);
	return result != 0;
}

static void say(void *ctx, const char *line)
{
	puts(line);
}

static int check(int argc, char **argv)
{
	struct disk_node *node = open_image(argv[0], argv[1], argc < 3);
	struct disk_check found = { .say = say };
	int result = disk_check(node, argc > 2, &found, &error);

	disk_close(node);
	if (result)
		return fail(argv[1]);
	return found.corruptions > found.corruptions_fixed ||
	       found.leaks > found.leaks_fixed;
}

static int resize(int argc, char **argv)
{
	struct disk_node *node = open_image(argv[0], argv[1], false);
	int result = disk_resize(node, strtoull(argv[2], NULL, 0),
				 DISK_PREALLOC_OFF, &error);

	disk_close(node);
	return result ? fail(argv[1]) : 0;
}

static int zero(int argc, char **argv)
{
	struct disk_node *node = open_image(argv[0], argv[1], false);
	int result = disk_zero(node, strtoull(argv[2], NULL, 0),
			       strtoull(argv[3], NULL, 0), DISK_UNMAP);

	if (result)
		disk_error_set(&error, result, "%s", strerror(-result));
	disk_close(node);
	return result ? fail(argv[1]) : 0;
}

static int info(int argc, char **argv)
{
	struct disk_node *node = open_image(argv[0], argv[1], true);
	json_t *facts = disk_info(node);

	json_object_set_new(facts, "size", json_integer((json_int_t)node->size));
	json_dumpf(facts, stdout, JSON_SORT_KEYS);
	json_decref(facts);
	disk_close(node);
	return 0;
}

static int die(int argc, char **argv)
{
	struct disk_node *node = open_image(argv[0], argv[1], false);
	static uint8_t buf[64 * 1024];

	memset(buf, 90, sizeof(buf));
	if (disk_write_bytes(node, 3 << 20, buf, sizeof(buf)) ||
	    disk_flush(node))
		return 1;
	_exit(9);
}

static const struct command {
	const char *name;
	int words; /* at least */
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "create", 3, create },   { "random", 5, random_steps },
	{ "copy", 4, copy },	   { "compare", 4, compare },
	{ "check", 2, check },	   { "resize", 3, resize },
	{ "info", 2, info },	   { "die", 2, die },
	{ "zero", 4, zero },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (argc - 2 >= commands[i].words &&
		    !strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 2, argv + 2);
	fprintf(stderr, "usage: see the head of disk_tool.c\n");
	return 1;
}
