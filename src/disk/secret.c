/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE_MAX_READ (64u << 10) /* longer is no passphrase */

struct secret {
	struct disk_secret secret;
	char bytes[SIZE_MAX_READ + 1];
};

/* The descriptor that `where` means; negative errno. */
static int open_secret(const char *where)
{
	unsigned long n;
	char *end;
	int fd;

	if (strncmp(where, "fd:", 3)) {
		fd = open(where, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		return fd < 0 ? -errno : fd;
	}
	n = strtoul(where + 3, &end, 10);
	if (*end || end == where + 3 || n > 1u << 20)
		return -EINVAL;
	fd = fcntl((int)n, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static ssize_t read_all(int fd, char *to, size_t room)
{
	size_t have = 0;

	while (have < room) {
		ssize_t n = read(fd, to + have, room - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

struct disk_secret *disk_secret_read(const char *where,
				     struct disk_error *error)
{
	struct secret *s = calloc(1, sizeof(*s));
	int fd = s ? open_secret(where) : -ENOMEM;
	ssize_t size = fd < 0 ? fd : read_all(fd, s->bytes, SIZE_MAX_READ + 1);

	if (fd >= 0)
		close(fd);
	if (size > 0 && s->bytes[size - 1] == '\n')
		size--;
	if (size > 0 && size <= (ssize_t)SIZE_MAX_READ) {
		s->secret = (struct disk_secret){ s->bytes, (size_t)size, NULL };
		return &s->secret;
	}
	if (size < 0)
		disk_error_set(error, (int)size, "secret %s: %s%s", where,
			       strerror((int)-size),
			       size == -ENOENT ? "; check the path" : "");
	else
		disk_error_set(error, -EINVAL, "secret %s: %s", where,
			       size ? "is too long" : "is empty");
	disk_secret_free(s ? &s->secret : NULL);
	return NULL;
}

struct disk_secret *disk_secret_read_all(const char *const *where,
					 unsigned int count,
					 struct disk_error *error)
{
	struct disk_secret *list = NULL;

	while (count--) {
		struct disk_secret *one = disk_secret_read(where[count],
							   error);

		if (!one) {
			disk_secret_free(list);
			return NULL;
		}
		one->next = list;
		list = one;
	}
	return list;
}

void disk_secret_free(const struct disk_secret *secret)
{
	while (secret) {
		struct secret *s = (struct secret *)secret;

		secret = secret->next;
		explicit_bzero(s->bytes, sizeof(s->bytes));
		free(s);
	}
}
