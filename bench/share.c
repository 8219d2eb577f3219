/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared folders; see share.h.
 */
#define _GNU_SOURCE
#include "share.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "module.h"

#define TAG    "share0"
#define LARGE  (1u << 20)
#define PIECES 32 /* of that size, of a file */

static char *memory; /* LARGE bytes, page-aligned */

static _Noreturn void fail(const char *what)
{
	printf("bench: share: %s failed\n", what);
	abort();
}

static int make_folder(const char *folder)
{
	if (chdir(folder)) {
		module_load_all();
		mkdir(folder, 0755);
		if (mount(TAG, folder, "virtiofs", 0, NULL) || chdir(folder))
			return 0;
	}
	memory = aligned_alloc(4096, LARGE);
	if (!memory)
		fail("memory");
	memset(memory, 1, LARGE);
	mkdir("files", 0755);
	for (unsigned int i = 0; i < SHARE_FILES; i++) {
		char name[32];
		int fd;

		snprintf(name, sizeof(name), "files/%u", i);
		fd = open(name, O_WRONLY | O_CREAT, 0644);
		if (fd < 0 || write(fd, name, sizeof(name)) != sizeof(name))
			fail("making files");
		close(fd);
	}
	return 1;
}

int share_there(const char *test, const char *folder)
{
	static int ready = -1;

	if (!folder || strncmp(test, "share_", 6))
		return 0;
	if (ready < 0)
		ready = make_folder(folder);
	return ready;
}

/* Past a page cache, where that is possible. */
static int open_large(void)
{
	int fd = open("large", O_RDWR | O_CREAT | O_DIRECT, 0644);

	if (fd < 0)
		fd = open("large", O_RDWR | O_CREAT, 0644);
	if (fd < 0)
		fail("opening a file");
	return fd;
}

void share_write(uint64_t n)
{
	static int fd = -1;

	if (fd < 0)
		fd = open_large();
	for (uint64_t i = 0; i < n; i++)
		if (pwrite(fd, memory, LARGE, (off_t)(i % PIECES) * LARGE) !=
		    LARGE)
			fail("writing");
}

void share_read(uint64_t n)
{
	static int fd = -1;

	if (fd < 0) {
		share_write(PIECES);
		fd = open_large();
	}
	for (uint64_t i = 0; i < n; i++)
		if (pread(fd, memory, LARGE, (off_t)(i % PIECES) * LARGE) !=
		    LARGE)
			fail("reading");
}

static const char *name_of(uint64_t i)
{
	static char name[32];

	snprintf(name, sizeof(name), "files/%u",
		 (unsigned int)(i % SHARE_FILES));
	return name;
}

void share_stat(uint64_t n)
{
	struct stat status;

	for (uint64_t i = 0; i < n; i++)
		if (stat(name_of(i), &status))
			fail("asking for a file's status");
}

void share_open(uint64_t n)
{
	char bytes[64];

	for (uint64_t i = 0; i < n; i++) {
		int fd = open(name_of(i), O_RDONLY);

		if (fd < 0 || read(fd, bytes, sizeof(bytes)) <= 0)
			fail("reading a file");
		close(fd);
	}
}

void share_create(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		int fd = open("new", O_WRONLY | O_CREAT | O_EXCL, 0644);

		if (fd < 0 || write(fd, memory, 100) != 100)
			fail("making a file");
		close(fd);
		if (unlink("new"))
			fail("removing a file");
	}
}

void share_list(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		const struct dirent *entry;
		DIR *list = opendir("files");
		struct stat status;

		if (!list)
			fail("opening a folder");
		while ((entry = readdir(list)))
			if (fstatat(dirfd(list), entry->d_name, &status, 0))
				fail("asking for a file's status");
		closedir(list);
	}
}
