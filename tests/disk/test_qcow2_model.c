/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 images of all shapes under random writes, zeros, discards and flushes
 * by several threads, compared with a model; and losses of power at random
 * moments, after each of which the image must be sound and hold each flushed
 * byte. test-disk-qcow2-model [--count N] [--cuts N] [--seed N] [--keep DIR]
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake/disk.h"
#include "fake/random.h"
#include "model.h"
#include "vm/host.h"

#define THREADS	   3u
#define ROUNDS	   4u
#define STEPS	   60u
#define SIZE_LEAST (256u << 10)
#define SIZE_MOST  (4u << 20)
#define MOMENTS	   3u /* snapshots at once */
#define STRIPE	   6u /* sectors that belong to one thread */

struct shape {
	char option[8][32];
	const char *options[8];
	unsigned int count;
	uint64_t size, base_size;
	bool backing;
};

/* What a snapshot holds. */
struct moment {
	uint64_t sectors;
	uint32_t *stamp;
};

struct run {
	struct shape shape;
	struct moment moment[MOMENTS];
	struct model model;
	struct fake_disk *disk;
	struct disk_node *image;
	const char *folder, *keep;
	char base[128];
	uint64_t cuts_left, cuts, countdown, seed;
	_Atomic bool failed;
};

struct worker {
	struct run *run;
	unsigned int index;
	uint64_t random;
};

static uint64_t pick(uint64_t *state, uint64_t n)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545f4914f6cdd1dull >> 16) % n;
}

/* --- shapes ----------------------------------------------------------------- */

static void add_option(struct shape *shape, const char *name, uint64_t value,
		       const char *word)
{
	char *to = shape->option[shape->count];

	if (word)
		snprintf(to, sizeof(shape->option[0]), "%s=%s", name, word);
	else
		snprintf(to, sizeof(shape->option[0]), "%s=%" PRIu64, name,
			 value);
	shape->options[shape->count++] = to;
}

static void choose_shape(struct shape *shape)
{
	unsigned int bits = 9 + random_below(9);
	bool old = !random_below(6);

	memset(shape, 0, sizeof(*shape));
	if (bits == 17)
		bits = 21;
	add_option(shape, "cluster_size", 1ull << bits, NULL);
	if (old)
		add_option(shape, "compat", 0, "v2");
	else
		add_option(shape, "refcount_bits", 1ull << random_below(7),
			   NULL);
	if (!old && random_below(2))
		add_option(shape, "compression_type", 0, "zstd");
	if (!old && bits >= 14 && random_below(2))
		add_option(shape, "extended_l2", 0, "on");
	shape->backing = !random_below(3);
	if (!shape->backing && !random_below(4))
		add_option(shape, "preallocation", 0,
			   random_below(2) ? "metadata" : "falloc");
	shape->size = SIZE_LEAST + 512ull * random_below(4096);
	shape->base_size = 512 + 512ull * random_below(6000);
}

static void print_shape(const struct run *run)
{
	fprintf(stderr, "seed %" PRIu64 ": %" PRIu64 " bytes", run->seed,
		run->shape.size);
	for (unsigned int i = 0; i < run->shape.count; i++)
		fprintf(stderr, ", %s", run->shape.options[i]);
	if (run->shape.backing)
		fprintf(stderr, ", on %" PRIu64 " bytes",
			run->shape.base_size);
	fprintf(stderr, "\n");
}

/* --- images ----------------------------------------------------------------- */

static struct disk_node *open_on(struct run *run, struct fake_disk *disk)
{
	const struct disk_open how = { .path = "fake", .format = "qcow2",
				       .folders = &run->folder,
				       .folder_count = 1 };
	struct disk_node *leaf = fake_disk_open(disk), *image;
	struct disk_error error;

	if (!disk_open_on(&image, leaf, &how, &error))
		return image;
	fprintf(stderr, "opening: %s\n", error.text);
	disk_close(leaf);
	run->failed = true;
	return NULL;
}

static void say_line(void *ctx, const char *line)
{
	fprintf(stderr, "check: %s\n", line);
}

