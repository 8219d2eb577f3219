/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to hold for each image format that lies in one file: bytes stay,
 * whatever is done in whatever order and by however many threads; a power cut
 * at any moment leaves an image that opens, passes its check after a repair,
 * and has every flushed byte.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "disk/file.h"
#include "fake/disk.h"
#include "fake/random.h"
#include "fake/test.h"

#define SECTOR	512u
#define SECTORS 12288u /* 6 MiB */
#define SIZE	((uint64_t)SECTORS * SECTOR)
#define VALUES	6u /* of a sector since the last flush that are told apart */

static const struct kind {
	const char *format, *option;
	const char *backing; /* an empty image of the same format */
} kinds[] = {
	{ "vdi", NULL, NULL },
	{ "vdi", "static=on", NULL },
	{ "vhd", NULL, NULL },
	{ "vhd", "subformat=fixed", NULL },
	{ "vhd", NULL, "base.vhd" },
	{ "vmdk", NULL, NULL },
	{ "vhdx", "block_size=1M", NULL },
	{ "vhdx", "subformat=fixed", NULL },
	{ "vhdx", "block_size=1M", "base.vhdx" },
};

static const struct kind *kind;
static struct disk_error error;

/* --- images --------------------------------------------------------------------- */

static void create(struct disk_node *file)
{
	const struct disk_create how = {
		.path = "test", .format = kind->format, .size = SIZE,
		.options = &kind->option, .option_count = kind->option != NULL,
		.backing = kind->backing,
	};

	if (disk_create_on(file, &how, &error))
		fail_msg("create: %s", error.text);
}

static struct disk_node *open_on(struct disk_node *file)
{
	const struct disk_open how = { .path = "test",
				       .format = kind->format };
	struct disk_node *node;

	if (disk_open_on(&node, file, &how, &error))
		fail_msg("open: %s", error.text);
	assert_int_equal(node->size, SIZE);
	return node;
}

static struct disk_node *new_image(void)
{
	struct disk_node *file;

	assert_int_equal(disk_memory_open(&file, &error), 0);
	file->grows = true;
	create(file);
	return open_on(file);
}

static void say(void *ctx, const char *line)
{
	print_message("%s: %s\n", kind->format, line);
}

/* Nothing is wrong, or `mended` and then nothing is. */
static void check(struct disk_node *node, bool mended)
{
	struct disk_check first = { 0 }, then = { .say = say };

	if (mended && disk_check(node, true, &first, &error) == -ENOTSUP)
		return;
	assert_int_equal(first.corruptions, 0);
	if (disk_check(node, false, &then, &error) == -ENOTSUP)
		return;
	assert_int_equal(then.corruptions, 0);
	assert_int_equal(then.leaks, 0);
}

/* --- what should be there ------------------------------------------------------- */

/* Each sector is full of one number; which ones it may be. */
struct model {
	struct values {
		uint32_t value[VALUES]; /* the flushed one first */
		uint32_t count;		/* VALUES: any may be there */
	} sector[SECTORS];
	uint32_t stamp;
};

static void model_set(struct model *model, unsigned int sector,
		      uint32_t value)
{
	struct values *v = &model->sector[sector];

	if (v->count < VALUES - 1)
		v->value[++v->count] = value;
	else
		v->count = VALUES;
}

static uint32_t sector_value(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, 4);
	for (unsigned int i = 4; i < SECTOR; i += 4)
		if (memcmp(bytes, bytes + i, 4))
			return UINT32_MAX;
	return value;
}

static bool may_be(const struct values *v, uint32_t value)
{
	if (v->count == VALUES)
		return true;
	for (unsigned int i = 0; i <= v->count; i++)
		if (v->value[i] == value)
			return true;
	return false;
}

static void compare(struct disk_node *node, const struct model *model)
{
	static uint8_t bytes[64 * 1024];

	for (unsigned int s = 0; s < SECTORS; s++) {
		unsigned int at = s % 128 * SECTOR;

		if (!at)
			assert_int_equal(disk_read_bytes(node,
							 (uint64_t)s * SECTOR,
							 bytes, sizeof(bytes)),
					 0);
		if (!may_be(&model->sector[s], sector_value(bytes + at)))
			fail_msg("%s: sector %u has %x, not %x and %u others",
				 kind->format, s, sector_value(bytes + at),
				 model->sector[s].value[0],
				 model->sector[s].count);
	}
}

