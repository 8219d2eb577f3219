/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: made, entered, looked at, removed. What may be in them is in
 * cgroup_limits.c.
 */
#include "manage/limits/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REST "rest"

/* --- files ------------------------------------------------------------------------ */

int cgroup_path(const struct cgroups *groups,
		enum cgroup_controller controller, const char *run,
		const char *file, char path[CGROUP_PATH_MAX])
{
	int n = snprintf(path, CGROUP_PATH_MAX, "%s/%s%s%s%s%s",
			 groups->place[controller].top, groups->name,
			 run ? "/" : "", run ? run : "", file ? "/" : "",
			 file ? file : "");

	return n < CGROUP_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int cgroup_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

void cgroup_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

bool cgroup_is_again(const struct cgroups *groups,
		     enum cgroup_controller controller)
{
	for (int i = 0; i < (int)controller; i++)
		if (groups->place[i].version &&
		    !strcmp(groups->place[i].top,
			    groups->place[controller].top))
			return true;
	return false;
}

/* --- making ------------------------------------------------------------------------- */

/* Version 2: the children of `folder` have the controllers that we use. */
static void hand_down(const struct cgroups *groups, const char *folder)
{
	char path[CGROUP_PATH_MAX + 32], word[32];

	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", folder);
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (groups->place[i].version != 2 || i == CGROUP_CPUACCT)
			continue;
		snprintf(word, sizeof(word), "+%s", cgroup_name(i));
		cgroup_write(path, word);
	}
}

/* Version 1: a new group of cpuset has neither processors nor memory. */
static void inherit_cpuset(const char *parent, const char *folder)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char path[CGROUP_PATH_MAX + 32], text[1024];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		cgroup_read(path, text, sizeof(text));
		if (strcspn(text, "\n"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", parent, files[i]);
		cgroup_read(path, text, sizeof(text));
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		cgroup_write(path, text);
	}
}

static int make_folder(const struct cgroups *groups,
		       enum cgroup_controller controller, const char *path)
{
	int version = groups->place[controller].version;
	char parent[CGROUP_PATH_MAX];

	snprintf(parent, sizeof(parent), "%.*s",
		 (int)(strrchr(path, '/') - path), path);
	if (version == 2)
		hand_down(groups, parent);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	if (version == 1 && controller == CGROUP_CPUSET)
		inherit_cpuset(parent, path);
	return 0;
}

/* lodge, lodge/UID-NUMBER, lodge/UID-NUMBER/RUN. */
static int make_group(const struct cgroups *groups,
		      enum cgroup_controller controller, const char *run)
{
	size_t top = strlen(groups->place[controller].top) + 1;
	char path[CGROUP_PATH_MAX];
	int err = cgroup_path(groups, controller, run, NULL, path);

	if (err)
		return err;
	for (char *at = path + top; !err && at; at = strchr(at + 1, '/')) {
		char *end = strchr(at + 1, '/');

		if (end)
			*end = '\0';
		err = make_folder(groups, controller, path);
		if (end)
			*end = '/';
	}
	return err;
}

/* Which a group is made in: what every machine has, and what is asked for. */
static bool is_used(const struct cgroups *groups,
		    const struct cgroup_limits *limits,
		    enum cgroup_controller controller)
{
	if (!groups->place[controller].version)
		return false;
	switch (controller) {
	case CGROUP_CPUSET:
		return limits->cpu_set;
	case CGROUP_IO:
		return limits->disk_shares || limits->devices;
	default:
		return true;
	}
}

static int open_procs(const struct cgroups *groups, const char *run,
		      enum cgroup_controller controller)
{
	char path[CGROUP_PATH_MAX];
	int err = cgroup_path(groups, controller, run, "cgroup.procs", path);
	int low = err ? -1 : open(path, O_WRONLY | O_CLOEXEC), fd;

	if (low < 0)
		return err ? err : -errno;
	/* Above those that a new process has. */
	fd = fcntl(low, F_DUPFD_CLOEXEC, 16);
	err = -errno;
	close(low);
	return fd < 0 ? err : fd;
}

/* In one hierarchy; false: it is there already by another controller. */
static int add(const struct cgroups *groups, const char *run,
	       enum cgroup_controller controller, struct cgroup *group)
{
	int err;

	/* Those of one folder may not all be used. */
	for (int i = 0; i < (int)controller; i++)
		if (group->procs[i] >= 0 &&
		    !strcmp(groups->place[i].top,
			    groups->place[controller].top))
			return 0;
	/* A sweep of another lodged may take an empty folder away. */
	for (int tries = 0; tries < 3; tries++) {
		err = make_group(groups, controller, run);
		if (!err)
			err = open_procs(groups, run, controller);
		if (err >= 0)
			group->procs[controller] = err;
		if (err != -ENOENT)
			break;
	}
	return err < 0 ? err : 0;
}