/* Nothing wrong but leaks; none of those either when `exact`. */
static bool is_sound(struct disk_node *image, bool exact)
{
	struct disk_check check = { 0 };
	struct disk_error error;
	int result = disk_check(image, false, &check, &error);

	if (result == -ENOTSUP)
		return true;
	if (!result && !check.corruptions && !(exact && check.leaks))
		return true;
	check = (struct disk_check){ .say = say_line };
	result = disk_check(image, false, &check, &error);
	fprintf(stderr, "%" PRIu64 " corruptions, %" PRIu64 " leaks%s%s\n",
		check.corruptions, check.leaks, result ? ", " : "",
		result ? error.text : "");
	return false;
}

static void keep_image(const struct run *run, struct fake_disk *disk,
		       const char *name)
{
	struct disk_node *leaf;
	char path[256];
	uint8_t *bytes;
	FILE *file;

	if (!run->keep)
		return;
	leaf = fake_disk_open(disk);
	bytes = malloc(leaf->size);
	bug_on(!bytes || disk_read_bytes(leaf, 0, bytes, leaf->size));
	snprintf(path, sizeof(path), "%s/%s-%" PRIu64 "-%" PRIu64 ".qcow2",
		 run->keep, name, run->seed, run->cuts);
	file = fopen(path, "w");
	bug_on(!file);
	fwrite(bytes, 1, leaf->size, file);
	fclose(file);
	free(bytes);
	disk_close(leaf);
}

/* The power has gone: what is left must do. */
static void try_cut(struct run *run, uint64_t seed)
{
	struct fake_disk *left = fake_disk_cut(run->disk, seed);
	struct disk_node *image;
	uint64_t sectors;
	bool good;

	keep_image(run, left, "cut");
	image = open_on(run, left);
	sectors = image ? image->size / MODEL_SECTOR : 0;
	if (sectors > run->model.sectors)
		sectors = run->model.sectors;
	good = image && is_sound(image, false) &&
	       model_compare(&run->model, image, 0, sectors, true);
	disk_close(image);
	if (!good) {
		fprintf(stderr, "after a loss of power of seed %" PRIu64 "\n",
			seed);
		run->failed = true;
		keep_image(run, left, "bad");
	}
	fake_disk_free(left);
	run->cuts++;
}

static void before(struct fake_disk *disk, unsigned int kind, void *ctx)
{
	struct run *run = ctx;

	if (!run->cuts_left || run->failed || run->countdown--)
		return;
	run->countdown = random_below(12);
	run->cuts_left--;
	try_cut(run, random_below(5) ? 2 + random64() : random_below(2));
}

/* --- what threads do -------------------------------------------------------- */

/* A stretch of sectors that are this thread's. */
static uint64_t choose_own(struct worker *w, uint64_t *count)
{
	uint64_t stripes = w->run->model.sectors / (STRIPE * THREADS);
	uint64_t at = (pick(&w->random, stripes) * THREADS + w->index) *
			      STRIPE + pick(&w->random, STRIPE);
	uint64_t left = STRIPE - at % STRIPE;

	*count = 1 + pick(&w->random, left);
	return at;
}

static int write_own(struct worker *w, uint64_t at, uint64_t count)
{
	uint8_t bytes[STRIPE * MODEL_SECTOR];
	uint32_t stamp = ++w->run->model.stamp;

	for (uint64_t i = 0; i < count; i++) {
		model_begin(&w->run->model, at + i, stamp);
		model_fill(bytes + i * MODEL_SECTOR, at + i, stamp);
	}
	return disk_write_bytes(w->run->image, at * MODEL_SECTOR, bytes,
				count * MODEL_SECTOR);
}

static int zero_own(struct worker *w, uint64_t at, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		model_begin(&w->run->model, at + i, 0);
	return disk_zero(w->run->image, at * MODEL_SECTOR,
			 count * MODEL_SECTOR,
			 pick(&w->random, 2) ? DISK_UNMAP : 0);
}

