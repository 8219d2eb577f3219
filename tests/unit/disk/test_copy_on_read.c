/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-read: what was read is in the image, what several threads wrote
 * meanwhile is not lost, and reads do without copies that fail.
 */
#include "disk/copy_on_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "disk/file.h"
#include "fake/disk.h"
#include "fake/test.h"
#include "host/linux/thread.h"

#define SECTOR	 512u
#define SECTORS	 1500u /* no multiple of a cluster */
#define BASE	 1300u /* sectors of the base, which is shorter */
#define THREADS	 4u
#define ROUNDS	 24u
#define STEPS	 300u
#define SPAN_MAX 24u

static char folder[64], base[96];
static struct disk_error error;
static uint32_t model[SECTORS]; /* stamps; 0: zeros */

/* Every sector has its number and a stamp, but for holes of the base. */
static void fill(uint8_t *bytes, uint32_t sector, uint32_t stamp)
{
	for (unsigned int i = 0; i < SECTOR; i += 8) {
		uint64_t word = stamp ? (uint64_t)sector << 32 | stamp : 0;

		memcpy(bytes + i, &word, 8);
	}
}

static void check(const uint8_t *bytes, uint32_t sector)
{
	uint8_t want[SECTOR];

	fill(want, sector, model[sector]);
	assert_memory_equal(bytes, want, SECTOR);
}

static int setup(void **state)
{
	const struct disk_create how = { .path = base, .size = BASE * SECTOR };
	const struct disk_open open = { .path = base };
	struct disk_node *node;
	uint8_t bytes[SECTOR];

	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	snprintf(base, sizeof(base), "%s/base.img", folder);
	assert_int_equal(disk_create(&how, &error), 0);
	assert_int_equal(disk_open(&node, &open, &error), 0);
	memset(model, 0, sizeof(model));
	for (uint32_t i = 0; i < BASE; i++) {
		if (i / 100 % 3 == 2)
			continue;
		model[i] = 1;
		fill(bytes, i, 1);
		assert_int_equal(disk_write_bytes(node, i * SECTOR, bytes,
						  SECTOR), 0);
	}
	disk_close(node);
	return 0;
}

