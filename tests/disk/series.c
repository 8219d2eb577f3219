/* SPDX-License-Identifier: Apache-2.0 */
#include "series.h"

#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "qemu.h"
#include "vm/host.h"

bool series_shows(struct series *series)
{
	if (!series->has_qemu || series->points % series->settings->qemu)
		return false;
	series->looks++;
	return true;
}

void series_empty(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

static bool run_kind(const struct series_settings *settings,
		     const struct trial_kind *kind, const char *what,
		     bool (*image)(struct series *series))
{
	struct series series = { .settings = settings, .kind = kind };
	bool good = true;

	snprintf(series.folder, sizeof(series.folder), "%s/lodge-XXXXXX",
		 P_tmpdir);
	bug_on(!mkdtemp(series.folder));
	series.has_qemu = settings->qemu && qemu_knows(kind);
	while (good && series.points < settings->points)
		good = image(&series);
	series_empty(series.folder);
	rmdir(series.folder);
	printf("%-16s %6" PRIu64 " %s of %4" PRIu64 " images, %4" PRIu64
	       " shown to qemu-img%s\n", kind->name, series.points, what,
	       series.images, series.looks, good ? "" : ": FAILED");
	fflush(stdout);
	return good;
}

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

static bool run_all(const struct series_settings *settings, const char *what,
		    bool (*image)(struct series *series))
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
			_exit(!run_kind(settings, kind, what, image));
		running++;
	}
	return wait_for(&running, 1) && good;
}

static bool take_option(struct series_settings *settings, int option)
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

int series_main(int argc, char **argv, const char *what,
		bool (*image)(struct series *series))
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
	struct series_settings settings = {
		.points = 60, .qemu = 20, .seed = (uint64_t)time(NULL),
		.jobs = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN),
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(&settings, option))
			return 2;
	printf("from seed %" PRIu64 "\n", settings.seed);
	fflush(stdout);
	return !run_all(&settings, what, image);
}