/* What is there now is all that may be: a power cut changes no more. */
static void settle(struct disk_node *node, struct model *model)
{
	uint8_t bytes[SECTOR];

	for (unsigned int s = 0; s < SECTORS; s++) {
		struct values *v = &model->sector[s];

		if (!v->count)
			continue;
		assert_int_equal(disk_read_bytes(node, (uint64_t)s * SECTOR,
						 bytes, SECTOR), 0);
		assert_true(may_be(v, sector_value(bytes)));
		v->value[0] = sector_value(bytes);
		v->count = 0;
	}
}

/* --- operations ----------------------------------------------------------------- */

static void write_sectors(struct disk_node *node, unsigned int first,
			  unsigned int count, uint32_t value)
{
	uint32_t *words = malloc((size_t)count * SECTOR);

	assert_non_null(words);
	for (unsigned int i = 0; i < count * SECTOR / 4; i++)
		words[i] = value;
	assert_int_equal(disk_write_bytes(node, (uint64_t)first * SECTOR,
					  words, (size_t)count * SECTOR), 0);
	free(words);
}

/* One operation chosen by chance on `limit` sectors from `base` on. */
static void do_something(struct disk_node *node, struct model *model,
			 unsigned int base, unsigned int limit)
{
	unsigned int count = 1 + random_below(random_below(8) ? 16 : 3000);
	unsigned int first, what = random_below(10);
	uint64_t offset, length;

	if (count > limit)
		count = limit;
	first = base + random_below(limit - count + 1);
	offset = (uint64_t)first * SECTOR;
	length = (uint64_t)count * SECTOR;
	for (unsigned int i = 0; i < count; i++) {
		if (what < 8)
			model_set(model, first + i,
				  what < 6 ? model->stamp + 1 : 0);
		else
			model->sector[first + i].count = VALUES;
	}
	if (what < 6)
		write_sectors(node, first, count, ++model->stamp);
	else if (what < 8)
		assert_int_equal(disk_zero(node, offset, length,
					   what == 6 ? DISK_UNMAP : 0), 0);
	else
		assert_int_equal(disk_discard(node, offset, length), 0);
}

static void bytes_stay(void)
{
	static struct model model;
	struct disk_node *node = new_image();

	memset(&model, 0, sizeof(model));
	for (unsigned int i = 0; i < 300; i++) {
		do_something(node, &model, 0, SECTORS);
		if (!random_below(10)) {
			assert_int_equal(disk_flush(node), 0);
			settle(node, &model);
		}
	}
	compare(node, &model);
	assert_int_equal(disk_flush(node), 0);
	check(node, false);
	disk_close(node);
}

/* --- many threads --------------------------------------------------------------- */

#define THREADS 4u

struct worker {
	struct disk_node *node;
	unsigned int index;
	uint32_t value[SECTORS / THREADS / 8];
};

/* Each has every fourth run of 8 sectors, so that they meet in all blocks. */
static void *work(void *ctx)
{
	struct worker *worker = ctx;
	uint32_t words[8 * SECTOR / 4];
	uint64_t chance = 88172645463325252ull + worker->index;

	for (unsigned int i = 0; i < 600; i++) {
		unsigned int run;

		chance ^= chance << 13;
		chance ^= chance >> 7;
		chance ^= chance << 17;
		run = (unsigned int)(chance >> 20) % (SECTORS / THREADS / 8);
		for (unsigned int w = 0; w < 8 * SECTOR / 4; w++)
			words[w] = i + 1;
		if (disk_write_bytes(worker->node,
				     ((uint64_t)run * THREADS + worker->index) *
					     8 * SECTOR,
				     words, sizeof(words)))
			return worker;
		worker->value[run] = i + 1;
		if (i % 50 == 49 && disk_flush(worker->node))
			return worker;
	}
	return NULL;
}

