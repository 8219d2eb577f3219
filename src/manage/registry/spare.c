/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/registry/spare.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define SPARE (256 << 10) /* some transactions, each of a few pages of 4 KiB */

static void name_file(char path[PATH_MAX], const char *registry)
{
	snprintf(path, PATH_MAX, "%s-spare", registry);
}

void spare_keep(const char *registry)
{
	char path[PATH_MAX];
	int fd;

	name_file(path, registry);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (posix_fallocate(fd, 0, SPARE))
		unlink(path);
	close(fd);
}

bool spare_give(const char *registry)
{
	char path[PATH_MAX];

	name_file(path, registry);
	return !unlink(path);
}
