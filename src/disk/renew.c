/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/renew.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/lock.h"

/* The new file, which is as the old one to others. */
static int make(const char *path, int old)
{
	struct stat status;
	int fd, error;

	if (fstat(old, &status))
		return -errno;
	unlink(path);
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (!fchown(fd, status.st_uid, status.st_gid) &&
	    !fchmod(fd, status.st_mode & 07777))
		return fd;
	error = -errno;
	close(fd);
	unlink(path);
	return error;
}

static int fill(int fd, const char *bytes, size_t size)
{
	struct disk_error why;

	while (size) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return fsync(fd) ? -errno : disk_lock(fd, false, &why);
}

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return error;
}

int disk_renew(const char *path, int old, const void *bytes, size_t size)
{
	char real[PATH_MAX], folder[PATH_MAX], beside[PATH_MAX + 16];
	const char *name;
	int fd, error;

	if (!realpath(path, real))
		return -errno;
	name = strrchr(real, '/') + 1;
	snprintf(folder, sizeof(folder), "%.*s", (int)(name - real), real);
	snprintf(beside, sizeof(beside), "%s.%s.lodge", folder, name);
	fd = make(beside, old);
	if (fd < 0)
		return fd;
	error = fill(fd, bytes, size);
	if (!error && rename(beside, real))
		error = -errno;
	if (error)
		unlink(beside);
	else
		error = sync_folder(folder);
	if (!error)
		return fd;
	close(fd);
	return error;
}
