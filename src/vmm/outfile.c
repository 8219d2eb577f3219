/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are written at the end of a run; see outfile.h.
 */
#include "vmm/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/linux/jail.h"

static int outfile_error(const struct outfile *file, int number,
			 struct vmm_error *error)
{
	if (number == ENOSYS && jail_entered())
		return vmm_error_set(error, "%s %s: the machine's broker, "
				     "which opens its files, has been ended",
				     file->what, file->path);
	return vmm_error_set(error, "%s %s: %s; name a file that can be written",
			     file->what, file->path, strerror(number));
}

int outfile_open(struct outfile *file, const char *what, const char *path,
		 struct vmm_error *error)
{
	/* O_NONBLOCK: does not wait for the reader of a FIFO. */
	const int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat status;

	*file = (struct outfile){ .what = what, .path = path, .fd = -1 };
	file->fd = open(path, flags | O_CREAT | O_EXCL, 0644);
	file->made = file->fd >= 0;
	if (!file->made && errno == EEXIST)
		file->fd = open(path, flags);
	if (file->fd < 0 && errno != ENXIO) {
		outfile_error(file, errno, error);
		file->path = NULL;
		return -1;
	}
	if (file->fd >= 0 &&
	    (fstat(file->fd, &status) || !S_ISREG(status.st_mode))) {
		close(file->fd);
		file->fd = -1;
	}
	return 0;
}

void outfile_close(struct outfile *file)
{
	if (!file->path)
		return;
	if (file->made)
		unlink(file->path);
	if (file->fd >= 0)
		close(file->fd);
	file->path = NULL;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int outfile_aside(char aside[PATH_MAX], const char *path)
{
	int length = snprintf(aside, PATH_MAX, "%s.new-%ld", path,
			      (long)getpid());

	return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* A new file beside `path` takes its place when it is complete. */
static int replace_file(const char *path, const char *text, size_t size)
{
	char new[PATH_MAX];
	int fd, rc = outfile_aside(new, path);

	if (rc)
		return rc;
	fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, text, size);
	if (close(fd) && !rc)
		rc = -errno;
	if (!rc && rename(new, path))
		rc = -errno;
	if (rc)
		unlink(new);
	return rc;
}

/* What is no regular file (a pipe, /dev/stdout) is written in place. */
static int write_in_place(const char *path, const char *text, size_t size)
{
	int rc, fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	rc = write_all(fd, text, size);
	if (close(fd) && !rc)
		rc = -errno;
	return rc;
}

int outfile_write(struct outfile *file, const char *text, size_t size,
		  struct vmm_error *error)
{
	struct stat status;
	int rc;

	if (!lstat(file->path, &status) && !S_ISREG(status.st_mode))
		rc = write_in_place(file->path, text, size);
	else
		rc = replace_file(file->path, text, size);
	if (rc == -ENOSYS && file->fd >= 0) {
		rc = ftruncate(file->fd, 0) ? -errno : 0;
		if (!rc)
			rc = write_all(file->fd, text, size);
	}
	if (rc)
		return outfile_error(file, -rc, error);
	file->made = false;
	return 0;
}
