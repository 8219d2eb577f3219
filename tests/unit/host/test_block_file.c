/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw images on files: what is refused, and requests of every kind.
 */
#include "host/linux/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake/test.h"
#include "vm/host.h"

#define SIZE (256 * 1024)

static char folder[64], path[96];
static struct block *block;
static struct block_error error;
static uint8_t content[SIZE];

static void write_image(const void *data, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	close(fd);
}

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/image", folder);
	for (unsigned int i = 0; i < SIZE; i++)
		content[i] = (uint8_t)(i * 7 + i / 4096);
	write_image(content, SIZE);
	return 0;
}

static int teardown(void **state)
{
	block_close(block);
	block = NULL;
	unlink(path);
	rmdir(folder);
	return 0;
}

static void done(struct block_request *r)
{
	host_event_set(r->ctx);
}

/* A request and its end. */
static int run(enum block_op op, uint64_t offset, uint64_t length,
	       const struct span *span, unsigned int spans)
{
	struct host_event event = { 0 };
	struct block_request r = {
		.op = op,
		.may_unmap = true,
		.offset = offset,
		.length = length,
		.span = span,
		.spans = spans,
		.done = done,
		.ctx = &event,
	};

	if (!block_submit(block, &r))
		host_event_wait(&event, UINT64_MAX);
	return r.error;
}

static void opens(void)
{
	if (block_file_open(&block, path, false, false, &error))
		fail_msg("%s", error.text);
	assert_int_equal(block->size, SIZE);
	assert_false(block->readonly);
}

static void moves_data(void **state)
{
	uint8_t a[512], b[3584];
	struct span spans[] = { { a, sizeof(a) }, { b, sizeof(b) } };

	opens();
	assert_int_equal(run(BLOCK_READ, 8192, 4096, spans, 2), 0);
	assert_memory_equal(a, content + 8192, 512);
	assert_memory_equal(b, content + 8704, 3584);
	memset(a, 1, sizeof(a));
	memset(b, 2, sizeof(b));
	assert_int_equal(run(BLOCK_WRITE, SIZE - 4096, 4096, spans, 2), 0);
	assert_int_equal(run(BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	memset(a, 0, sizeof(a));
	assert_int_equal(run(BLOCK_READ, SIZE - 4096, 512, spans, 1), 0);
	assert_int_equal(a[0], 1);
	assert_int_equal(run(BLOCK_READ, SIZE - 3584, 512, spans, 1), 0);
	assert_int_equal(a[0], 2);
}

static void zeros_and_discards(void **state)
{
	static uint8_t buffer[65536];
	struct span span = { buffer, sizeof(buffer) };

	opens();
	assert_int_equal(run(BLOCK_ZERO, 4096, 65536, NULL, 0), 0);
	assert_int_equal(run(BLOCK_READ, 4096, 65536, &span, 1), 0);
	for (unsigned int i = 0; i < sizeof(buffer); i++)
		assert_int_equal(buffer[i], 0);
	assert_int_equal(run(BLOCK_READ, 0, 4096,
			     &(struct span){ buffer, 4096 }, 1), 0);
	assert_memory_equal(buffer, content, 4096);
	assert_int_equal(run(BLOCK_DISCARD, 0, SIZE, NULL, 0), 0);
	assert_int_equal(run(BLOCK_ZERO, 0, 0, NULL, 0), 0);
	assert_int_equal(block->size, SIZE);
}

static void stays_inside(void **state)
{
	uint8_t a[512];
	struct span span = { a, sizeof(a) };

	opens();
	assert_int_equal(run(BLOCK_READ, SIZE, 512, &span, 1), -EIO);
	assert_int_equal(run(BLOCK_WRITE, SIZE - 256, 512, &span, 1), -EIO);
	assert_int_equal(run(BLOCK_READ, UINT64_MAX, 512, &span, 1), -EIO);
	assert_int_equal(run(BLOCK_ZERO, 512, UINT64_MAX, NULL, 0), -EIO);
	/* The file shrinks under us: an error, no more. */
	assert_int_equal(truncate(path, 4096), 0);
	assert_int_equal(run(BLOCK_READ, 8192, 512, &span, 1), -EIO);
}

static void readonly_image(void **state)
{
	uint8_t a[512];
	struct span span = { a, sizeof(a) };

	chmod(path, 0400);
	assert_int_equal(block_file_open(&block, path, true, false, &error), 0);
	assert_true(block->readonly);
	assert_int_equal(run(BLOCK_READ, 0, 512, &span, 1), 0);
	assert_int_equal(run(BLOCK_WRITE, 0, 512, &span, 1), -EIO);
	assert_int_equal(run(BLOCK_DISCARD, 0, 512, NULL, 0), -EIO);
	assert_int_equal(run(BLOCK_FLUSH, 0, 0, NULL, 0), 0);
}

/* Many at a time, from one thread; each ends once. */
static void many(void **state)
{
	enum { COUNT = 64 };
	static uint8_t buffer[COUNT][4096];
	static struct span span[COUNT];
	static struct block_request r[COUNT];
	struct host_event event[COUNT] = { { 0 } };

	opens();
	for (unsigned int i = 0; i < COUNT; i++) {
		span[i] = (struct span){ buffer[i], 4096 };
		memset(buffer[i], (int)i, 4096);
		r[i] = (struct block_request){
			.op = BLOCK_WRITE,
			.offset = 4096 * i,
			.length = 4096,
			.span = &span[i],
			.spans = 1,
			.done = done,
			.ctx = &event[i],
		};
		if (block_submit(block, &r[i]))
			host_event_set(&event[i]);
	}
	for (unsigned int i = 0; i < COUNT; i++) {
		host_event_wait(&event[i], UINT64_MAX);
		assert_int_equal(r[i].error, 0);
	}
	for (unsigned int i = 0; i < COUNT; i++) {
		assert_int_equal(run(BLOCK_READ, 4096 * i, 4096, &span[0], 1),
				 0);
		assert_int_equal(buffer[0][0], i);
		assert_int_equal(buffer[0][4095], i);
	}
}

static void expect_refused(const char *word)
{
	assert_int_equal(block_file_open(&block, path, false, false, &error),
			 -1);
	assert_null(block);
	if (!strstr(error.text, word))
		fail_msg("said: %s", error.text);
	assert_null(strchr(error.text, '\n'));
}

static void refuses(void **state)
{
	struct block *first;

	write_image("", 0);
	expect_refused("empty");
	write_image(content, 1000);
	expect_refused("multiple of 512");
	write_image(content, 511);
	expect_refused("multiple of 512");
	memcpy(content, "QFI\xfb", 4);
	write_image(content, 1024);
	expect_refused("qcow2");
	assert_int_equal(block_file_open(&block, path, false, true, &error), 0);
	first = block;
	/* Locked, for writing and against writers. */
	expect_refused("in use");
	block_close(first);
	unlink(path);
	expect_refused("no such file");
	mkdir(path, 0700);
	expect_refused("directory");
	rmdir(path);
	mkfifo(path, 0600);
	expect_refused("neither");
}

static void shares_for_reading(void **state)
{
	struct block *first;

	assert_int_equal(block_file_open(&first, path, true, false, &error), 0);
	assert_int_equal(block_file_open(&block, path, true, false, &error), 0);
	block_close(block);
	expect_refused("in use");
	block_close(first);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(moves_data),
		TEST(zeros_and_discards),
		TEST(stays_inside),
		TEST(readonly_image),
		TEST(many),
		TEST(refuses),
		TEST(shares_for_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
