/* SPDX-License-Identifier: Apache-2.0 */
#include "image/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16 /* folders in folders that are looked into */

/* PREFIX and sixteen digits that nobody else has. */
static int name_aside(char name[32], const char *prefix)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	snprintf(name, 32, "%s%016llx", prefix, (unsigned long long)number);
	return 0;
}

int folder_draft(int parent, char name[32])
{
	int err = name_aside(name, FOLDER_DRAFT), folder;

	if (err)
		return err;
	if (mkdirat(parent, name, 0700))
		return -errno;
	folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || flock(folder, LOCK_EX | LOCK_NB)) {
		err = -errno;
		if (folder >= 0)
			close(folder);
		unlinkat(parent, name, AT_REMOVEDIR);
		return err;
	}
	return folder;
}

/* The entries of an open folder, whose descriptor stays as it is. */
static DIR *entries(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

static bool is_self(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static int sync_file(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

int folder_sync(int folder)
{
	DIR *dir = entries(folder);
	struct dirent *entry;
	int err = dir ? 0 : -errno;

	while (!err && (entry = readdir(dir)))
		if (!is_self(entry->d_name))
			err = sync_file(folder, entry->d_name);
	if (dir)
		closedir(dir);
	return err ? err : fsync(folder) ? -errno : 0;
}

static int remove_tree(int parent, const char *name, unsigned int depth)
{
	int folder = openat(parent, name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	if (folder < 0)
		return -errno;
	dir = fdopendir(folder);
	if (!dir) {
		close(folder);
		return -ENOMEM;
	}
	while (!err && (entry = readdir(dir))) {
		if (is_self(entry->d_name))
			continue;
		if (!unlinkat(folder, entry->d_name, 0))
			continue;
		err = -errno;
		if ((err == -EISDIR || err == -EPERM) && depth)
			err = remove_tree(folder, entry->d_name, depth - 1);
	}
	closedir(dir);
	return err ? err : unlinkat(parent, name, AT_REMOVEDIR) ? -errno : 0;
}

int folder_remove(int parent, const char *name)
{
	char aside[32];
	int err;

	if (!strncmp(name, FOLDER_GONE, strlen(FOLDER_GONE)))
		return remove_tree(parent, name, DEPTH_MAX);
	err = name_aside(aside, FOLDER_GONE);
	if (err)
		return err;
	if (renameat(parent, name, parent, aside))
		return -errno;
	return remove_tree(parent, aside, DEPTH_MAX);
}

/* Whether the folder's maker is gone. */
static bool is_left(int parent, const char *name)
{
	bool left;
	int fd;

	if (strncmp(name, FOLDER_DRAFT, strlen(FOLDER_DRAFT)) &&
	    strncmp(name, FOLDER_GONE, strlen(FOLDER_GONE)))
		return false;
	fd = openat(parent, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	left = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB);
	if (fd >= 0)
		close(fd);
	return left;
}

unsigned int folder_prune(int parent, uint64_t *bytes)
{
	DIR *dir = entries(parent);
	unsigned int count = 0;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		uint64_t size;

		if (!is_left(parent, entry->d_name))
			continue;
		size = folder_allocated(parent, entry->d_name);
		if (folder_remove(parent, entry->d_name))
			continue;
		*bytes += size;
		count++;
	}
	if (dir)
		closedir(dir);
	return count;
}

uint64_t folder_allocated(int parent, const char *name)
{
	int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = folder < 0 ? NULL : fdopendir(folder);
	struct dirent *entry;
	struct stat status;
	uint64_t bytes = 0;

	while (dir && (entry = readdir(dir)))
		if (!fstatat(folder, entry->d_name, &status,
			     AT_SYMLINK_NOFOLLOW) && S_ISREG(status.st_mode))
			bytes += (uint64_t)status.st_blocks * 512;
	if (dir)
		closedir(dir);
	else if (folder >= 0)
		close(folder);
	return bytes;
}
