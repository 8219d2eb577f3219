/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit and rebase of a disk that is written to meanwhile: three images, top
 * on mid on base, each on a disk of its own in memory. At any moment the power
 * may go: what is left must be sound and have all that was flushed.
 */
#include "disk/live/live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "fake/block.h"
#include "fake/disk.h"
#include "fake/test.h"

#define SECTOR	512u
#define SIZE	(4u << 20)
#define SECTORS (SIZE / SECTOR)
#define MANY	48u /* sectors of a request at most */
#define IMAGES	3u
#define CUTS	40u

enum { TOP, MID, BASE };

static const char *const names[IMAGES] = { "top", "mid", "base" };
static const char *formats[IMAGES];
static struct fake_disk *disk[IMAGES];
static struct disk_node *node[IMAGES];
static struct block *block;
static struct disk_error error;
static unsigned int seed;

/* Of each sector: what a reader gets (0: zeros), and what it got when the last
 * flush began and had ended. */
static uint32_t now[SECTORS], flushed[SECTORS];
static uint32_t stamp;

static unsigned int pick(unsigned int count)
{
	return (unsigned int)rand_r(&seed) % count;
}

static void fill(uint8_t *bytes, uint32_t sector, uint32_t with)
{
	const uint64_t word = with ? (uint64_t)sector << 32 | with : 0;

	for (unsigned int i = 0; i < SECTOR; i += 8)
		memcpy(bytes + i, &word, 8);
}

/* --- the images ------------------------------------------------------------- */

static struct disk_node *open_image(struct fake_disk *on, unsigned int which,
				    bool readonly)
{
	const struct disk_open how = { .path = names[which],
				       .format = formats[which],
				       .alone = true, .readonly = readonly };
	struct disk_node *leaf = fake_disk_open(on), *image;

	assert_int_equal(disk_open_on(&image, leaf, &how, &error), 0);
	return image;
}

/* Some runs of sectors are this image's own, some of them zeros. */
static void make_image(unsigned int which)
{
	const char *const options[] = { "cluster_size=4096" };
	const bool qcow2 = !strcmp(formats[which], "qcow2");
	const struct disk_create how = { .path = names[which],
					 .format = formats[which],
					 .size = SIZE,
					 .options = options,
					 .option_count = qcow2 && pick(2) };
	struct disk_node *leaf, *image;
	uint8_t bytes[SECTOR];

	disk[which] = fake_disk_create();
	leaf = fake_disk_open(disk[which]);
	assert_int_equal(disk_create_on(leaf, &how, &error), 0);
	disk_close(leaf);
	image = open_image(disk[which], which, false);
	if (which != BASE && qcow2)
		assert_int_equal(disk_set_backing(image, names[which + 1],
						  formats[which + 1], &error),
				 0);
	if (which != BASE)
		image->backing = node[which + 1];
	for (unsigned int run = 0; run < 60; run++) {
		uint32_t at = pick(SECTORS - MANY), count = 1 + pick(MANY);

		stamp++;
		for (uint32_t i = at; i < at + count; i++) {
			now[i] = run % 5 ? stamp : 0;
			fill(bytes, i, now[i]);
			assert_int_equal(disk_write_bytes(image, i * SECTOR,
							  bytes, SECTOR), 0);
		}
		if (run % 5 == 0)
			assert_int_equal(disk_zero(image, at * SECTOR,
						   count * SECTOR, 0), 0);
	}
	image->backing = NULL;
	assert_int_equal(disk_flush(image), 0);
	disk_close(image);
	node[which] = open_image(disk[which], which, which != TOP);
	if (which != BASE)
		node[which]->backing = node[which + 1];
}

static void make_chain(const char *base_format)
{
	memset(now, 0, sizeof(now));
	formats[TOP] = formats[MID] = "qcow2";
	formats[BASE] = base_format;
	for (unsigned int i = IMAGES; i--;)
		make_image(i);
	assert_int_equal(disk_block_create(&block, node[TOP],
					   DISK_CACHE_WRITEBACK, &error), 0);
	memcpy(flushed, now, sizeof(now));
}

