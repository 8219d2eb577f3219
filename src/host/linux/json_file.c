/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/json_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define JSON_SIZE_MAX (1 << 20)

int json_file_write(const json_t *json, int folder, const char *name)
{
	int fd = openat(folder, name,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (json_dumpfd(json, fd, JSON_INDENT(2)) ||
	    write(fd, "\n", 1) != 1 || fsync(fd))
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}

json_t *json_file_read(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	size_t size = 0;
	json_t *json;
	FILE *file;

	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	text = malloc(JSON_SIZE_MAX);
	if (text)
		size = fread(text, 1, JSON_SIZE_MAX, file);
	fclose(file);
	json = text ? json_loadb(text, size, 0, NULL) : NULL;
	free(text);
	return json;
}

int json_file_replace(const json_t *json, int folder, const char *name)
{
	char aside[256];
	int err;

	snprintf(aside, sizeof(aside), ".%.240s.new", name);
	err = json_file_write(json, folder, aside);
	if (!err && (renameat(folder, aside, folder, name) || fsync(folder)))
		err = -errno;
	if (err)
		unlinkat(folder, aside, 0);
	return err;
}
