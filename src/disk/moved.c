/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/moved.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "host/linux/json_file.h"
#include "vm/host.h"

#define NAMED_MAX (1u << 20)
#define FILE_MAX  64 /* a file's name */
#define ANY	  "-"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

void moved_note(const char *file, const char *path, const char *format)
{
	char named[PATH_MAX];
	int fd;

	if (*path != '/' || strchr(path, '\n') ||
	    snprintf(named, sizeof(named), "%s" MOVED_NAMED, file) >=
		    (int)sizeof(named))
		return;
	fd = open(named, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (!format || !*format || strpbrk(format, " \n"))
		format = ANY;
	if (dprintf(fd, "%s %s\n", format, path) > 0)
		fdatasync(fd);
	close(fd);
}

/* Its lines, each with a line's end before it; to be freed. NULL: none. */
static char *read_named(int folder, const char *file)
{
	char name[FILE_MAX], *text;
	ssize_t n = -1;
	int fd;

	snprintf(name, sizeof(name), "%s" MOVED_NAMED, file);
	fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	text = fd < 0 ? NULL : malloc(NAMED_MAX + 2);
	if (text)
		n = read(fd, text + 1, NAMED_MAX);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[0] = '\n';
	text[n + 1] = '\0';
	return text;
}

/* `format` with its space behind it, or nothing. */
static bool has_line(const char *named, const char *format, const char *path)
{
	char line[PATH_MAX + 64];

	return snprintf(line, sizeof(line), "\n%s%s\n", format, path) <
		       (int)sizeof(line) &&
	       strstr(named, line);
}

static bool is_named(const char *named, const char *path, const char *format)
{
	const struct disk_driver *driver = disk_driver_by_path(path);
	char word[64];

	if (!named || *path != '/' || strchr(path, '\n') ||
	    snprintf(word, sizeof(word), "%s ", format) >= (int)sizeof(word))
		return false;
	return has_line(named, word, path) ||
	       (!strcmp(format, driver ? driver->name : disk_raw.name) &&
		has_line(named, ANY " ", path)) ||
	       has_line(named, "", path); /* of brokers that knew no format */
}

/* By that name, or by the one that it really has. */
static bool is_believed(const char *named, const json_t *entry)
{
	const char *path = text_of(entry, "path");
	const char *format = text_of(entry, "format");
	char real[PATH_MAX];

	return is_named(named, path, format) ||
	       (*path == '/' && realpath(path, real) &&
		is_named(named, real, format));
}

json_t *moved_read(int folder, const char *file, const char *name)
{
	json_t *list, *believed, *entry;
	char *named;
	size_t i;

	if (faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW))
		return NULL;
	list = json_file_read(folder, file);
	believed = json_array();
	named = read_named(folder, file);
	json_array_foreach(list, i, entry) {
		if (is_believed(named, entry))
			json_array_append(believed, entry);
		else
			host_log(HOST_LOG_WARN, "machine %s: its process says "
				 "that a disk is %.200s now, which nobody "
				 "asked for", name, text_of(entry, "path"));
	}
	free(named);
	json_decref(list);
	return believed;
}

void moved_forget(int folder, const char *file)
{
	char name[FILE_MAX];

	unlinkat(folder, file, 0);
	snprintf(name, sizeof(name), "%s" MOVED_NAMED, file);
	unlinkat(folder, name, 0);
}
