/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge host: what this machine offers to guests.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/option.h"
#include "engine/engine.h"
#include "vmm/machine.h"

#define KIB_PER_GIB 1048576.0

static void row(const char *name, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void row(const char *name, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%-14s", name);
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

/*
 * The text after "key" and its colon in a file of such lines, as in /proc;
 * empty when there is none.
 */
static void read_key(const char *path, const char *key, char *value,
		     size_t size)
{
	char line[512];
	size_t length = strlen(key);
	FILE *file = fopen(path, "re");

	value[0] = '\0';
	while (file && !value[0] && fgets(line, sizeof(line), file)) {
		const char *colon = strchr(line, ':');

		if (!colon || strncmp(line, key, length) ||
		    strspn(line + length, " \t") !=
			    (size_t)(colon - line) - length)
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		snprintf(value, size, "%.*s", (int)strcspn(colon, "\n"),
			 colon);
	}
	if (file)
		fclose(file);
}

static unsigned long long meminfo(const char *key)
{
	char text[64];
	unsigned long long n = 0;

	read_key("/proc/meminfo", key, text, sizeof(text));
	return sscanf(text, "%llu", &n) == 1 ? n : 0;
}

/* The first line of a file; empty when it cannot be read. */
static void read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	line[0] = '\0';
	if (!file)
		return;
	if (!fgets(line, (int)size, file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
}

static void show_processors(void)
{
	char model[128];
	cpu_set_t set;
	int usable = 0;
	long all = sysconf(_SC_NPROCESSORS_ONLN);

	read_key("/proc/cpuinfo", "model name", model, sizeof(model));
	if (!sched_getaffinity(0, sizeof(set), &set))
		usable = CPU_COUNT(&set);
	if (usable && usable < all)
		row("processors", "%d of %ld usable, %s", usable, all, model);
	else
		row("processors", "%ld, %s", all, model);
}

static void show_memory(void)
{
	row("memory", "%.1f GiB, %.1f GiB of it available",
	    (double)meminfo("MemTotal") / KIB_PER_GIB,
	    (double)meminfo("MemAvailable") / KIB_PER_GIB);
}

/* The choice in brackets of a line such as "always [madvise] never". */
static void chosen(char *line)
{
	char *open = strchr(line, '[');
	char *close = open ? strchr(open, ']') : NULL;

	if (!close)
		return;
	*close = '\0';
	memmove(line, open + 1, (size_t)(close - open));
}

static void show_huge_pages(void)
{
	char transparent[80], shared[80];

	read_line("/sys/kernel/mm/transparent_hugepage/enabled", transparent,
		  sizeof(transparent));
	read_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", shared,
		  sizeof(shared));
	chosen(transparent);
	chosen(shared);
	row("huge pages", "transparent %s (shared memory %s); reserved %llu "
	    "of %llu kB, %llu free",
	    transparent[0] ? transparent : "unavailable",
	    shared[0] ? shared : "unavailable", meminfo("HugePages_Total"),
	    meminfo("Hugepagesize"), meminfo("HugePages_Free"));
}

static void show_io_uring(void)
{
	struct io_uring_params params = { 0 };
	long fd = syscall(SYS_io_uring_setup, 1, &params);

	if (fd >= 0) {
		close((int)fd);
		row("io_uring", "usable");
	} else if (errno == ENOSYS) {
		row("io_uring", "not usable: this kernel has none");
	} else if (errno == EPERM) {
		row("io_uring", "not usable: forbidden; see the sysctl "
				"kernel.io_uring_disabled");
	} else {
		row("io_uring", "not usable: %s", strerror(errno));
	}
}

static void show_engines(void)
{
	char why[256];
	const struct engine *chosen_engine;

	for (size_t i = 0; engines[i]; i++) {
		char name[32];
		int rc;

		why[0] = '\0';
		rc = engines[i]->probe(why, sizeof(why));
		snprintf(name, sizeof(name), "engine %s", engines[i]->name);
		row(name, "%s%s%s", rc ? "not usable" : "usable",
		    why[0] ? ": " : "", why);
	}
	chosen_engine = engine_choose("auto", why, sizeof(why));
	row("engine auto", "%s%s%s", chosen_engine ? chosen_engine->name
						   : "none",
	    why[0] ? ": " : "", why);
}

static int run_host(const struct command_context *context, int argc,
		    char **argv)
{
	int words, status = command_take(NULL, &command_host, argc, argv, NULL,
				  &words);

	if (status >= 0)
		return status;
	show_processors();
	show_memory();
	show_huge_pages();
	show_io_uring();
	show_engines();
	return MACHINE_OK;
}

const struct command command_host = {
	.name = "host",
	.summary = "tell what this machine offers: engines, memory, ...",
	.run = run_host,
	.about = "Prints what this machine offers to guests: processors, memory, huge pages,\n"
		 "io_uring, the engines and why one is not usable, and which one auto takes.",
	.examples = "lodge host",
};
