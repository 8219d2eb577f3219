/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/process_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S  1000000000ull
#define PATH_SIZE 64
#define DEPTH	  4 /* of children's children */

/* Its text, "" when it cannot be read; true: there is some. */
static bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static uint64_t number_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static bool add_cpu(pid_t pid, struct process_use *use)
{
	const uint64_t tick = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
	unsigned long long time[4];
	char path[PATH_SIZE], text[1024], *rest;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	/* Behind the name, which may have anything in it. */
	rest = read_file(path, text, sizeof(text)) ? strrchr(text, ')') : NULL;
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
			    "%*u %llu %llu %llu %llu", &time[0], &time[1],
			    &time[2], &time[3]) != 4)
		return false;
	for (int i = 0; i < 4; i++)
		use->cpu_ns += time[i] * tick;
	return true;
}

static void add_memory(pid_t pid, bool first, struct process_use *use)
{
	unsigned long long resident, shared;
	char path[PATH_SIZE], text[256];

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (!read_file(path, text, sizeof(text)) ||
	    sscanf(text, "%*u %llu %llu", &resident, &shared) != 2)
		return;
	if (!first)
		resident -= shared < resident ? shared : resident;
	use->memory += resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_io(pid_t pid, struct process_use *use)
{
	char path[PATH_SIZE], text[512];

	snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
	if (!read_file(path, text, sizeof(text)))
		return;
	use->has_io = true;
	use->read += number_after(text, "\nread_bytes: ");
	use->written += number_after(text, "\nwrite_bytes: ");
}

static void add(pid_t pid, unsigned int depth, struct process_use *use);

/* The children of one of its threads. */
static void add_children(pid_t pid, const char *thread, unsigned int depth,
			 struct process_use *use)
{
	char path[PATH_SIZE + 32], text[4096], *at, *end;
	long child;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", (int)pid,
		 thread);
	read_file(path, text, sizeof(text));
	for (at = text; (child = strtol(at, &end, 10)) > 0; at = end)
		add((pid_t)child, depth + 1, use);
}

static void add(pid_t pid, unsigned int depth, struct process_use *use)
{
	const struct dirent *entry;
	char path[PATH_SIZE];
	DIR *threads;

	if (!add_cpu(pid, use))
		return;
	use->processes++;
	add_memory(pid, depth == 0, use);
	add_io(pid, use);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = depth < DEPTH ? opendir(path) : NULL;
	while (threads && (entry = readdir(threads)))
		if (*entry->d_name != '.')
			add_children(pid, entry->d_name, depth, use);
	if (threads)
		closedir(threads);
}

void process_use(pid_t pid, struct process_use *use)
{
	*use = (struct process_use){ 0 };
	add(pid, 0, use);
}
