/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a run, in JSON (RFC 8259).
 */
#include "vmm/report.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int report_error(const char *path, int number, struct vmm_error *error)
{
	return vmm_error_set(error,
			     "report %s: %s; name a file that can be written",
			     path, strerror(number));
}

/* A file that is not there yet: its folder must take one. */
static int check_folder(const char *path, struct vmm_error *error)
{
	char copy[PATH_MAX];

	if (strlen(path) >= sizeof(copy))
		return report_error(path, ENAMETOOLONG, error);
	strcpy(copy, path);
	if (faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS))
		return report_error(path, errno, error);
	return 0;
}

int report_check(const char *path, struct vmm_error *error)
{
	/* O_NONBLOCK: does not wait for the reader of a FIFO. */
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return check_folder(path, error);
	if (fd < 0 && errno != ENXIO)
		return report_error(path, errno, error);
	if (fd >= 0)
		close(fd);
	return 0;
}

void report_add_stats(struct engine_stats *sum,
		      const struct engine_stats *stats)
{
	sum->instructions += stats->instructions;
	sum->pio += stats->pio;
	sum->mmio += stats->mmio;
	sum->halt += stats->halt;
	sum->interrupt += stats->interrupt;
	sum->fault += stats->fault;
	sum->emulated += stats->emulated;
	sum->kick += stats->kick;
}

/* Largest resident size of this process so far (proc(5), VmHWM). */
static json_t *memory_peak(void)
{
	unsigned long long kib;
	json_t *value = NULL;
	char line[128];
	FILE *status = fopen("/proc/self/status", "re");

	while (status && !value && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmHWM: %llu", &kib) == 1)
			value = json_integer((json_int_t)(kib * 1024));
	if (status)
		fclose(status);
	return value ? value : json_null();
}

/*
 * Resident bytes of what is mapped within `ram` but is not its own file
 * (proc(5), smaps): a line of addresses and a name starts each mapping.
 */
static uint64_t resident_over(const struct host_ram *ram)
{
	unsigned long long base = (uintptr_t)ram->base, from, to, kib;
	uint64_t sum = 0;
	bool counts = false;
	char line[512];
	FILE *maps = fopen("/proc/self/smaps", "re");

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			counts = from >= base && to <= base + ram->size &&
				 !strstr(line, "/memfd:");
		else if (counts && sscanf(line, "Rss: %llu kB", &kib) == 1)
			sum += kib * 1024;
	}
	if (maps)
		fclose(maps);
	return sum;
}

uint64_t report_touched(const struct host_ram *ram)
{
	return host_ram_touched(ram) + resident_over(ram);
}

static json_t *known(uint64_t count)
{
	return count ? json_integer((json_int_t)count) : json_null();
}

static json_t *seconds(double value)
{
	return value >= 0 ? json_real(value) : json_null();
}

static json_t *exits_json(const struct engine_stats *exits)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "pio",
			 (json_int_t)exits->pio, "mmio",
			 (json_int_t)exits->mmio, "halt",
			 (json_int_t)exits->halt, "interrupt",
			 (json_int_t)exits->interrupt, "fault",
			 (json_int_t)exits->fault, "emulated",
			 (json_int_t)exits->emulated, "kick",
			 (json_int_t)exits->kick);
}

static json_t *report_json(const struct report *report)
{
	return json_pack(
		"{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:I}", "engine",
		report->engine, "engine_reason", report->engine_reason,
		"seconds_to_first_instruction",
		seconds(report->seconds_to_first_instruction), "seconds",
		seconds(report->seconds), "exit_reason", report->exit_reason,
		"exits", exits_json(&report->exits), "instructions",
		known(report->exits.instructions), "host_memory_peak_bytes",
		memory_peak(), "guest_memory_touched_bytes",
		(json_int_t)report->guest_memory_touched);
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

/* A new file beside `path` takes its place when it is complete. */
static int replace_file(const char *path, const char *text, size_t size)
{
	char new[PATH_MAX];
	int fd, rc;

	if (snprintf(new, sizeof(new), "%s.new-%ld", path, (long)getpid()) >=
	    (int)sizeof(new))
		return -ENAMETOOLONG;
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

int report_write(const struct report *report, const char *path,
		 struct vmm_error *error)
{
	json_t *json = report_json(report);
	char *text = NULL;
	struct stat status;
	size_t size;
	int rc;

	if (json)
		text = json_dumps(json, JSON_INDENT(2) |
						JSON_REAL_PRECISION(9));
	json_decref(json);
	if (!text)
		return report_error(path, ENOMEM, error);
	size = strlen(text);
	text[size++] = '\n'; /* in place of the NUL */
	if (!lstat(path, &status) && !S_ISREG(status.st_mode))
		rc = write_in_place(path, text, size);
	else
		rc = replace_file(path, text, size);
	free(text);
	return rc ? report_error(path, -rc, error) : 0;
}
