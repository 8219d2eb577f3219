/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge host: what this machine offers to guests.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "engine/engine.h"
#include "host/linux/confine.h"
#include "host/linux/jail.h"
#include "vmm/machine.h"

#define GIB 1073741824.0

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static long long number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
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

static json_t *processors(void)
{
	char model[128];
	cpu_set_t set;
	long all = sysconf(_SC_NPROCESSORS_ONLN), usable = all;

	read_key("/proc/cpuinfo", "model name", model, sizeof(model));
	if (!sched_getaffinity(0, sizeof(set), &set))
		usable = CPU_COUNT(&set);
	return json_pack("{sI sI ss}", "online", (json_int_t)all, "usable",
			 (json_int_t)usable, "model", model);
}

static json_t *memory(void)
{
	return json_pack("{sI sI}", "total",
			 (json_int_t)meminfo("MemTotal") * 1024, "available",
			 (json_int_t)meminfo("MemAvailable") * 1024);
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

static json_t *huge_pages(void)
{
	char transparent[80], shared[80];

	read_line("/sys/kernel/mm/transparent_hugepage/enabled", transparent,
		  sizeof(transparent));
	read_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", shared,
		  sizeof(shared));
	chosen(transparent);
	chosen(shared);
	return json_pack("{ss ss sI sI sI}", "transparent",
			 transparent[0] ? transparent : "unavailable",
			 "transparent_shared",
			 shared[0] ? shared : "unavailable", "reserved",
			 (json_int_t)meminfo("HugePages_Total"), "free",
			 (json_int_t)meminfo("HugePages_Free"), "size",
			 (json_int_t)meminfo("Hugepagesize") * 1024);
}

/* Whether it can be used, and why not. */
static json_t *io_uring(void)
{
	struct io_uring_params params = { 0 };
	long fd = syscall(SYS_io_uring_setup, 1, &params);
	const char *why = "";

	if (fd >= 0)
		close((int)fd);
	else if (errno == ENOSYS)
		why = "this kernel has none";
	else if (errno == EPERM)
		why = "forbidden; see the sysctl kernel.io_uring_disabled";
	else
		why = strerror(errno);
	return json_pack("{sb ss}", "usable", fd >= 0, "why", why);
}

static json_t *sandbox(void)
{
	const int spaces = jail_probe();

	return json_pack("{si sb ss}", "landlock", confine_landlock(),
			 "namespaces", !spaces, "why",
			 spaces ? strerror(-spaces) : "");
}

static json_t *all_engines(void)
{
	json_t *list = json_array();

	for (size_t i = 0; engines[i]; i++) {
		char why[256] = "";
		int rc = engines[i]->probe(why, sizeof(why));

		json_array_append_new(list, json_pack(
			"{ss sb ss}", "name", engines[i]->name, "usable", !rc,
			"why", why));
	}
	return list;
}

static json_t *automatic(void)
{
	char why[256] = "";
	const struct engine *engine = engine_choose("auto", why, sizeof(why));

	return json_pack("{ss* ss}", "name", engine ? engine->name : NULL,
			 "why", why);
}

/* "usable", or why not. */
static void print_use(const char *title, const json_t *thing)
{
	const char *why = text_of(thing, "why");

	printf("%-14s%susable%s%s\n", title,
	       json_is_true(json_object_get(thing, "usable")) ? "" : "not ",
	       *why ? ": " : "", why);
}

static void print_engines(const json_t *host)
{
	const json_t *choice = json_object_get(host, "auto"), *engine;
	const char *name = text_of(choice, "name");
	const char *why = text_of(choice, "why");
	char title[32];
	size_t i;

	json_array_foreach(json_object_get(host, "engines"), i, engine) {
		snprintf(title, sizeof(title), "engine %.20s",
			 text_of(engine, "name"));
		print_use(title, engine);
	}
	printf("%-14s%s%s%s\n", "engine auto", *name ? name : "none",
	       *why ? ": " : "", why);
}

static void print_sandbox(const json_t *sandbox)
{
	const char *why = text_of(sandbox, "why");

	printf("%-14ssystem calls, ", "sandbox");
	if (number_of(sandbox, "landlock"))
		printf("Landlock %lld", number_of(sandbox, "landlock"));
	else
		printf("no Landlock");
	printf("%s%s\n", *why ? "; no namespaces: " : ", namespaces", why);
}

static void print_host(const json_t *host)
{
	const json_t *cpus = json_object_get(host, "processors");
	const json_t *ram = json_object_get(host, "memory");
	const json_t *huge = json_object_get(host, "huge_pages");

	printf("%-14s", "processors");
	if (number_of(cpus, "usable") < number_of(cpus, "online"))
		printf("%lld of %lld usable", number_of(cpus, "usable"),
		       number_of(cpus, "online"));
	else
		printf("%lld", number_of(cpus, "online"));
	printf(", %s\n%-14s%.1f GiB, %.1f GiB of it available\n",
	       text_of(cpus, "model"), "memory",
	       (double)number_of(ram, "total") / GIB,
	       (double)number_of(ram, "available") / GIB);
	printf("%-14stransparent %s (shared memory %s); reserved %lld of %lld "
	       "kB, %lld free\n", "huge pages", text_of(huge, "transparent"),
	       text_of(huge, "transparent_shared"),
	       number_of(huge, "reserved"), number_of(huge, "size") / 1024,
	       number_of(huge, "free"));
	print_use("io_uring", json_object_get(host, "io_uring"));
	print_sandbox(json_object_get(host, "sandbox"));
	print_engines(host);
}

static int run_host(const struct command_context *context, int argc,
		    char **argv)
{
	struct target target;
	json_t *host;
	int status;

	if (target_take(&target, &command_host, argc, argv, &status))
		return status;
	host = json_pack("{so so so so so so so}", "processors", processors(),
			 "memory", memory(), "huge_pages", huge_pages(),
			 "io_uring", io_uring(), "sandbox", sandbox(),
			 "engines", all_engines(),
			 "auto", automatic());
	if (!host) {
		cli_error("host: what it tells is not UTF-8");
		return MACHINE_FAILED;
	}
	if (target.json)
		target_print_json(host);
	else
		print_host(host);
	json_decref(host);
	return MACHINE_OK;
}

const struct command command_host = {
	.name = "host",
	.summary = "tell what this machine offers: engines, memory, ...",
	.run = run_host,
	.about = "Prints what this machine offers to guests: processors, memory, huge pages,\n"
		 "io_uring, the engines and why one is not usable, and which one auto takes.",
	.synopsis = "[--json]",
	.examples = "lodge host\n"
		    "lodge host --json",
	.options = target_json_option,
	.option_count = 1,
};
