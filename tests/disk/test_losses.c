/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images of each format under random writes, zeros, discards, flushes,
 * snapshots and resizes by several threads, compared with a model; and losses
 * of power at random moments: of what was not flushed nothing is left, or
 * all, or some writes, or some sectors of each. What is left must be sound,
 * hold each flushed byte, and be as good as any image from then on. qemu-img
 * looks at some.
 *
 * Options are those of series.h.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake/files.h"
#include "fake/random.h"
#include "qemu.h"
#include "series.h"
#include "trial.h"
#include "vm/host.h"

#define CUTS_MOST 120u /* of one image */

struct run {
	struct series *series;
	struct trial trial;
	struct fake_files *files;
	char look[96]; /* a folder for qemu-img */
	unsigned int cuts, countdown, every;
};

/* --- a loss ----------------------------------------------------------------- */

/* It is to be as good as any other: mended, written, read. */
static bool goes_on(struct run *run, struct disk_node **image)
{
	uint8_t bytes[4 * MODEL_SECTOR], back[sizeof(bytes)];
	uint64_t blocks = (*image)->size / sizeof(bytes);
	uint64_t at = random64() % blocks * sizeof(bytes);
	struct disk_check check = { 0 };
	struct disk_error error;

	disk_check(*image, true, &check, &error);
	model_fill(bytes, at / MODEL_SECTOR, UINT32_MAX);
	for (unsigned int i = 1; i < 4; i++)
		model_fill(bytes + i * MODEL_SECTOR, at / MODEL_SECTOR + i,
			   UINT32_MAX);
	if (!trial_is_sound(*image, true) ||
	    disk_write_bytes(*image, at, bytes, sizeof(bytes)) ||
	    disk_flush(*image))
		return false;
	disk_close(*image);
	*image = trial_open(&run->trial);
	return *image && trial_is_sound(*image, true) &&
	       !disk_read_bytes(*image, at, back, sizeof(back)) &&
	       !memcmp(bytes, back, sizeof(back));
}

static bool is_good(struct run *run)
{
	struct disk_node *image = trial_open(&run->trial);
	uint64_t sectors = image ? image->size / MODEL_SECTOR : 0;
	bool good;

	if (sectors > run->trial.model->sectors)
		sectors = run->trial.model->sectors;
	good = image && trial_is_sound(image, false) &&
	       model_compare(run->trial.model, image, 0, sectors, true) &&
	       (random_below(4) || goes_on(run, &image));
	disk_close(image);
	return good;
}

/* As the next start leaves it: some formats mend themselves then. */
static void mend(struct run *run)
{
	struct disk_node *image = trial_open(&run->trial);
	struct disk_check check = { 0 };
	struct disk_error error;

	if (image)
		disk_check(image, true, &check, &error);
	disk_close(image);
}

static bool qemu_agrees(struct run *run, uint64_t seed)
{
	struct fake_files *left = fake_files_cut(run->files, seed);

	fake_files_use(left);
	if (run->trial.kind->late)
		mend(run);
	fake_files_save(left, run->look);
	fake_files_use(run->files);
	fake_files_free(left, false);
	return qemu_accepts(&run->trial, run->look);
}

static void keep(struct run *run, uint64_t seed)
{
	struct fake_files *left = fake_files_cut(run->files, seed);
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s/%s-%" PRIu64 "-%" PRIu64,
		 run->series->settings->keep, run->trial.kind->name, run->trial.seed,
		 seed);
	mkdir(folder, 0755);
	fake_files_save(left, folder);
	fake_files_free(left, false);
}

/* The power has gone: what is left must do. */
static void try_loss(struct run *run, uint64_t seed)
{
	struct fake_files *left = fake_files_cut(run->files, seed);
	bool good;

	fake_files_use(left);
	good = is_good(run);
	fake_files_use(run->files);
	fake_files_free(left, false);
	if (series_shows(run->series) || (!good && run->series->has_qemu))
		good = qemu_agrees(run, seed) && good;
	run->series->points++;
	if (good)
		return;
	fprintf(stderr, "after a loss of power of seed %" PRIu64 "\n", seed);
	run->trial.failed = true;
	if (run->series->settings->keep)
		keep(run, seed);
}

static void before(struct fake_disk *disk, unsigned int kind, void *ctx)
{
	struct run *run = ctx;
	struct fake_files *mine = run->files;

	if (run->trial.stop || run->trial.failed || run->countdown--)
		return;
	run->countdown = random_below(run->every);
	fake_files_use(mine);
	try_loss(run, random_below(5) ? 2 + random64() : random_below(2));
	run->trial.stop = ++run->cuts >= CUTS_MOST ||
			  run->series->points >= run->series->settings->points;
}

/* --- images ----------------------------------------------------------------- */

static bool run_image(struct run *run)
{
	struct series *series = run->series;
	struct trial *trial = &run->trial;

	trial_init(trial, series->kind, series->folder,
		   series->settings->seed + series->images++);
	run->files = fake_files_create(series->folder);
	run->every = 1 + random_below(12);
	run->countdown = random_below(40);
	fake_files_use(run->files);
	if (trial_create(trial)) {
		fake_files_flush(run->files);
		trial->image = trial_open(trial);
	}
	if (trial->image) {
		fake_files_watch(run->files, before, run);
		trial_work(trial);
		trial->stop = true;
		if (!trial->failed)
			trial_reopen(trial);
	} else {
		trial->failed = true;
	}
	if (trial->failed)
		trial_print(trial);
	trial_fini(trial);
	fake_files_free(run->files, true);
	return !trial->failed;
}

static bool run_series(struct series *series)
{
	struct run run = { .series = series };
	bool good;

	snprintf(run.look, sizeof(run.look), "%s/look", series->folder);
	bug_on(mkdir(run.look, 0700));
	good = run_image(&run);
	series_empty(run.look);
	rmdir(run.look);
	return good;
}

int main(int argc, char **argv)
{
	return series_main(argc, argv, "losses of power", run_series);
}