static void end_chain(void)
{
	block_close(block);
	for (unsigned int i = 0; i < IMAGES; i++)
		fake_disk_free(disk[i]);
}

/* --- the guest -------------------------------------------------------------- */

static int run(enum block_op op, uint64_t offset, void *buf, size_t size)
{
	return fake_block_run(block, op, offset, buf, size);
}

static void flush(void)
{
	assert_int_equal(run(BLOCK_FLUSH, 0, NULL, 0), 0);
	memcpy(flushed, now, sizeof(now));
}

static void expect_now(void)
{
	static uint8_t all[SIZE];
	uint8_t want[SECTOR];

	assert_int_equal(run(BLOCK_READ, 0, all, SIZE), 0);
	for (uint32_t i = 0; i < SECTORS; i++) {
		fill(want, i, now[i]);
		assert_memory_equal(all + i * SECTOR, want, SECTOR);
	}
}

/* A write, sometimes zeros, and a read of what is near. */
static void do_something(void)
{
	static uint8_t bytes[MANY * SECTOR];
	uint32_t at = pick(SECTORS - MANY), count = 1 + pick(MANY);
	uint8_t want[SECTOR];

	if (pick(5) == 0) {
		memset(now + at, 0, count * sizeof(now[0]));
		/* A cut may show what was there, or zeros: both are older. */
		memset(flushed + at, 0, count * sizeof(now[0]));
		assert_int_equal(run(BLOCK_ZERO, at * SECTOR, NULL,
				     count * SECTOR), 0);
	} else {
		stamp++;
		for (uint32_t i = 0; i < count; i++) {
			now[at + i] = stamp;
			fill(bytes + i * SECTOR, at + i, stamp);
		}
		assert_int_equal(run(BLOCK_WRITE, at * SECTOR, bytes,
				     count * SECTOR), 0);
	}
	at = pick(SECTORS - MANY);
	assert_int_equal(run(BLOCK_READ, at * SECTOR, bytes, count * SECTOR),
			 0);
	for (uint32_t i = 0; i < count; i++) {
		fill(want, at + i, now[at + i]);
		assert_memory_equal(bytes + i * SECTOR, want, SECTOR);
	}
	if (pick(4) == 0)
		flush();
}

/* --- what is left ----------------------------------------------------------- */

/* Each sector is as it was flushed or written after. */
static void check_content(struct disk_node *image)
{
	static uint8_t all[SIZE];
	uint8_t want[SECTOR];

	assert_int_equal(disk_read_bytes(image, 0, all, SIZE), 0);
	for (uint32_t i = 0; i < SECTORS; i++) {
		uint64_t word;
		uint32_t got;

		memcpy(&word, all + i * SECTOR, 8);
		got = (uint32_t)word;
		fill(want, i, got);
		assert_memory_equal(all + i * SECTOR, want, SECTOR);
		if (now[i])
			assert_in_range(got, flushed[i], now[i]);
	}
}

static void check_sound(struct disk_node *image)
{
	struct disk_check check = { 0 };

	if (image->driver->check)
		assert_int_equal(disk_check(image, false, &check, &error), 0);
	assert_int_equal(check.corruptions, 0);
}

/* The image that this one records as its backing; IMAGES: none. */
static unsigned int recorded(struct disk_node *image)
{
	json_t *info = disk_info(image);
	const char *name = json_string_value(json_object_get(info, "backing"));
	unsigned int which = 0;

	while (which < IMAGES && (!name || strcmp(name, names[which])))
		which++;
	json_decref(info);
	return which;
}

/* The next start's chain from the image `which` on. */
static void check_chain_from(struct fake_disk *const left[IMAGES],
			     unsigned int which)
{
	struct disk_node *image = open_image(left[which], which, false);
	struct disk_node *last = image;

	check_sound(image);
	for (;;) {
		which = recorded(last);
		if (which == IMAGES)
			break;
		last->backing = open_image(left[which], which, true);
		last = last->backing;
		check_sound(last);
	}
	check_content(image);
	disk_close(image);
}

