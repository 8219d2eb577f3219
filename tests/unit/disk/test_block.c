/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as disks: requests of every kind, what is refused, a full host,
 * limits, and nodes that are exchanged under way.
 */
#include "disk/block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/driver.h"
#include "disk/file.h"
#include "fake/disk.h"
#include "fake/random.h"
#include "fake/test.h"
#include "vm/host.h"

#define SIZE (256 * 1024)

static char folder[64], path[96];
static struct block *block;
static struct disk_error error;
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

static int open_image(struct block **to, bool readonly)
{
	const struct disk_open how = { .path = path, .readonly = readonly };

	return disk_block_open(to, &how, &error);
}

static void opens(void)
{
	if (open_image(&block, false))
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
	assert_int_equal(open_image(&block, true), 0);
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
	assert_int_not_equal(open_image(&block, false), 0);
	assert_null(block);
	if (!strstr(error.text, word))
		fail_msg("said: %s", error.text);
	assert_null(strchr(error.text, '\n'));
}

static void refuses(void **state)
{
	write_image("", 0);
	expect_refused("empty");
	write_image(content, 1000);
	expect_refused("multiple of 512");
	write_image(content, 511);
	expect_refused("multiple of 512");
	unlink(path);
	expect_refused("no such file");
	mkdir(path, 0700);
	expect_refused("is a folder");
	rmdir(path);
	mkfifo(path, 0600);
	expect_refused("neither");
}

static void shares_for_reading(void **state)
{
	struct block *first;

	assert_int_equal(open_image(&first, true), 0);
	assert_int_equal(open_image(&block, true), 0);
	block_close(block);
	expect_refused("in use");
	block_close(first);
}

/* --- cache modes ------------------------------------------------------------ */

#define LANES 8 /* parts of the image with a request each under way */
#define LANE  (LARGE / LANES)
#define LARGE (4u << 20)

static uint8_t model[LARGE];