int cgroup_make(const struct cgroups *groups, const char *run,
		const struct cgroup_limits *limits, struct cgroup *group,
		enum cgroup_controller *which)
{
	int err = 0;

	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		group->procs[i] = -1;
	for (int i = 0; !err && i < CGROUP_CONTROLLERS; i++) {
		*which = i;
		err = !groups->place[i].version		 ? -ENOTSUP :
		      is_used(groups, limits, i) ? add(groups, run, i, group) :
						   0;
		if (!(limits->needed & 1u << i))
			err = 0;
	}
	if (!err)
		err = cgroup_write_limits(groups, run, limits, which);
	if (err)
		cgroup_close(group);
	return err;
}

void cgroup_close(struct cgroup *group)
{
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (group->procs[i] >= 0)
			close(group->procs[i]);
		group->procs[i] = -1;
	}
}

int cgroup_enter(void *group)
{
	const int *procs = ((const struct cgroup *)group)->procs;

	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (procs[i] < 0 || write(procs[i], "0", 1) == 1)
			continue;
		dprintf(2, "lodge: its control group (%s) cannot be entered: "
			"%s\n", cgroup_name(i), strerror(errno));
		return -1;
	}
	return 0;
}

/* Processes of the run move to groups that were not made for it at first. */
static int move_all(const struct cgroups *groups, const char *run,
		    enum cgroup_controller from, enum cgroup_controller to)
{
	char path[CGROUP_PATH_MAX], line[32];
	int err = cgroup_path(groups, from, run, "cgroup.procs", path);
	FILE *file = err ? NULL : fopen(path, "re");

	err = cgroup_path(groups, to, run, "cgroup.procs", path);
	while (!err && file && fgets(line, sizeof(line), file))
		cgroup_write(path, line);
	if (file)
		fclose(file);
	return err;
}

int cgroup_set(const struct cgroups *groups, const char *run,
	       const struct cgroup_limits *limits,
	       enum cgroup_controller *which)
{
	struct cgroup group;
	int err = cgroup_make(groups, run, limits, &group, which);

	if (err)
		return err;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (group.procs[i] >= 0 &&
		    (i == CGROUP_CPUSET || i == CGROUP_IO))
			move_all(groups, run, CGROUP_CPUACCT, i);
	cgroup_close(&group);
	return 0;
}

/* --- removing ----------------------------------------------------------------------- */

/* What a machine started for all of its network, say. */
static void move_rest(const struct cgroups *groups, const char *run,
		      enum cgroup_controller controller)
{
	char path[CGROUP_PATH_MAX], line[32];
	FILE *file;

	if (make_group(groups, controller, REST) ||
	    cgroup_path(groups, controller, run, "cgroup.procs", path))
		return;
	file = fopen(path, "re");
	cgroup_path(groups, controller, REST, "cgroup.procs", path);
	while (file && fgets(line, sizeof(line), file))
		cgroup_write(path, line);
	if (file)
		fclose(file);
}

static bool remove_group(const struct cgroups *groups, const char *run,
			 enum cgroup_controller controller, bool move)
{
	char path[CGROUP_PATH_MAX];

	if (cgroup_path(groups, controller, run, NULL, path))
		return true;
	if (!rmdir(path) || errno != EBUSY)
		return true;
	if (!move || !strcmp(run, REST))
		return !strcmp(run, REST);
	move_rest(groups, run, controller);
	return !rmdir(path) || errno != EBUSY;
}

static unsigned int sweep_one(const struct cgroups *groups,
			      enum cgroup_controller controller, bool move,
			      bool (*lives)(void *ctx, const char *run),
			      void *ctx)
{
	char path[CGROUP_PATH_MAX];
	unsigned int left = 0;
	struct dirent *entry;
	DIR *folder;

	if (cgroup_path(groups, controller, NULL, NULL, path))
		return 0;
	folder = opendir(path);
	while (folder && (entry = readdir(folder)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
		    !lives(ctx, entry->d_name))
			left += !remove_group(groups, entry->d_name,
					      controller, move);
	if (folder)
		closedir(folder);
	/* Both only when nothing is in them. */
	if (!rmdir(path)) {
		*strrchr(path, '/') = '\0';
		rmdir(path);
	}
	return left;
}

unsigned int cgroups_sweep(const struct cgroups *groups, bool move,
			   bool (*lives)(void *ctx, const char *run),
			   void *ctx)
{
	unsigned int left = 0;

	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (groups->place[i].version && !cgroup_is_again(groups, i))
			left += sweep_one(groups, i, move, lives, ctx);
	return left;
}