static int flush_own(struct worker *w)
{
	struct model *model = &w->run->model;
	int error = disk_flush(w->run->image);

	for (uint64_t i = 0; !error && i < model->sectors; i++)
		if (i / STRIPE % THREADS == w->index)
			model_flushed(model, i);
	return error;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int error = 0;

	for (unsigned int i = 0; i < STEPS && !error; i++) {
		uint64_t count, at = choose_own(w, &count);

		switch (pick(&w->random, 16)) {
		case 0:
			error = flush_own(w);
			break;
		case 1:
		case 2:
			error = zero_own(w, at, count);
			break;
		case 3:
		case 4:
		case 5:
			if (!model_compare(&w->run->model, w->run->image, at,
					   count, false))
				w->run->failed = true;
			break;
		default:
			error = write_own(w, at, count);
		}
	}
	if (error) {
		fprintf(stderr, "thread %u: %s\n", w->index, strerror(-error));
		w->run->failed = true;
	}
	return NULL;
}

static void work_together(struct run *run)
{
	struct worker worker[THREADS];
	pthread_t thread[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ run, i, random64() | 1 };
		bug_on(pthread_create(&thread[i], NULL, work, &worker[i]));
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

/* --- what is done between --------------------------------------------------- */

static int write_much(struct run *run, uint64_t at, uint64_t count)
{
	uint32_t stamp = ++run->model.stamp;
	uint8_t *bytes = malloc(count * MODEL_SECTOR);
	int error;

	bug_on(!bytes);
	for (uint64_t i = 0; i < count; i++) {
		model_begin(&run->model, at + i, stamp);
		model_fill(bytes + i * MODEL_SECTOR, at + i, stamp);
	}
	error = disk_write_bytes(run->image, at * MODEL_SECTOR, bytes,
				 count * MODEL_SECTOR);
	free(bytes);
	return error;
}

/* What was discarded is what it was, or zeros. */
static int discard_much(struct run *run, uint64_t at, uint64_t count)
{
	struct model_sector *sector = run->model.sector + at;
	uint32_t *old = malloc(count * sizeof(*old)), now;
	uint8_t bytes[MODEL_SECTOR];
	int error;

	bug_on(!old);
	for (uint64_t i = 0; i < count; i++) {
		old[i] = sector[i].now;
		model_begin(&run->model, at + i, 0);
	}
	error = disk_discard(run->image, at * MODEL_SECTOR,
			     count * MODEL_SECTOR);
	for (uint64_t i = 0; i < count && !error; i++) {
		error = disk_read_bytes(run->image, (at + i) * MODEL_SECTOR,
					bytes, MODEL_SECTOR);
		if (model_stamp(bytes, at + i, &now) &&
		    (!now || now == old[i]))
			model_begin(&run->model, at + i, now);
		else
			run->failed = true;
	}
	free(old);
	return error;
}

/* Whole clusters, compressed. */
static int pack_some(struct run *run, uint64_t at, uint64_t count)
{
	uint64_t unit = run->image->cluster / MODEL_SECTOR;
	uint64_t size = run->image->size / MODEL_SECTOR;
	int error = 0;

	at -= at % unit;
	for (uint64_t end = at + count; at < end && !error; at += unit) {
		uint64_t part = size - at < unit ? size - at : unit;
		uint32_t stamp = ++run->model.stamp;
		uint8_t *bytes = malloc(part * MODEL_SECTOR);
		struct span span = { bytes, part * MODEL_SECTOR };

		bug_on(!bytes);
		for (uint64_t i = 0; i < part; i++) {
			model_begin(&run->model, at + i, stamp);
			model_fill(bytes + i * MODEL_SECTOR, at + i, stamp);
		}
		error = disk_write_packed(run->image, at * MODEL_SECTOR,
					  span.size,
					  (struct disk_vec){ &span, 1, 0 });
		free(bytes);
	}
	return error;
}

/* Large stretches: many clusters at once; sectors are of all threads. */
static int change_much(struct run *run)
{
	struct model *model = &run->model;
	uint64_t at = random64() % model->sectors;
	uint64_t count = 1 + random64() % (model->sectors - at);

	switch (random_below(5)) {
	case 0:
		for (uint64_t i = 0; i < count; i++)
			model_begin(model, at + i, 0);
		return disk_zero(run->image, at * MODEL_SECTOR,
				 count * MODEL_SECTOR,
				 random_below(2) ? DISK_UNMAP : 0);
	case 1:
		return discard_much(run, at, count);
	case 2:
		return pack_some(run, at, count);
	default:
		return write_much(run, at, count);
	}
}

static void all_flushed(struct run *run)
{
	for (uint64_t i = 0; i < run->model.sectors; i++)
		model_flushed(&run->model, i);
}

static void forget_moment(struct moment *moment)
{
	free(moment->stamp);
	*moment = (struct moment){ 0 };
}

static void take_moment(const struct run *run, struct moment *moment)
{
	moment->sectors = run->model.sectors;
	moment->stamp = malloc(moment->sectors * sizeof(*moment->stamp));
	bug_on(!moment->stamp);
	for (uint64_t i = 0; i < moment->sectors; i++)
		moment->stamp[i] = run->model.sector[i].now;
}

static int go_back(struct run *run, const struct moment *moment,
		   const char *name, struct disk_error *error)
{
	struct model *model = &run->model;
	int result;

	for (uint64_t i = 0; i < moment->sectors; i++)
		model_begin(model, i, moment->stamp[i]);
	if (moment->sectors < model->sectors)
		model->sectors = moment->sectors;
	result = disk_snapshot_apply(run->image, name, error);
	model->sectors = moment->sectors;
	return result;
}

/* Makes, applies or deletes a snapshot. */
static int change_snapshots(struct run *run)
{
	unsigned int index = random_below(MOMENTS);
	struct moment *moment = &run->moment[index];
	struct disk_error error = { "" };
	char name[16];
	int result;

	snprintf(name, sizeof(name), "s%u", index);
	if (!moment->stamp) {
		result = disk_snapshot_create(run->image, name, &error);
		if (result == -ERANGE) /* refcounts of few bits */
			return 0;
		take_moment(run, moment);
	} else if (random_below(2)) {
		result = go_back(run, moment, name, &error);
		if (result == -ERANGE) {
			run->failed = !model_reread(&run->model, run->image);
			return 0;
		}
	} else {
		result = disk_snapshot_delete(run->image, name, &error);
		forget_moment(moment);
	}
	if (result)
		fprintf(stderr, "snapshot %s: %s\n", name, error.text);
	else
		all_flushed(run);
	return result;
}

static int change_size(struct run *run)
{
	struct model *model = &run->model;
	uint64_t size = SIZE_LEAST + 512ull * random_below(5000);
	uint64_t sectors = size / MODEL_SECTOR;
	struct disk_error error = { "" };
	int result;

	for (uint64_t i = model->sectors; i < sectors; i++) {
		model->sector[i].now = model->sector[i].flushed = 0;
		model->sector[i].changes = 0;
	}
	if (sectors < model->sectors)
		model->sectors = sectors;
	result = disk_resize(run->image, size, DISK_PREALLOC_OFF, &error);
	model->sectors = sectors;
	if (result == -ENOTSUP) { /* old snapshots without a size */
		fprintf(stderr, "resize: %s\n", error.text);
		return result;
	}
	all_flushed(run);
	return result;
}

/* Each snapshot holds what it is to hold. */
static bool check_moments(struct run *run)
{
	struct disk_snapshot *list;
	unsigned int count, want = 0;
	int error = disk_snapshot_list(run->image, &list, &count);

	for (unsigned int i = 0; i < MOMENTS; i++)
		want += run->moment[i].stamp != NULL;
	free(list);
	return !error && count == want;
}

static void reopen(struct run *run)
{
	disk_close(run->image);
	all_flushed(run);
	run->image = open_on(run, run->disk);
	if (run->image && !is_sound(run->image, true))
		run->failed = true;
}

static void make_base(struct run *run)
{
	const struct disk_create how = { .path = run->base, .format = "raw",
					 .size = run->shape.base_size };
	const struct disk_open open = { .path = run->base, .format = "raw" };
	uint64_t sectors = run->shape.base_size / MODEL_SECTOR;
	uint8_t bytes[MODEL_SECTOR];
	struct disk_error error;
	struct disk_node *node;

	unlink(run->base);
	bug_on(disk_create(&how, &error) || disk_open(&node, &open, &error));
	for (uint64_t i = 0; i < sectors; i++) {
		uint32_t stamp = random_below(3) ? ++run->model.stamp : 0;

		model_fill(bytes, i, stamp);
		bug_on(disk_write_bytes(node, i * MODEL_SECTOR, bytes,
					MODEL_SECTOR));
		if (i >= run->model.sectors)
			continue;
		run->model.sector[i].now = stamp;
		run->model.sector[i].flushed = stamp;
	}
	disk_close(node);
}

static bool make_image(struct run *run)
{
	struct disk_create how = { .path = "fake", .format = "qcow2",
				   .size = run->shape.size,
				   .options = run->shape.options,
				   .option_count = run->shape.count,
				   .folders = &run->folder,
				   .folder_count = 1 };
	struct disk_node *leaf = fake_disk_open(run->disk);
	struct disk_error error;
	int result;

	if (run->shape.backing) {
		how.backing = run->base;
		how.backing_format = "raw";
	}
	result = disk_create_on(leaf, &how, &error);
	if (result)
		fprintf(stderr, "creating: %s\n", error.text);
	bug_on(disk_flush(leaf));
	disk_close(leaf);
	return !result;
}

/* --- a run ------------------------------------------------------------------ */

static bool run_one(const char *folder, const char *keep, uint64_t seed,
		    uint64_t cuts)
{
	struct run run = { .folder = folder, .keep = keep, .seed = seed,
			   .cuts_left = cuts };
	int error = 0;

	random_state = seed * 0x9e3779b97f4a7c15ull | 1;
	snprintf(run.base, sizeof(run.base), "%s/base.raw", folder);
	choose_shape(&run.shape);
	model_init(&run.model, run.shape.size, SIZE_MOST);
	run.disk = fake_disk_create();
	if (run.shape.backing)
		make_base(&run);
	run.failed = !make_image(&run);
	run.image = run.failed ? NULL : open_on(&run, run.disk);
	run.disk->before = before;
	run.disk->ctx = &run;
	for (unsigned int i = 0; i < ROUNDS && !run.failed && !error; i++) {
		work_together(&run);
		if (!run.failed)
			error = change_much(&run);
		if (!run.failed && !error && random_below(2))
			error = change_snapshots(&run);
		if (!run.failed && !error && !random_below(3))
			error = change_size(&run);
		if (!run.failed && !error && !check_moments(&run))
			run.failed = true;
		if (!run.failed && !error && random_below(2))
			reopen(&run);
		if (!run.failed && !error &&
		    !model_compare(&run.model, run.image, 0,
				   run.model.sectors, false))
			run.failed = true;
	}
	if (error)
		fprintf(stderr, "%s\n", strerror(-error));
	if (!run.failed && !error)
		reopen(&run);
	disk_close(run.image);
	if (run.failed || error) {
		print_shape(&run);
		keep_image(&run, run.disk, "end");
	}
	for (unsigned int i = 0; i < MOMENTS; i++)
		forget_moment(&run.moment[i]);
	fake_disk_free(run.disk);
	model_free(&run.model);
	unlink(run.base);
	return !run.failed && !error;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "cuts", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 's' },
		{ "keep", required_argument, NULL, 'k' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t count = 40, cuts = 10, seed = (uint64_t)time(NULL);
	char folder[64];
	const char *keep = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			count = strtoull(optarg, NULL, 0);
		else if (option == 'p')
			cuts = strtoull(optarg, NULL, 0);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (option == 'k')
			keep = optarg;
		else
			return 2;
	}
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	bug_on(!mkdtemp(folder));
	printf("%" PRIu64 " images from seed %" PRIu64 ", %" PRIu64
	       " losses of power each\n", count, seed, cuts);
	for (uint64_t i = 0; i < count; i++)
		if (!run_one(folder, keep, seed + i, cuts)) {
			rmdir(folder);
			return 1;
		}
	rmdir(folder);
	return 0;
}
