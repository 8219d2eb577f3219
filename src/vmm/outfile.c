/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are written at the end of a run; see outfile.h.
 */
#include "vmm/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/linux/jail.h"

static int outfile_error(const char *what, const char *path, int number,
			 struct vmm_error *error)
{
	if (number == ENOSYS && jail_entered())
		return vmm_error_set(error, "%s %s: the machine's broker, "
				     "which opens its files, has been ended",
				     what, path);
	return vmm_error_set(error, "%s %s: %s; name a file that can be written",
			     what, path, strerror(number));
}

/* A file that is not there yet: its folder must take one. */
static int check_folder(const char *what, const char *path,
			struct vmm_error *error)
{
	char copy[PATH_MAX];

	if (strlen(path) >= sizeof(copy))
		return outfile_error(what, path, ENAMETOOLONG, error);
	strcpy(copy, path);
	if (faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS))
		return outfile_error(what, path, errno, error);
	return 0;
}

int outfile_check(const char *what, const char *path,
		  struct vmm_error *error)
{
	/* O_NONBLOCK: does not wait for the reader of a FIFO. */
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return check_folder(what, path, error);
	if (fd < 0 && errno != ENXIO)
		return outfile_error(what, path, errno, error);
	if (fd >= 0)
		close(fd);
	return 0;
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

int outfile_write(const char *what, const char *path, const char *text,
		  size_t size, struct vmm_error *error)
{
	struct stat status;
	int rc;

	if (!lstat(path, &status) && !S_ISREG(status.st_mode))
		rc = write_in_place(path, text, size);
	else
		rc = replace_file(path, text, size);
	return rc ? outfile_error(what, path, -rc, error) : 0;
}