/* The power goes, with every image's disk locked or used by nobody. */
static void cut(unsigned int which)
{
	struct fake_disk *left[IMAGES];
	unsigned int how = pick(3) ? 2 + pick(1000) : pick(2);

	for (unsigned int i = 0; i < IMAGES; i++)
		left[i] = fake_disk_cut(disk[i], how);
	check_chain_from(left, which);
	for (unsigned int i = 0; i < IMAGES; i++)
		fake_disk_free(left[i]);
}

static void cut_while_it_works(void)
{
	struct fake_disk *left[IMAGES];
	unsigned int how = pick(3) ? 2 + pick(1000) : pick(2);

	for (unsigned int i = 0; i < IMAGES; i++)
		pthread_mutex_lock(disk[i]->mutex);
	for (unsigned int i = 0; i < IMAGES; i++)
		left[i] = fake_disk_cut(disk[i], how);
	for (unsigned int i = IMAGES; i--;)
		pthread_mutex_unlock(disk[i]->mutex);
	check_chain_from(left, TOP);
	for (unsigned int i = 0; i < IMAGES; i++)
		fake_disk_free(left[i]);
}

/* For struct fake_disk: nothing is under way but the end of the work. */
static void cut_before(struct fake_disk *at, unsigned int kind, void *ctx)
{
	cut(TOP);
}

static void cut_at_each_step(bool on)
{
	for (unsigned int i = 0; i < IMAGES; i++)
		disk[i]->before = on ? cut_before : NULL;
}

/* --- to the end ------------------------------------------------------------- */

static enum disk_live_state state_of(struct disk_live *live)
{
	struct disk_live_status status;

	disk_live_look(live, &status);
	assert_int_equal(status.total, SIZE);
	return status.state;
}

static void work_to_the_end(struct disk_live *live)
{
	unsigned int cuts = 0;

	disk_live_speed(live, 16 << 20);
	while (state_of(live) == DISK_LIVE_WORKS) {
		do_something();
		if (cuts < CUTS && pick(4) == 0) {
			cut_while_it_works();
			cuts++;
		}
	}
	assert_int_equal(state_of(live), DISK_LIVE_READY);
	for (unsigned int i = 0; i < 30; i++)
		do_something();
	cut_at_each_step(true);
	assert_int_equal(disk_live_finish(live, false, &error), 0);
	cut_at_each_step(false);
	expect_now();
}

static void go_on_alone(unsigned int which)
{
	for (unsigned int i = 0; i < 50; i++) {
		do_something();
		if (pick(5) == 0)
			cut(which);
	}
	expect_now();
}

/* --- tests ------------------------------------------------------------------ */

static void commit_to(unsigned int which, const char *format)
{
	struct disk_live *live;

	make_chain(format);
	assert_int_equal(disk_live_commit(&live, block, node[which], true,
					  0, &error), 0);
	work_to_the_end(live);
	assert_string_equal(disk_block_node(block)->name, names[which]);
	go_on_alone(which);
	end_chain();
}

static void the_chain_goes_into_its_base(void **state)
{
	for (seed = 1; seed < 4; seed++)
		commit_to(BASE, seed % 2 ? "qcow2" : "raw");
}

static void the_top_goes_into_the_next(void **state)
{
	for (seed = 11; seed < 13; seed++)
		commit_to(MID, "raw");
}

static void rebase_to(unsigned int which)
{
	const bool none = which == IMAGES;
	struct disk_live *live;

	make_chain("qcow2");
	assert_int_equal(disk_live_rebase(&live, block,
					  none ? NULL : node[which],
					  none ? NULL : names[which],
					  none ? NULL : formats[which],
					  0, &error), 0);
	work_to_the_end(live);
	assert_ptr_equal(disk_block_node(block), node[TOP]);
	assert_int_equal(recorded(node[TOP]), which);
	assert_ptr_equal(node[TOP]->backing, none ? NULL : node[which]);
	go_on_alone(TOP);
	end_chain();
}

static void the_top_comes_to_stand_on_nothing(void **state)
{
	for (seed = 21; seed < 23; seed++)
		rebase_to(IMAGES);
}

