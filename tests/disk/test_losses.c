/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images of each format under random writes, zeros, discards, flushes,
 * snapshots and resizes by several threads, compared with a model; and losses
 * of power at random moments: of what was not flushed nothing is left, or
 * all, or some writes, or some sectors of each. What is left must be sound,
 * hold each flushed byte, and be as good as any image from then on. qemu-img
 * looks at some.
 *
 * test-disk-losses [--kinds NAME,...] [--points N] [--seed N] [--jobs N]
 *	[--qemu N (of how many one is shown to qemu-img; 0: none)]
 *	[--keep FOLDER (what is left of those that are not good)]
 */
#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake/files.h"
#include "fake/random.h"
#include "qemu.h"
#include "trial.h"
#include "vm/host.h"

#define CUTS_MOST 120u /* of one image */

struct settings {
	const char *kinds, *keep;
	uint64_t points, seed;
	unsigned int qemu, jobs;
};

struct run {
	const struct settings *settings;
	struct trial trial;
	struct fake_files *files;
	char folder[64], look[96]; /* the second: for qemu-img */
	bool has_qemu;
	unsigned int cuts, countdown, every;
	uint64_t points, images, looks; /* so far */
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
	bool good;

	fake_files_use(left);
	if (run->trial.kind->late)
		mend(run);
	fake_files_save(left, run->look);
	fake_files_use(run->files);
	fake_files_free(left, false);
	good = qemu_accepts(&run->trial, run->look);
	run->looks++;
	return good;
}

static void keep(struct run *run, uint64_t seed)
{
	struct fake_files *left = fake_files_cut(run->files, seed);
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s/%s-%" PRIu64 "-%" PRIu64,
		 run->settings->keep, run->trial.kind->name, run->trial.seed,
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
	if (run->has_qemu &&
	    (!good || !(run->points % run->settings->qemu)))
		good = qemu_agrees(run, seed) && good;
	run->points++;
	if (good)
		return;
	fprintf(stderr, "after a loss of power of seed %" PRIu64 "\n", seed);
	run->trial.failed = true;
	if (run->settings->keep)
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
			  run->points >= run->settings->points;
}

/* --- images ----------------------------------------------------------------- */

static bool run_image(struct run *run, const struct trial_kind *kind,
		      uint64_t seed)
{
	struct trial *trial = &run->trial;

	trial_init(trial, kind, run->folder, seed);
	run->files = fake_files_create(run->folder);
	run->cuts = 0;
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
	run->images++;
	return !trial->failed;
}

static void empty(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

static bool run_kind(const struct settings *settings,
		     const struct trial_kind *kind)
{
	struct run run = { .settings = settings };
	bool good = true;

	snprintf(run.folder, sizeof(run.folder), "%s/lodge-XXXXXX", P_tmpdir);
	bug_on(!mkdtemp(run.folder));
	snprintf(run.look, sizeof(run.look), "%s/look", run.folder);
	bug_on(mkdir(run.look, 0700));
	run.has_qemu = settings->qemu && qemu_knows(kind);
	while (good && run.points < settings->points)
		good = run_image(&run, kind, settings->seed + run.images);
	empty(run.look);
	rmdir(run.look);
	rmdir(run.folder);
	printf("%-16s %6" PRIu64 " losses of power of %4" PRIu64 " images, %4"
	       PRIu64 " shown to qemu-img%s\n", kind->name, run.points,
	       run.images, run.looks, good ? "" : ": FAILED");
	fflush(stdout);
	return good;
}

/* --- the program ------------------------------------------------------------ */

static bool is_named(const char *kinds, const char *name)
{
	size_t length = strlen(name);

	while (kinds && *kinds) {
		size_t end = strcspn(kinds, ",");

		if (end == length && !strncmp(kinds, name, end))
			return true;
		kinds += end + (kinds[end] == ',');
	}
	return !kinds;
}

/* Waits until fewer than `most` run; false: one was not good. */
static bool wait_for(unsigned int *running, unsigned int most)
{
	bool good = true;

	while (*running && *running >= most) {
		int status;

		if (wait(&status) < 0)
			break;
		good &= WIFEXITED(status) && !WEXITSTATUS(status);
		--*running;
	}
	return good;
}

/* Each kind in a process of its own. */
static bool run_all(const struct settings *settings)
{
	unsigned int running = 0;
	bool good = true;

	for (unsigned int i = 0; i < trial_kind_count; i++) {
		const struct trial_kind *kind = &trial_kinds[i];
		pid_t pid;

		if (!is_named(settings->kinds, kind->name) ||
		    (kind->encrypted && !trial_has_luks))
			continue;
		good &= wait_for(&running, settings->jobs);
		pid = fork();
		bug_on(pid < 0);
		if (!pid)
			_exit(!run_kind(settings, kind));
		running++;
	}
	return wait_for(&running, 1) && good;
}

static bool take_option(struct settings *settings, int option)
{
	uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

	switch (option) {
	case 'k':
		settings->kinds = optarg;
		return true;
	case 'p':
		settings->points = number;
		return true;
	case 's':
		settings->seed = number;
		return true;
	case 'j':
		settings->jobs = number ? (unsigned int)number : 1;
		return true;
	case 'q':
		settings->qemu = (unsigned int)number;
		return true;
	case 'd':
		settings->keep = optarg;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "kinds", required_argument, NULL, 'k' },
		{ "points", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 's' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "qemu", required_argument, NULL, 'q' },
		{ "keep", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	struct settings settings = {
		.points = 60, .qemu = 20, .seed = (uint64_t)time(NULL),
		.jobs = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN),
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(&settings, option))
			return 2;
	printf("from seed %" PRIu64 "\n", settings.seed);
	fflush(stdout);
	return !run_all(&settings);
}