static void threads_do_not_meet(void)
{
	static struct worker worker[THREADS];
	struct disk_node *node = new_image();
	pthread_t thread[THREADS];
	uint8_t bytes[8 * SECTOR];

	memset(worker, 0, sizeof(worker));
	for (unsigned int i = 0; i < THREADS; i++) {
		worker[i].node = node;
		worker[i].index = i;
		pthread_create(&thread[i], NULL, work, &worker[i]);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
	for (unsigned int run = 0; run < SECTORS / 8; run++) {
		assert_int_equal(disk_read_bytes(node, run * sizeof(bytes),
						 bytes, sizeof(bytes)), 0);
		for (unsigned int s = 0; s < 8; s++)
			assert_int_equal(sector_value(bytes + s * SECTOR),
					 worker[run % THREADS]
						 .value[run / THREADS]);
	}
	assert_int_equal(disk_flush(node), 0);
	check(node, false);
	disk_close(node);
}

/* --- the power goes ------------------------------------------------------------- */

static struct model cut_model;

static void cut_now(struct fake_disk *disk, uint64_t seed)
{
	struct fake_disk *left = fake_disk_cut(disk, seed);
	struct disk_node *node = open_on(fake_disk_open(left));

	compare(node, &cut_model);
	check(node, true);
	write_sectors(node, SECTORS - 5000, 4500, 7);
	assert_int_equal(disk_flush(node), 0);
	check(node, false);
	disk_close(node);
	fake_disk_free(left);
}

static void maybe_cut(struct fake_disk *disk, unsigned int what, void *ctx)
{
	if (!random_below(6))
		cut_now(disk, random_below(4) ? random64() : random_below(2));
}

static void a_power_cut_loses_nothing_flushed(void)
{
	struct fake_disk *disk = fake_disk_create();
	struct disk_node *node = fake_disk_open(disk);

	memset(&cut_model, 0, sizeof(cut_model));
	create(node);
	assert_int_equal(disk_flush(node), 0);
	node = open_on(node);
	disk->before = maybe_cut;
	for (unsigned int i = 0; i < 150; i++) {
		do_something(node, &cut_model, 0, SECTORS - 5000);
		if (!random_below(4)) {
			assert_int_equal(disk_flush(node), 0);
			settle(node, &cut_model);
		}
	}
	disk->before = NULL;
	disk_close(node);
	fake_disk_free(disk);
}

/* --- the power goes while the size changes -------------------------------------- */

static uint64_t cut_sizes[2]; /* that the disk may have, the old one first */

/* Where the footer of a fixed VHD stood, until it is cleared: a cut before that
 * leaves it in what is added. */
static uint64_t cut_foot;

/* The first `size` bytes are what may be there; what was added is zeros. */
static void compare_begin(struct disk_node *node, const struct model *model,
			  uint64_t size)
{
	uint8_t bytes[SECTOR];

	for (unsigned int s = 0; s < node->size / SECTOR; s++) {
		uint64_t at = (uint64_t)s * SECTOR;

		if (at >= size && node->size == cut_sizes[0])
			break; /* may be cut already */
		assert_int_equal(disk_read_bytes(node, at, bytes, SECTOR), 0);
		if (at >= size && at == cut_foot)
			continue;
		if (at >= size)
			assert_int_equal(sector_value(bytes), 0);
		else if (!may_be(&model->sector[s], sector_value(bytes)))
			fail_msg("%s: sector %u has %x", kind->format, s,
				 sector_value(bytes));
	}
}

static void cut_while_resizing(struct fake_disk *disk, unsigned int what,
			       void *ctx)
{
	const struct disk_open how = { .path = "test",
				       .format = kind->format };
	struct fake_disk *left;
	struct disk_node *node;
	uint64_t least = cut_sizes[0] < cut_sizes[1] ? cut_sizes[0]
						     : cut_sizes[1];

	if (random_below(3))
		return;
	left = fake_disk_cut(disk, random_below(4) ? random64()
						   : random_below(2));
	if (disk_open_on(&node, fake_disk_open(left), &how, &error))
		fail_msg("%s: open: %s", kind->format, error.text);
	assert_true(node->size == cut_sizes[0] || node->size == cut_sizes[1]);
	compare_begin(node, &cut_model, least);
	check(node, true);
	disk_close(node);
	fake_disk_free(left);
}

static void a_power_cut_leaves_either_size(void)
{
	struct fake_disk *disk = fake_disk_create();
	struct disk_node *node = fake_disk_open(disk);
	unsigned int sectors = SECTORS, next;

	if (kind->backing) { /* it would show: refused */
		disk_close(node);
		fake_disk_free(disk);
		return;
	}
	memset(&cut_model, 0, sizeof(cut_model));
	create(node);
	assert_int_equal(disk_flush(node), 0);
	node = open_on(node);
	for (unsigned int i = 0; i < 20; i++) {
		for (unsigned int j = random_below(8); j; j--)
			do_something(node, &cut_model, 0, sectors);
		if (random_below(2)) {
			assert_int_equal(disk_flush(node), 0);
			for (unsigned int s = sectors; s < SECTORS; s++)
				cut_model.sector[s].count = 0;
			if (sectors == SECTORS)
				settle(node, &cut_model);
		}
		next = 1 + random_below(SECTORS);
		if (!random_below(3))
			next = SECTORS;
		cut_sizes[0] = (uint64_t)sectors * SECTOR;
		cut_sizes[1] = (uint64_t)next * SECTOR;
		cut_foot = !strcmp(kind->format, "vhd") ? cut_sizes[0]
							: UINT64_MAX;
		disk->before = cut_while_resizing;
		if (disk_resize(node, cut_sizes[1], DISK_PREALLOC_OFF, &error))
			fail_msg("%s: %s", kind->format, error.text);
		disk->before = NULL;
		cut_foot = UINT64_MAX;
		for (unsigned int s = next < sectors ? next : sectors;
		     s < SECTORS; s++)
			cut_model.sector[s] = (struct values){ { 0 }, 0 };
		sectors = next;
		cut_sizes[0] = cut_sizes[1];
		compare_begin(node, &cut_model, cut_sizes[0]);
	}
	disk_close(node);
	fake_disk_free(disk);
}

/* --- no room -------------------------------------------------------------------- */

static void a_full_host_is_told_and_harms_nothing(void)
{
	struct fake_disk *disk = fake_disk_create();
	struct disk_node *node = fake_disk_open(disk);
	static uint8_t bytes[64 * SECTOR];
	unsigned int run = 0;
	int result = 0;

	create(node);
	node = open_on(node);
	disk->room = disk->used + 512 * 1024;
	for (; run < SECTORS / 64; run++) {
		memset(bytes, (int)run + 1, sizeof(bytes));
		result = disk_write_bytes(node, run * sizeof(bytes), bytes,
					  sizeof(bytes));
		if (result)
			break;
	}
	assert_int_equal(result, -ENOSPC);
	disk->room = UINT64_MAX;
	assert_int_equal(disk_write_bytes(node, run * sizeof(bytes), bytes,
					  sizeof(bytes)), 0);
	assert_int_equal(disk_flush(node), 0);
	for (unsigned int i = 0; i <= run; i++) {
		assert_int_equal(disk_read_bytes(node, i * sizeof(bytes),
						 bytes, sizeof(bytes)), 0);
		assert_true(bytes[0] == (uint8_t)(i + 1) &&
			    !memcmp(bytes, bytes + 1, sizeof(bytes) - 1));
	}
	check(node, true);
	disk_close(node);
	fake_disk_free(disk);
}

/* --- parents -------------------------------------------------------------------- */

/* They are found from the folder that the test is in. */
static int make_parents(void **state)
{
	static char folder[] = "/tmp/lodge-formats-XXXXXX";

	if (!mkdtemp(folder) || chdir(folder))
		return -1;
	*state = folder;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct disk_create how = { .path = kinds[i].backing,
						 .format = kinds[i].format,
						 .size = SIZE };

		if (how.path && disk_create(&how, &error))
			return -1;
	}
	return 0;
}

static int remove_parents(void **state)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].backing)
			unlink(kinds[i].backing);
	return chdir("/") || rmdir(*state);
}

/* --- all of it, of each format -------------------------------------------------- */

static void each_kind(void (*test)(void))
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kind = &kinds[i];
		test();
	}
}

static void bytes_stay_in_all(void **state)
{
	each_kind(bytes_stay);
}

static void threads_do_not_meet_in_any(void **state)
{
	each_kind(threads_do_not_meet);
}

static void power_cuts_of_all(void **state)
{
	each_kind(a_power_cut_loses_nothing_flushed);
}

static void power_cuts_of_sizes_of_all(void **state)
{
	each_kind(a_power_cut_leaves_either_size);
}

static void full_hosts_of_all(void **state)
{
	each_kind(a_full_host_is_told_and_harms_nothing);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_stay_in_all),
		cmocka_unit_test(threads_do_not_meet_in_any),
		cmocka_unit_test(power_cuts_of_all),
		cmocka_unit_test(power_cuts_of_sizes_of_all),
		cmocka_unit_test(full_hosts_of_all),
	};

	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) | 1 : 4711;
	return cmocka_run_group_tests(tests, make_parents, remove_parents);
}