static int teardown(void **state)
{
	unlink(base);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

/* --- an image on the base, in a disk that outlives its nodes ---------------- */

static struct fake_disk *disk;

static void make_image(const char *const *options, unsigned int count)
{
	const char *const folders[] = { folder };
	const struct disk_create how = { .path = "image", .format = "qcow2",
					 .size = SECTORS * SECTOR,
					 .backing = base,
					 .backing_format = "raw",
					 .options = options,
					 .option_count = count,
					 .folders = folders,
					 .folder_count = 1 };
	struct disk_node *leaf;

	disk = fake_disk_create();
	leaf = fake_disk_open(disk);
	assert_int_equal(disk_create_on(leaf, &how, &error), 0);
	disk_close(leaf);
}

static struct disk_node *open_image(bool alone, bool readonly)
{
	const char *const folders[] = { folder };
	const struct disk_open how = { .path = "image", .format = "qcow2",
				       .alone = alone, .readonly = readonly,
				       .folders = folders,
				       .folder_count = 1 };
	struct disk_node *leaf = fake_disk_open(disk), *node;

	assert_int_equal(disk_open_on(&node, leaf, &how, &error), 0);
	return node;
}

static struct disk_node *open_filter(void)
{
	struct disk_node *image = open_image(false, false), *filter;

	assert_int_equal(disk_copy_on_read(&filter, image, &error), 0);
	assert_ptr_not_equal(filter, image);
	return filter;
}

static void check_all(struct disk_node *node)
{
	static uint8_t bytes[SECTORS * SECTOR];

	assert_int_equal(disk_read_bytes(node, 0, bytes, sizeof(bytes)), 0);
	for (uint32_t i = 0; i < SECTORS; i++)
		check(bytes + i * SECTOR, i);
}

/* --- tests ------------------------------------------------------------------ */

static void what_is_read_is_copied(void **state)
{
	struct disk_node *node;
	uint8_t bytes[SECTOR];

	make_image(NULL, 0);
	node = open_filter();
	assert_int_equal(disk_read_bytes(node, 130 * SECTOR, bytes, SECTOR), 0);
	check(bytes, 130);
	disk_close(node);
	node = open_image(true, true);
	for (uint32_t i = 0; i < 384; i++) { /* clusters of 128 sectors */
		bool copied = i / 128 == 1;

		assert_int_equal(disk_read_bytes(node, i * SECTOR, bytes,
						 SECTOR), 0);
		if (copied)
			check(bytes, i);
		else
			assert_int_equal(bytes[0], 0);
	}
	disk_close(node);
	fake_disk_free(disk);
}

static void failed_copies_are_done_without(void **state)
{
	struct disk_node *node;

	make_image(NULL, 0);
	node = open_filter();
	disk->fail = FAKE_WRITE | FAKE_ZERO;
	disk->error = -ENOSPC;
	disk->times = UINT64_MAX;
	check_all(node);
	disk->fail = 0;
	check_all(node);
	disk_close(node);
	node = open_image(true, true);
	check_all(node);
	disk_close(node);
	fake_disk_free(disk);
}

static void readonly_is_refused(void **state)
{
	struct disk_node *image, *filter;

	make_image(NULL, 0);
	image = open_image(false, true);
	assert_int_equal(disk_copy_on_read(&filter, image, &error), -EROFS);
	disk_close(image);
	fake_disk_free(disk);
}

static void without_backing_there_is_none(void **state)
{
	struct disk_node *image, *filter;

	make_image(NULL, 0);
	image = open_image(true, false);
	assert_int_equal(disk_copy_on_read(&filter, image, &error), 0);
	assert_ptr_equal(filter, image);
	disk_close(image);
	fake_disk_free(disk);
}

/* --- several threads -------------------------------------------------------- */

/* Sector n belongs to thread n % THREADS: only that one changes it. */
struct worker {
	struct thread thread;
	struct disk_node *node;
	unsigned int number;
	uint64_t random;
	const char *failed;
};

static unsigned int below(struct worker *w, unsigned int n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (unsigned int)(w->random >> 33) % n;
}

static void read_some(struct worker *w, uint32_t first, uint32_t count)
{
	uint8_t bytes[SPAN_MAX * SECTOR], want[SECTOR];

	if (disk_read_bytes(w->node, first * SECTOR, bytes, count * SECTOR))
		w->failed = "a read";
	for (uint32_t i = 0; i < count; i++) {
		if ((first + i) % THREADS != w->number)
			continue;
		fill(want, first + i, model[first + i]);
		if (memcmp(bytes + i * SECTOR, want, SECTOR))
			w->failed = "a comparison";
	}
}

static void change_one(struct worker *w, uint32_t sector)
{
	unsigned int how = below(w, 8);
	uint8_t bytes[SECTOR];

	if (how) {
		model[sector] += 2;
		fill(bytes, sector, model[sector]);
		if (disk_write_bytes(w->node, sector * SECTOR, bytes, SECTOR))
			w->failed = "a write";
	} else {
		model[sector] = 0;
		if (disk_zero(w->node, sector * SECTOR, SECTOR, 0))
			w->failed = "zeros";
	}
}

static void work(void *ctx)
{
	struct worker *w = ctx;

	for (unsigned int i = 0; i < STEPS && !w->failed; i++) {
		/* All at about the same place, where nobody was yet. */
		uint32_t first = i * (SECTORS - SPAN_MAX) / STEPS +
				 below(w, SPAN_MAX);
		uint32_t count;

		if (below(w, 2)) {
			count = 1 + below(w, SPAN_MAX);
			if (count > SECTORS - first)
				count = SECTORS - first;
			read_some(w, first, count);
		} else {
			first -= first % THREADS;
			change_one(w, first + w->number);
		}
	}
}

/* Writes take a moment, some a longer one, in which others overtake them. */
static void linger(struct fake_disk *which, unsigned int kind, void *ctx)
{
	static _Atomic unsigned int turn;

	usleep(turn++ * 2654435761u >> 24);
}

static void run_round(unsigned int round)
{
	static const char *const options[][2] = {
		{ "cluster_size=4096" },
		{ "cluster_size=65536" },
		{ "cluster_size=65536", "extended_l2=on" },
		{ "cluster_size=2097152" },
	};
	const char *const *chosen = options[round % 4];
	struct worker worker[THREADS];
	struct disk_node *node;

	make_image(chosen, chosen[1] ? 2 : 1);
	disk->before = linger;
	node = open_filter();
	for (unsigned int i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){
			.node = node,
			.number = i,
			.random = 88172645463325252ull * (round * THREADS + i +
							  1),
		};
		assert_int_equal(thread_start(&worker[i].thread, "work", work,
					      &worker[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		thread_join(&worker[i].thread);
	for (unsigned int i = 0; i < THREADS; i++)
		if (worker[i].failed)
			fail_msg("round %u: %s", round, worker[i].failed);
	check_all(node);
	disk_close(node);
	node = open_image(true, true); /* all was read: it needs no base */
	check_all(node);
	disk_close(node);
	fake_disk_free(disk);
}

static void threads_lose_nothing(void **state)
{
	uint32_t first[SECTORS];

	memcpy(first, model, sizeof(first));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		memcpy(model, first, sizeof(first));
		run_round(round);
	}
}

/* --- two readers of a cluster ----------------------------------------------- */

/* A backing file whose readers wait at a gate. */
struct gate {
	struct disk_node node;
	_Atomic unsigned int arrived;
	_Atomic bool open;
};

static int gate_map(struct disk_node *node, uint64_t offset, uint64_t length,
		    unsigned int flags, struct disk_extent *extent)
{
	*extent = (struct disk_extent){ .kind = DISK_DATA, .in = node,
					.length = length, .at = offset };
	return 0;
}

static int gate_read(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec to)
{
	struct gate *gate = (struct gate *)node;

	gate->arrived++;
	while (!gate->open)
		usleep(100);
	disk_vec_clear(to, length);
	return 0;
}

static const struct disk_driver gate_driver = {
	.name = "gate",
	.title = "gate",
	.leaf = true,
	.map = gate_map,
	.read = gate_read,
};

static void read_one(void *ctx)
{
	uint8_t bytes[SECTOR];

	if (disk_read_bytes(ctx, 0, bytes, sizeof(bytes)))
		abort();
}

/*
 * While one copies a cluster the other waits: it must not have read what it
 * would write when the first is done, since a writer may come between.
 */
static void readers_of_a_cluster_take_turns(void **state)
{
	const struct disk_open how = { .path = "gate" };
	struct gate *gate = calloc(1, sizeof(*gate));
	struct disk_node *image, *filter;
	struct disk_ranges *copies;
	struct thread reader[2];
	bool waits = false;

	assert_non_null(gate);
	assert_int_equal(disk_node_init(&gate->node, &gate_driver, NULL, &how),
			 0);
	gate->node.size = SECTORS * SECTOR;
	make_image(NULL, 0);
	image = open_image(true, false);
	image->backing = &gate->node;
	assert_int_equal(disk_copy_on_read(&filter, image, &error), 0);
	copies = (struct disk_ranges *)(filter + 1); /* behind its node */
	assert_int_equal(thread_start(&reader[0], "read", read_one, filter), 0);
	while (!gate->arrived)
		usleep(100);
	assert_int_equal(thread_start(&reader[1], "read", read_one, filter), 0);
	while (gate->arrived < 2 && !waits) {
		usleep(100);
		pthread_mutex_lock(&copies->mutex);
		waits = copies->waiting;
		pthread_mutex_unlock(&copies->mutex);
	}
	gate->open = true;
	thread_join(&reader[0]);
	thread_join(&reader[1]);
	assert_true(waits);
	assert_int_equal(gate->arrived, 1);
	disk_close(filter);
	fake_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_read_is_copied, setup,
						teardown),
		cmocka_unit_test_setup_teardown(failed_copies_are_done_without,
						setup, teardown),
		cmocka_unit_test_setup_teardown(readonly_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(without_backing_there_is_none,
						setup, teardown),
		cmocka_unit_test_setup_teardown(readers_of_a_cluster_take_turns,
						setup, teardown),
		cmocka_unit_test_setup_teardown(threads_lose_nothing, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
