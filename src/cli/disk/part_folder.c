/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See part_folder.h. Files get a second name by a link and lose the first one
 * later: so what a kill leaves tells which files beside the folder are its.
 */
#include "cli/disk/part_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int (*visit_fn)(const struct part_folder *part, const char *name,
			const char *beside);

/* Calls for each file of the folder but the image, with its path in it and
 * the one beside it; stops at an error. */
static int each_file(const struct part_folder *part, visit_fn visit)
{
	const char *slash = strrchr(part->path, '/');
	const char *image = strrchr(part->image, '/') + 1;
	int length = slash ? (int)(slash - part->path) + 1 : 0, error = 0;
	DIR *dir = opendir(part->path);
	struct dirent *entry;

	if (!dir)
		return -errno;
	while (!error && (entry = readdir(dir))) {
		char inside[2 * PATH_MAX], beside[2 * PATH_MAX];

		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, image))
			continue;
		snprintf(inside, sizeof(inside), "%s/%s", part->path,
			 entry->d_name);
		snprintf(beside, sizeof(beside), "%.*s%s", length, part->path,
			 entry->d_name);
		error = visit(part, inside, beside);
	}
	closedir(dir);
	return error;
}

/* The target's own path is the folder's without ".part". */
static void target_of(const struct part_folder *part, char target[PATH_MAX])
{
	snprintf(target, PATH_MAX, "%.*s",
		 (int)(strlen(part->path) - strlen(".part")), part->path);
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !lstat(a, &x) && !lstat(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

static int take_back(const struct part_folder *part, const char *name,
		     const char *beside)
{
	if (same_file(name, beside))
		unlink(beside);
	return 0;
}

static int forget(const struct part_folder *part, const char *name,
		  const char *beside)
{
	return unlink(name) ? -errno : 0;
}

void part_folder_remove(struct part_folder *part)
{
	if (part->fd < 0)
		return;
	each_file(part, forget);
	unlink(part->image);
	rmdir(part->path);
	close(part->fd);
	part->fd = -1;
}

static int set_paths(struct part_folder *part, const char *target)
{
	const char *slash = strrchr(target, '/');
	const char *name = slash ? slash + 1 : target;

	if (snprintf(part->path, PATH_MAX, "%s.part", target) >= PATH_MAX ||
	    snprintf(part->image, PATH_MAX, "%s.part/%s", target, name) >=
		    PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

int part_folder_make(struct part_folder *part, const char *target)
{
	int error = set_paths(part, target);
	struct stat status;

	part->fd = -1;
	if (error)
		return error;
	if (mkdir(part->path, 0755) && errno != EEXIST)
		return -errno;
	part->fd = open(part->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (part->fd < 0)
		return -errno;
	if (flock(part->fd, LOCK_EX | LOCK_NB)) {
		close(part->fd);
		part->fd = -1;
		return -EBUSY;
	}
	/* The image gets its name last: without it nothing else has one. */
	if (lstat(target, &status))
		each_file(part, take_back);
	error = each_file(part, forget);
	unlink(part->image);
	return error;
}

void part_folder_clear(const char *target)
{
	struct part_folder part;
	struct stat status;

	if (set_paths(&part, target) || lstat(part.path, &status) ||
	    !S_ISDIR(status.st_mode))
		return;
	if (!part_folder_make(&part, target))
		part_folder_remove(&part);
}

/* A second name, or where there are no links the only one. */
static int give_name(const struct part_folder *part, const char *name,
		     const char *beside)
{
	if (!link(name, beside))
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	return renameat2(AT_FDCWD, name, AT_FDCWD, beside, RENAME_NOREPLACE)
		       ? -errno
		       : 0;
}

static int is_free(const struct part_folder *part, const char *name,
		   const char *beside)
{
	struct stat status;

	return lstat(beside, &status) ? 0 : -EEXIST;
}

int part_folder_keep(struct part_folder *part)
{
	char target[PATH_MAX];
	int error = each_file(part, is_free);

	target_of(part, target);
	if (!error)
		error = is_free(part, part->image, target);
	if (!error) {
		error = each_file(part, give_name);
		if (!error)
			error = give_name(part, part->image, target);
		if (error)
			each_file(part, take_back);
	}
	if (!error)
		part_folder_remove(part);
	return error;
}
