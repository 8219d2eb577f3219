/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of disk/file.h on fake disks; see files.h.
 */
#include "fake/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "disk/file.h"
#include "vm/host.h"

#define FILES 8u

struct fake_files {
	char folder[PATH_MAX];
	struct {
		char name[64];
		struct fake_disk *disk;
	} file[FILES];
	unsigned int count;
	void (*before)(struct fake_disk *disk, unsigned int kind, void *ctx);
	void *ctx;
};

static _Thread_local struct fake_files *current;

struct fake_files *fake_files_create(const char *folder)
{
	struct fake_files *files = calloc(1, sizeof(*files));

	bug_on(!files || !realpath(folder, files->folder));
	return files;
}

static void host_path(const struct fake_files *files, const char *folder,
		      unsigned int index, char path[PATH_MAX])
{
	bug_on(snprintf(path, PATH_MAX, "%s/%s", folder,
			files->file[index].name) >= PATH_MAX);
}

void fake_files_free(struct fake_files *files, bool names)
{
	char path[PATH_MAX];

	for (unsigned int i = files->count; i--;) {
		host_path(files, files->folder, i, path);
		if (names)
			unlink(path);
		fake_disk_free(files->file[i].disk);
	}
	free(files);
}

void fake_files_use(struct fake_files *files)
{
	current = files;
}

static void add(struct fake_files *files, const char *name,
		struct fake_disk *disk)
{
	unsigned int index = files->count++;

	bug_on(index >= FILES ||
	       strlen(name) >= sizeof(files->file[0].name));
	strcpy(files->file[index].name, name);
	files->file[index].disk = disk;
	disk->mutex = files->file[0].disk->mutex;
	disk->before = files->before;
	disk->ctx = files->ctx;
}

void fake_files_watch(struct fake_files *files,
		      void (*before)(struct fake_disk *disk,
				     unsigned int kind, void *ctx),
		      void *ctx)
{
	files->before = before;
	files->ctx = ctx;
	for (unsigned int i = 0; i < files->count; i++) {
		files->file[i].disk->before = before;
		files->file[i].disk->ctx = ctx;
	}
}

void fake_files_flush(struct fake_files *files)
{
	for (unsigned int i = 0; i < files->count; i++) {
		struct disk_node *leaf = fake_disk_open(files->file[i].disk);

		bug_on(disk_flush(leaf));
		disk_close(leaf);
	}
}

/* What becomes of one of several files: nothing, all, or a part. */
static uint64_t seed_of(uint64_t seed, unsigned int index)
{
	uint64_t own = (seed + index) * 0x9e3779b97f4a7c15ull;

	if (seed < 2 || !index)
		return seed;
	return own >> 61 < 2 ? own >> 61 : own | 2;
}

struct fake_files *fake_files_cut(struct fake_files *files, uint64_t seed)
{
	struct fake_files *left = fake_files_create(files->folder);

	for (unsigned int i = 0; i < files->count; i++)
		add(left, files->file[i].name,
		    fake_disk_cut(files->file[i].disk, seed_of(seed, i)));
	return left;
}

/* Zeros become holes. */
static void save(struct disk_node *leaf, int fd)
{
	static const uint8_t zeros[FAKE_DISK_ROOM];
	uint8_t bytes[FAKE_DISK_ROOM];
	uint64_t size = leaf->size;

	bug_on(ftruncate(fd, (off_t)size));
	for (uint64_t at = 0; at < size; at += sizeof(bytes)) {
		size_t part = size - at < sizeof(bytes) ? size - at
							: sizeof(bytes);

		bug_on(disk_read_bytes(leaf, at, bytes, part));
		if (memcmp(bytes, zeros, part))
			bug_on(pwrite(fd, bytes, part, (off_t)at) !=
			       (ssize_t)part);
	}
}

void fake_files_save(struct fake_files *files, const char *folder)
{
	for (unsigned int i = 0; i < files->count; i++) {
		struct disk_node *leaf = fake_disk_open(files->file[i].disk);
		char path[PATH_MAX];
		int fd;

		host_path(files, folder, i, path);
		fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
		bug_on(fd < 0);
		save(leaf, fd);
		close(fd);
		disk_close(leaf);
	}
}

/* --- disk/file.h ------------------------------------------------------------- */

/* The index of a path's file; -1: there is none. */
static int find(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (unsigned int i = 0; i < current->count; i++)
		if (!strcmp(current->file[i].name, name))
			return (int)i;
	return -1;
}

int disk_file_open(struct disk_node **node, const struct disk_open *how,
		   struct disk_error *error)
{
	int index = find(how->path);

	if (index < 0)
		return disk_error_set(error, -ENOENT, "no such file");
	*node = fake_disk_open_as(current->file[index].disk, how);
	(*node)->grows = false;
	return 0;
}

int disk_memory_open(struct disk_node **node, struct disk_error *error)
{
	*node = fake_disk_open_new();
	return 0;
}

int disk_file_make(struct disk_node **node, const char *path,
		   struct disk_error *error)
{
	const struct disk_open how = { .path = path };
	const char *slash = strrchr(path, '/');
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0)
		return disk_error_set(error, -errno, "%s: %s", path,
				      strerror(errno));
	close(fd);
	if (find(path) < 0) /* else one that was removed on the host */
		add(current, slash ? slash + 1 : path, fake_disk_create());
	else
		fake_disk_replace(current->file[find(path)].disk, NULL, 0);
	*node = fake_disk_open_as(current->file[find(path)].disk, &how);
	return 0;
}

int disk_file_keep(struct disk_node *node, struct disk_error *error)
{
	return 0;
}

int disk_file_replace(struct disk_node *node, const void *bytes, size_t size)
{
	int index = find(node->name);

	bug_on(index < 0);
	fake_disk_replace(current->file[index].disk, bytes, size);
	node->size = size;
	return 0;
}