static void forget_pages(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(fdatasync(fd), 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

struct lane {
	struct block_request request;
	struct host_event event;
	struct span span[2];
	uint8_t *data;
};

/* Bytes of a lane's part, cut in two, in sectors or, at times, in bytes. */
static void start_random(struct lane *lane, unsigned int index)
{
	unsigned int unit = random_below(4) ? 512 : random_below(2) ? 1 : 4096;
	unsigned int from = random_below(LANE / unit) * unit;
	unsigned int size = (1 + random_below(8192 / unit)) * unit;
	unsigned int first, kind = random_below(9);

	if (size > LANE - from)
		size = LANE - from;
	first = size > unit ? unit : 0;
	lane->span[0] = (struct span){ lane->data, first };
	lane->span[1] = (struct span){ lane->data + first, size - first };
	lane->event = (struct host_event){ 0 };
	lane->request = (struct block_request){
		.op = kind < 4 ? BLOCK_READ : kind < 8 ? BLOCK_WRITE
						       : BLOCK_ZERO,
		.may_unmap = random_below(2),
		.offset = (uint64_t)index * LANE + from,
		.length = size,
		.span = first ? lane->span : lane->span + 1,
		.spans = first ? 2 : 1,
		.done = done,
		.ctx = &lane->event,
	};
	for (unsigned int i = 0; i < size; i++)
		lane->data[i] = kind == 8 ? 0 : (uint8_t)random64();
	if (kind >= 4)
		memcpy(model + lane->request.offset, lane->data, size);
	if (block_submit(block, &lane->request))
		host_event_set(&lane->event);
}

static void end_random(struct lane *lane)
{
	host_event_wait(&lane->event, UINT64_MAX);
	assert_int_equal(lane->request.error, 0);
	assert_memory_equal(lane->data, model + lane->request.offset,
			    lane->request.length);
}

/* The image at `path`, whose content is the model's, in the midst of it all. */
static void use_at_random(const char *format, enum disk_cache cache)
{
	const struct disk_open how = { .path = path, .format = format,
				       .cache = cache };
	static struct lane lane[LANES];

	if (disk_block_open(&block, &how, &error))
		fail_msg("%s, %s: %s", format, disk_cache_name(cache),
			 error.text);
	for (unsigned int i = 0; i < LANES; i++)
		lane[i].data = aligned_alloc(4096, 16384);
	for (unsigned int turn = 0; turn < 80; turn++) {
		if (turn % 40 == 0)
			forget_pages();
		for (unsigned int i = 0; i < LANES; i++)
			start_random(&lane[i], i);
		for (unsigned int i = 0; i < LANES; i++)
			end_random(&lane[i]);
	}
	assert_int_equal(run(BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	for (unsigned int i = 0; i < LANES; i++)
		free(lane[i].data);
	block_close(block);
	block = NULL;
}

static void every_format_and_cache_keeps_bytes(void **state)
{
	const struct disk_driver *driver;

	for (unsigned int i = 0; (driver = disk_driver_at(i)); i++) {
		const struct disk_create how = { .path = path,
						 .format = driver->name,
						 .size = LARGE };

		if (!driver->create || !strcmp(driver->name, "luks"))
			continue; /* that one wants a passphrase */
		unlink(path);
		if (disk_create(&how, &error))
			fail_msg("%s: %s", driver->name, error.text);
		memset(model, 0, sizeof(model));
		for (unsigned int cache = 0; cache <= DISK_CACHE_UNSAFE;
		     cache++)
			use_at_random(driver->name, (enum disk_cache)cache);
	}
}

/* A length that is no multiple of what O_DIRECT moves. */
static void the_tail_is_kept(void **state)
{
	const struct disk_open how = { .path = path,
				       .cache = DISK_CACHE_NONE };
	uint8_t *data = aligned_alloc(4096, 4096);
	struct span span = { data, 4096 };
	struct stat status;

	write_image(content, 8192 + 512);
	assert_int_equal(disk_block_open(&block, &how, &error), 0);
	memset(data, 0x77, 4096);
	span.size = 512;
	assert_int_equal(run(BLOCK_WRITE, 8192, 512, &span, 1), 0);
	memset(data, 0, 4096);
	assert_int_equal(run(BLOCK_READ, 8192, 512, &span, 1), 0);
	assert_int_equal(data[511], 0x77);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 8192 + 512);
	free(data);
}

/* --- on a disk with faults -------------------------------------------------- */

static struct fake_disk *disk;
static _Atomic unsigned int changes;

static void changed(void *ctx)
{
	atomic_fetch_add(&changes, 1);
}

static struct disk_node *raw_on(struct fake_disk *on)
{
	const struct disk_create create = { .path = "fake", .format = "raw",
					    .size = SIZE };
	const struct disk_open how = { .path = "fake", .format = "raw" };
	struct disk_node *leaf = fake_disk_open(on), *node;

	assert_int_equal(disk_create_on(leaf, &create, &error), 0);
	assert_int_equal(disk_open_on(&node, leaf, &how, &error), 0);
	return node;
}

static int setup_fake(void **state)
{
	disk = fake_disk_create();
	atomic_store(&changes, 0);
	assert_int_equal(disk_block_create(&block, raw_on(disk),
					   DISK_CACHE_WRITEBACK, &error), 0);
	disk_block_on_full(block, changed, NULL);
	return 0;
}

static int teardown_fake(void **state)
{
	block_close(block);
	block = NULL;
	fake_disk_free(disk);
	return 0;
}

static void wait_until_full(bool full)
{
	while (disk_block_full(block) != full)
		usleep(100);
}

struct job {
	struct block_request request;
	struct host_event event;
	struct span span;
	uint8_t data[4096];
};

static void start_write(struct job *job, uint64_t offset, int byte)
{
	memset(job->data, byte, sizeof(job->data));
	job->span = (struct span){ job->data, sizeof(job->data) };
	job->event = (struct host_event){ 0 };
	job->request = (struct block_request){
		.op = BLOCK_WRITE, .offset = offset, .length = 4096,
		.span = &job->span, .spans = 1, .done = done,
		.ctx = &job->event,
	};
	if (block_submit(block, &job->request))
		host_event_set(&job->event);
}

static void end_write(struct job *job, int expected)
{
	host_event_wait(&job->event, UINT64_MAX);
	assert_int_equal(job->request.error, expected);
}

static void set_room(uint64_t room)
{
	pthread_mutex_lock(disk->mutex);
	disk->room = room;
	pthread_mutex_unlock(disk->mutex);
}

static void waits_for_room(void **state)
{
	static struct job job[3];
	uint8_t byte[2];

	set_room(4096);
	start_write(&job[0], 0, 1);
	end_write(&job[0], 0);
	assert_false(disk_block_full(block));
	start_write(&job[1], 4096, 2);
	start_write(&job[2], 8192, 3);
	wait_until_full(true);
	/* What needs no room goes on. */
	start_write(&job[0], 0, 4);
	end_write(&job[0], 0);
	set_room(UINT64_MAX);
	end_write(&job[1], 0);
	end_write(&job[2], 0);
	wait_until_full(false);
	while (atomic_load(&changes) < 2)
		usleep(100);
	assert_int_equal(run(BLOCK_READ, 4096, 1,
			     &(struct span){ &byte[0], 1 }, 1), 0);
	assert_int_equal(run(BLOCK_READ, 8192 + 4095, 1,
			     &(struct span){ &byte[1], 1 }, 1), 0);
	assert_true(byte[0] == 2 && byte[1] == 3);
}

static void a_hurry_ends_the_wait(void **state)
{
	static struct job job;

	set_room(0);
	start_write(&job, 0, 1);
	wait_until_full(true);
	disk_block_hurry(block, true);
	end_write(&job, -ENOSPC);
	start_write(&job, 0, 1);
	end_write(&job, -ENOSPC);
	wait_until_full(false);
	disk_block_hurry(block, false);
	start_write(&job, 0, 1);
	wait_until_full(true);
	set_room(UINT64_MAX);
	end_write(&job, 0);
}

static void other_errors_are_the_guests(void **state)
{
	static struct job job;

	disk->fail = FAKE_WRITE;
	disk->error = -EIO;
	disk->times = 1;
	start_write(&job, 0, 1);
	end_write(&job, -EIO);
	assert_false(disk_block_full(block));
	start_write(&job, 0, 1);
	end_write(&job, 0);
}

static void a_drained_block_keeps_back(void **state)
{
	struct fake_disk *other = fake_disk_create();
	struct disk_node *old;
	static struct job job[2];
	uint8_t byte = 1;

	start_write(&job[0], 0, 7);
	disk_block_drain(block);
	end_write(&job[0], 0); /* over already */
	start_write(&job[1], 4096, 8);
	old = disk_block_swap(block, raw_on(other));
	assert_int_equal(disk_read_bytes(old, 4096, &byte, 1), 0);
	assert_int_equal(byte, 0);
	disk_block_resume(block);
	end_write(&job[1], 0);
	assert_int_equal(disk_read_bytes(old, 4096, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(disk_read_bytes(disk_block_node(block), 4096, &byte,
					 1), 0);
	assert_int_equal(byte, 8);
	disk_close(old);
	fake_disk_free(disk);
	disk = other;
}

static void limits_come_and_go(void **state)
{
	const struct disk_limits slow = { .iops = 1, .burst_ms = 1 };
	const struct disk_limits none = { 0 };
	static struct job job[4];

	assert_int_equal(disk_block_limit(block, &slow), 0);
	for (unsigned int i = 0; i < 4; i++)
		start_write(&job[i], 4096 * i, (int)i);
	end_write(&job[0], 0);
	assert_int_equal(disk_block_limit(block, &none), 0);
	for (unsigned int i = 1; i < 4; i++)
		end_write(&job[i], 0);
}

static void through_means_flushed(void **state)
{
	static struct job job;
	struct block *through;
	struct fake_disk *cut;

	through = block;
	assert_int_equal(disk_block_create(&block, raw_on(disk),
					   DISK_CACHE_WRITETHROUGH, &error), 0);
	block_close(through);
	start_write(&job, 0, 9);
	end_write(&job, 0);
	cut = fake_disk_cut(disk, 0);
	assert_int_equal(cut->used, SIZE);
	fake_disk_free(cut);
	assert_int_equal(disk->changes, 0);
}

static void a_meter_counts(void **state)
{
	const struct disk_limits limits = { .iops = 100, .bps = 1000000,
					    .burst_ms = 50 };
	const uint64_t ms = 1000000;
	struct disk_meter meter;
	uint64_t now = 5000 * ms;
	unsigned int taken = 0;

	disk_meter_set(&meter, &limits, now);
	/* A burst of 50 ms is five requests, and the one that it ends with. */
	while (!disk_meter_take(&meter, 512, now))
		taken++;
	assert_int_equal(taken, 6);
	assert_int_equal(disk_meter_take(&meter, 512, now), 10 * ms);
	assert_int_equal(disk_meter_take(&meter, 512, now + 10 * ms), 0);
	/* By bytes: 500 ms worth of them. */
	now += 1000 * ms;
	assert_int_equal(disk_meter_take(&meter, 500000, now), 0);
	assert_int_equal(disk_meter_take(&meter, 512, now), 450 * ms);
}

#define FAKE(f) cmocka_unit_test_setup_teardown(f, setup_fake, teardown_fake)

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
		TEST(every_format_and_cache_keeps_bytes),
		TEST(the_tail_is_kept),
		FAKE(waits_for_room),
		FAKE(a_hurry_ends_the_wait),
		FAKE(other_errors_are_the_guests),
		FAKE(a_drained_block_keeps_back),
		FAKE(limits_come_and_go),
		FAKE(through_means_flushed),
		cmocka_unit_test(a_meter_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
