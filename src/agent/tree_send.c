/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a tree; see tree.h. Folders are walked by open descriptors, so that a
 * path that changes meanwhile leads nowhere else.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/tree.h"

void tree_put_entry(uint8_t *at, const struct tree_entry *entry)
{
	frame_put32(at, entry->mode);
	frame_put64(at + 4, entry->size);
	frame_put64(at + 12, (uint64_t)entry->seconds);
	frame_put32(at + 20, entry->nanoseconds);
}

static int send_entry(struct tree_sender *sender, uint8_t type,
		      const struct stat *status, const char *name,
		      const char *target)
{
	const struct tree_entry entry = {
		.mode = (uint32_t)status->st_mode & 07777,
		.size = (uint64_t)status->st_size,
		.seconds = status->st_mtim.tv_sec,
		.nanoseconds = (uint32_t)status->st_mtim.tv_nsec,
	};
	uint8_t data[TREE_ENTRY + AGENT_NAME_MAX + 1 + PATH_MAX];
	size_t length = strnlen(name, AGENT_NAME_MAX);
	size_t size = TREE_ENTRY + length;

	tree_put_entry(data, &entry);
	memcpy(data + TREE_ENTRY, name, length);
	if (target) {
		data[size++] = '\0';
		length = strnlen(target, PATH_MAX);
		memcpy(data + size, target, length);
		size += length;
	}
	return frame_send(sender->fd, type, data, (uint32_t)size);
}

static int skip(struct tree_sender *sender, const char *name, const char *why)
{
	char text[AGENT_TEXT_MAX];
	int size = snprintf(text, sizeof(text), "%s: %s", name, why);

	if (size >= (int)sizeof(text))
		size = sizeof(text) - 1;
	sender->skipped++;
	if (sender->tell_skipped) {
		sender->tell_skipped((const uint8_t *)text, (uint32_t)size);
		return 0;
	}
	return frame_send(sender->fd, AGENT_TREE_SKIPPED, text,
			  (uint32_t)size);
}

static int send_data(struct tree_sender *sender, int file)
{
	uint8_t *data = malloc(AGENT_DATA_MAX);
	ssize_t n = 1;
	int rc = data ? 0 : -ENOMEM;

	while (!rc && n > 0) {
		n = read(file, data, AGENT_DATA_MAX);
		if (n > 0)
			rc = frame_send(sender->fd, AGENT_TREE_DATA, data,
					(uint32_t)n);
		if (!rc && sender->stops && sender->stops(sender->ctx))
			rc = -ECANCELED;
	}
	free(data);
	if (!rc && n < 0)
		rc = skip(sender, "the rest of a file", strerror(errno));
	return rc;
}

static int send_file(struct tree_sender *sender, int file,
		     const struct stat *status, const char *name)
{
	int rc = send_entry(sender, AGENT_TREE_FILE, status, name, NULL);

	return rc ? rc : send_data(sender, file);
}

static int send_link(struct tree_sender *sender, int folder,
		     const struct stat *status, const char *name)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(folder, name, target, PATH_MAX);

	if (n < 0)
		return skip(sender, name, strerror(errno));
	target[n] = '\0';
	return send_entry(sender, AGENT_TREE_LINK, status, name, target);
}

static int send_opened(struct tree_sender *sender, int fd, const char *name,
		       unsigned int depth);

/* A thing in a folder: what it is when it is opened counts. */
static int send_named(struct tree_sender *sender, int folder,
		      const char *name, unsigned int depth)
{
	struct stat status;
	int fd, rc;

	if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW))
		return skip(sender, name, strerror(errno));
	if (S_ISLNK(status.st_mode))
		return send_link(sender, folder, &status, name);
	if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
		return skip(sender, name, "neither file, folder nor link");
	fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
		    O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return skip(sender, name, strerror(errno));
	rc = send_opened(sender, fd, name, depth);
	close(fd);
	return rc;
}

static int send_content(struct tree_sender *sender, int fd, unsigned int depth)
{
	DIR *list = fdopendir(dup(fd));
	const struct dirent *entry;
	int rc = 0;

	if (!list)
		return skip(sender, "a folder", strerror(errno));
	while (!rc && (entry = readdir(list)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			rc = send_named(sender, fd, entry->d_name, depth);
	closedir(list);
	return rc;
}

static int send_opened(struct tree_sender *sender, int fd, const char *name,
		       unsigned int depth)
{
	struct stat status;
	int rc;

	if (fstat(fd, &status))
		return skip(sender, name, strerror(errno));
	if (S_ISREG(status.st_mode))
		return send_file(sender, fd, &status, name);
	if (!S_ISDIR(status.st_mode))
		return skip(sender, name, "neither file nor folder");
	if (depth + 2 >= AGENT_DEPTH_MAX)
		return skip(sender, name, "too deep");
	rc = send_entry(sender, AGENT_TREE_FOLDER, &status, name, NULL);
	if (!rc)
		rc = send_content(sender, fd, depth + 1);
	return rc ? rc : frame_send(sender->fd, AGENT_TREE_UP, NULL, 0);
}

static int refuse(struct tree_sender *sender, const char *path, int error)
{
	snprintf(sender->error, sizeof(sender->error), "%.300s: %s", path,
		 error == EISDIR ? "is a folder; give -r" : strerror(error));
	return error;
}

void tree_last_part(char name[AGENT_NAME_MAX + 1], const char *path)
{
	size_t end = strlen(path), start;

	while (end && path[end - 1] == '/')
		end--;
	for (start = end; start && path[start - 1] != '/';)
		start--;
	snprintf(name, AGENT_NAME_MAX + 1, "%.*s", (int)(end - start),
		 path + start);
	if (!name[0] || !strcmp(name, ".."))
		strcpy(name, ".");
}

int tree_send(struct tree_sender *sender, const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char name[AGENT_NAME_MAX + 1];
	struct stat status;
	int rc;

	if (fd < 0 || fstat(fd, &status))
		rc = refuse(sender, path, errno);
	else if (S_ISDIR(status.st_mode) && !sender->folders)
		rc = refuse(sender, path, EISDIR);
	else if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
		rc = refuse(sender, path, EINVAL);
	else
		rc = -1;
	if (rc < 0) {
		tree_last_part(name, path);
		rc = send_opened(sender, fd, name, 0);
		if (!rc)
			rc = frame_send(sender->fd, AGENT_TREE_END, NULL, 0);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

int tree_send_stream(struct tree_sender *sender, int file, const char *name)
{
	const struct stat status = { .st_mode = 0644 };
	struct stat now = status;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now.st_mtim);
	rc = send_file(sender, file, &now, name);
	return rc ? rc : frame_send(sender->fd, AGENT_TREE_END, NULL, 0);
}