static void the_top_comes_to_stand_on_the_base(void **state)
{
	for (seed = 31; seed < 33; seed++)
		rebase_to(BASE);
}

static void on_what_it_stands_nothing_is_copied(void **state)
{
	seed = 41;
	rebase_to(MID);
}

static void the_top_comes_to_stand_on_another(void **state)
{
	struct fake_disk *other = fake_disk_create();
	struct disk_live *live;
	struct disk_node *leaf, *to;

	seed = 51;
	make_chain("qcow2");
	leaf = fake_disk_open(other);
	assert_int_equal(disk_resize(leaf, SIZE / 2, DISK_PREALLOC_OFF, NULL),
			 0);
	assert_int_equal(disk_open_on(&to, leaf,
				      &(struct disk_open){ .path = "other",
							   .format = "raw" },
				      &error), 0);
	for (uint32_t i = 0; i < SIZE / 2; i += 65536)
		assert_int_equal(disk_write_bytes(to, i, "other", 5), 0);
	assert_int_equal(disk_live_rebase(&live, block, to, "other", "raw",
					  0, &error), 0);
	while (state_of(live) == DISK_LIVE_WORKS)
		do_something();
	assert_int_equal(disk_live_finish(live, false, &error), 0);
	assert_ptr_equal(node[TOP]->backing, to);
	expect_now();
	end_chain();
	fake_disk_free(other);
}

static void given_up_the_disk_stays(void **state)
{
	struct disk_live *live;

	for (seed = 61; seed < 67; seed++) {
		make_chain("qcow2");
		assert_int_equal(seed % 2
					 ? disk_live_commit(&live, block,
							    node[BASE], true,
							    16 << 20, &error)
					 : disk_live_rebase(&live, block, NULL,
							    NULL, NULL,
							    16 << 20, &error),
				 0);
		for (unsigned int i = pick(200); i; i--)
			do_something();
		disk_live_cancel(live);
		assert_ptr_equal(disk_block_node(block), node[TOP]);
		expect_now();
		go_on_alone(TOP);
		end_chain();
	}
}

static void without_room_it_fails_alone(void **state)
{
	struct disk_live *live;

	seed = 71;
	make_chain("qcow2");
	disk[BASE]->room = disk[BASE]->used;
	assert_int_equal(disk_live_commit(&live, block, node[BASE], true,
					  0, &error), 0);
	while (state_of(live) == DISK_LIVE_WORKS)
		do_something();
	assert_int_equal(disk_live_finish(live, false, &error), -ENOSPC);
	disk_live_cancel(live);
	expect_now();
	go_on_alone(TOP);
	end_chain();
}

static void what_is_refused(void **state)
{
	struct disk_live *live;

	seed = 81;
	make_chain("raw");
	assert_int_equal(disk_live_commit(&live, block, node[TOP], true,
					  0, &error), -EINVAL);
	assert_non_null(strstr(error.text, "is none of the images"));
	assert_int_equal(disk_snapshot_create(node[TOP], "s", &error), 0);
	assert_int_equal(disk_live_commit(&live, block, node[MID], false,
					  0, &error), -EINVAL);
	assert_non_null(strstr(error.text, "snapshots"));
	assert_int_equal(disk_live_commit(&live, block, node[MID], true,
					  0, &error), 0);
	assert_int_not_equal(state_of(live), DISK_LIVE_FAILED);
	disk_live_cancel(live);
	node[TOP]->readonly = true;
	assert_int_equal(disk_live_rebase(&live, block, NULL, NULL, NULL,
					  0, &error), -EROFS);
	node[TOP]->readonly = false;
	expect_now();
	end_chain();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_chain_goes_into_its_base),
		cmocka_unit_test(the_top_goes_into_the_next),
		cmocka_unit_test(the_top_comes_to_stand_on_nothing),
		cmocka_unit_test(the_top_comes_to_stand_on_the_base),
		cmocka_unit_test(on_what_it_stands_nothing_is_copied),
		cmocka_unit_test(the_top_comes_to_stand_on_another),
		cmocka_unit_test(given_up_the_disk_stays),
		cmocka_unit_test(without_room_it_fails_alone),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
