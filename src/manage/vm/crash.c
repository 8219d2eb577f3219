/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/crash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/json_file.h"
#include "manage/vm/ending.h"
#include "vm/host.h"

#define FOLDER	 "crashes"
#define LOG_TAIL 16384

static int open_folder(int parent, bool make)
{
	if (make && mkdirat(parent, FOLDER, 0700) && errno != EEXIST)
		return -1;
	return openat(parent, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* What a guest said may be anything: other bytes become question marks. */
static json_t *printable(char *text, size_t size)
{
	json_t *value = json_stringn(text, size);

	for (size_t i = 0; !value && i < size; i++)
		if (text[i] & 0x80 || !text[i])
			text[i] = '?';
	return value ? value : json_stringn(text, size);
}

/* The log's end, from the beginning of a line on. */
static json_t *read_log(int folder)
{
	char text[LOG_TAIL], *from = text, *line;
	int fd = openat(folder, "log", O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n = fd < 0 ? 0 :
			     pread(fd, text, sizeof(text),
				   size > LOG_TAIL ? size - LOG_TAIL : 0);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return json_string("");
	line = size > LOG_TAIL ? memchr(text, '\n', (size_t)n) : NULL;
	if (line)
		from = line + 1;
	return printable(from, (size_t)(text + n - from));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_kept(const struct dirent *entry)
{
	const char *end = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && end && !strcmp(end, ".json");
}

/* The oldest first, by their names; free both. -1: none. */
static int scan(int folder, struct dirent ***entry)
{
	return scandirat(folder, ".", entry, is_kept, by_name);
}

static void drop_oldest(int folder)
{
	struct dirent **entry;
	int count = scan(folder, &entry);

	for (int i = 0; i < count; i++) {
		if (i + CRASHES_KEPT < count)
			unlinkat(folder, entry[i]->d_name, 0);
		free(entry[i]);
	}
	if (count >= 0)
		free(entry);
}

void crash_keep(int folder, const char *run, const char *kind,
		const char *reason)
{
	char report[80], name[80];
	struct timespec now;
	json_t *crash;
	int own, err;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(report, sizeof(report), ENDING_REPORT, run);
	snprintf(name, sizeof(name), "%012lld%03ld.json",
		 (long long)now.tv_sec, now.tv_nsec / 1000000);
	crash = json_pack("{sI ss ss ss so so*}", "time",
			  (json_int_t)now.tv_sec, "run", run, "kind", kind,
			  "reason", reason, "log", read_log(folder), "report",
			  json_file_read(folder, report));
	own = open_folder(folder, true);
	err = own < 0 ? -errno : json_file_replace(crash, own, name);
	if (err)
		host_log(HOST_LOG_WARN, "a crash report cannot be kept: %s",
			 strerror(-err));
	if (own >= 0) {
		drop_oldest(own);
		close(own);
	}
	json_decref(crash);
}

json_t *crash_list(int folder)
{
	int own = open_folder(folder, false);
	json_t *list = json_array();
	struct dirent **entry;
	int count = own < 0 ? -1 : scan(own, &entry);

	for (int i = count; i-- > 0;) {
		json_t *crash = json_file_read(own, entry[i]->d_name);

		if (crash)
			json_array_append_new(list, crash);
		free(entry[i]);
	}
	if (count >= 0)
		free(entry);
	if (own >= 0)
		close(own);
	return list;
}
