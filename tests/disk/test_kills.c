/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that changes an image at random, by several threads, is killed at
 * random moments; another goes on with what is there. After each kill the
 * image must be sound and hold each flushed byte.
 *
 * test-disk-kills [--kinds NAME,...] [--points N] [--seed N] [--jobs N]
 *	[--qemu N]
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/random.h"
#include "qemu.h"
#include "series.h"
#include "trial.h"
#include "vm/host.h"

#define KILLS_MOST   40u /* of one image */
#define WRITES_MOST  250u /* of one process */
#define PATIENCE_US  (60u * 1000 * 1000)
#define LOOK_EVERY_US 50u

/* The process that is killed; it ends by itself only when it fails. */
static void work(struct trial *trial, uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ull | 1;
	trial->image = trial_open(trial);
	while (trial->image && !trial->failed)
		trial_work(trial);
	_exit(1);
}

/* Lets it write some, then kills it; false: it ended before. */
static bool kill_one(struct trial *trial)
{
	uint32_t until = trial->model->stamp + random_below(WRITES_MOST);
	uint64_t seed = random64();
	unsigned int waited = 0;
	pid_t pid = fork();
	int status;

	bug_on(pid < 0);
	if (!pid)
		work(trial, seed);
	while (trial->model->stamp < until && waited < PATIENCE_US) {
		usleep(LOOK_EVERY_US);
		waited += LOOK_EVERY_US;
		if (waited % 1000 == 0 && waitpid(pid, &status, WNOHANG))
			return false;
	}
	usleep(random_below(300));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status);
}

/* The next process begins without snapshots: it knows of none. */
static bool drop_snapshots(struct disk_node *image)
{
	struct disk_snapshot *list;
	struct disk_error error;
	unsigned int count;
	int result;

	if (disk_snapshot_list(image, &list, &count))
		return true;
	result = 0;
	for (unsigned int i = 0; i < count && !result; i++)
		result = disk_snapshot_delete(image, list[i].name, &error);
	if (result)
		fprintf(stderr, "deleting a snapshot: %s\n", error.text);
	free(list);
	return !result;
}

/* What is there is what counts from now on. */
static bool settle(struct trial *trial, struct disk_node *image)
{
	struct model *model = trial->model;
	uint64_t known = model->sectors * MODEL_SECTOR, size = image->size;
	struct disk_check check = { 0 };
	struct disk_error error;

	if (trial->kind->noisy && size > known &&
	    disk_write_zeros(image, known, size - known))
		return false;
	disk_check(image, true, &check, &error);
	if (!drop_snapshots(image) || !trial_is_sound(image, true) ||
	    disk_flush(image) || !model_reread(model, image))
		return false;
	for (uint64_t i = 0; i < model->sectors; i++)
		model_flushed(model, i);
	return true;
}

static bool is_good(struct trial *trial)
{
	struct disk_node *image = trial_open(trial);
	uint64_t sectors = image ? image->size / MODEL_SECTOR : 0;
	bool good;

	if (sectors > trial->model->sectors)
		sectors = trial->model->sectors;
	good = image && trial_is_sound(image, false) &&
	       model_compare(trial->model, image, 0, sectors, true) &&
	       settle(trial, image);
	disk_close(image);
	return good;
}

static bool run_image(struct series *series)
{
	struct trial trial;
	unsigned int kills = 0;
	bool good;

	trial_init(&trial, series->kind, series->folder,
		   series->settings->seed + series->images++);
	good = trial_create(&trial);
	while (good && kills++ < KILLS_MOST &&
	       series->points < series->settings->points) {
		good = kill_one(&trial);
		if (good && series_shows(series) && !series->kind->late)
			good = qemu_accepts(&trial, series->folder);
		good = good && is_good(&trial);
		series->points++;
	}
	if (!good)
		trial_print(&trial);
	trial_fini(&trial);
	series_empty(series->folder);
	return good;
}

int main(int argc, char **argv)
{
	return series_main(argc, argv, "kills", run_image);
}
