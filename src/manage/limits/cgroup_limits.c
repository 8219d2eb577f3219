/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written into a group, by version; and what is read from it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "manage/limits/cgroup.h"

#define SHARES	   100u	   /* where nothing is said */
#define V1_SHARES  1024u   /* the kernel's same */
#define V1_MAX	   262144u
#define V2_MAX	   10000u
#define PERIOD_US  100000u
#define TEXT_MAX_  160

/* The text of a setting; false: nothing is to be written. */
typedef bool format_fn(const struct cgroup_limits *limits, int version,
		       char text[TEXT_MAX_]);

static bool format_shares(const struct cgroup_limits *limits, int version,
			  char text[TEXT_MAX_])
{
	unsigned int shares = limits->cpu_shares ? limits->cpu_shares : SHARES;

	if (version == 1)
		shares = (shares * V1_SHARES + SHARES / 2) / SHARES;
	snprintf(text, TEXT_MAX_, "%u", shares);
	return true;
}

static bool format_quota(const struct cgroup_limits *limits, int version,
			 char text[TEXT_MAX_])
{
	uint64_t us = (uint64_t)limits->cpu_percent * (PERIOD_US / 100);

	if (us && version == 2)
		snprintf(text, TEXT_MAX_, "%" PRIu64 " %u", us, PERIOD_US);
	else if (us)
		snprintf(text, TEXT_MAX_, "%" PRIu64, us);
	else
		strcpy(text, version == 2 ? "max" : "-1");
	return true;
}

static bool format_set(const struct cgroup_limits *limits, int version,
		       char text[TEXT_MAX_])
{
	if (limits->cpu_set)
		snprintf(text, TEXT_MAX_, "%s", limits->cpu_set);
	else if (version == 2)
		strcpy(text, "\n");
	return limits->cpu_set || version == 2;
}

static bool format_count(uint64_t count, int version, char text[TEXT_MAX_])
{
	if (count)
		snprintf(text, TEXT_MAX_, "%" PRIu64, count);
	else
		strcpy(text, version == 2 ? "max" : "-1");
	return true;
}

static bool format_none(const struct cgroup_limits *limits, int version,
			char text[TEXT_MAX_])
{
	return format_count(0, version, text);
}

static bool format_memory(const struct cgroup_limits *limits, int version,
			  char text[TEXT_MAX_])
{
	return format_count(limits->memory, version, text);
}

static bool format_one(const struct cgroup_limits *limits, int version,
		       char text[TEXT_MAX_])
{
	strcpy(text, "1");
	return true;
}

static bool format_pids(const struct cgroup_limits *limits, int version,
			char text[TEXT_MAX_])
{
	return format_count(limits->pids, 2, text);
}

static bool format_weight(const struct cgroup_limits *limits, int version,
			  char text[TEXT_MAX_])
{
	snprintf(text, TEXT_MAX_, "%u",
		 limits->disk_shares ? limits->disk_shares : SHARES);
	return true;
}

/*
 * In this order. Version 1 counts memory and swap together and wants that
 * limit to be the larger one at any time.
 */
static const struct {
	enum cgroup_controller controller;
	const char *v1, *v2;
	format_fn *format;
	bool may_fail; /* an option of the kernel's */
} files[] = {
	{ CGROUP_CPU, "cpu.shares", "cpu.weight", format_shares, false },
	{ CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max", format_quota, false },
	{ CGROUP_CPUSET, "cpuset.cpus", "cpuset.cpus", format_set, false },
	{ CGROUP_MEMORY, "memory.memsw.limit_in_bytes", NULL, format_none,
	  true },
	{ CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max",
	  format_memory, false },
	{ CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max",
	  format_memory, true },
	{ CGROUP_MEMORY, NULL, "memory.oom.group", format_one, true },
	{ CGROUP_PIDS, "pids.max", "pids.max", format_pids, false },
	{ CGROUP_IO, "blkio.bfq.weight", "io.weight", format_weight, false },
};

/* Version 1: those of the folder, when the setting is gone. */
static void unset_cpus(const struct cgroups *groups, const char *run)
{
	char path[CGROUP_PATH_MAX], text[1024];

	if (cgroup_path(groups, CGROUP_CPUSET, NULL, "cpuset.cpus", path))
		return;
	cgroup_read(path, text, sizeof(text));
	if (!cgroup_path(groups, CGROUP_CPUSET, run, "cpuset.cpus", path))
		cgroup_write(path, text);
}

/* --- bytes and requests by device --------------------------------------------------- */

static const struct {
	const char *file;
	bool bytes;
} throttles[] = {
	{ "blkio.throttle.read_bps_device", true },
	{ "blkio.throttle.write_bps_device", true },
	{ "blkio.throttle.read_iops_device", false },
	{ "blkio.throttle.write_iops_device", false },
};

static void throttle_v1(const struct cgroups *groups, const char *run,
			const struct cgroup_limits *limits, dev_t device)
{
	char path[CGROUP_PATH_MAX], text[TEXT_MAX_];

	for (size_t i = 0; i < sizeof(throttles) / sizeof(throttles[0]); i++) {
		snprintf(text, sizeof(text), "%u:%u %" PRIu64, major(device),
			 minor(device), throttles[i].bytes ?
			 limits->disk_bps : limits->disk_iops);
		if (!cgroup_path(groups, CGROUP_IO, run, throttles[i].file,
				 path))
			cgroup_write(path, text);
	}
}

static void throttle_v2(const struct cgroups *groups, const char *run,
			const struct cgroup_limits *limits, dev_t device)
{
	char path[CGROUP_PATH_MAX], text[4 * TEXT_MAX_];
	char bps[TEXT_MAX_], iops[TEXT_MAX_];

	format_count(limits->disk_bps, 2, bps);
	format_count(limits->disk_iops, 2, iops);
	snprintf(text, sizeof(text), "%u:%u rbps=%s wbps=%s riops=%s wiops=%s",
		 major(device), minor(device), bps, bps, iops, iops);
	if (!cgroup_path(groups, CGROUP_IO, run, "io.max", path))
		cgroup_write(path, text);
}

/*
 * Helps where it can: it counts what all processes of the machine do at a
 * device. Each disk has its limit by itself.
 */
static void write_throttles(const struct cgroups *groups, const char *run,
			    const struct cgroup_limits *limits)
{
	int version = groups->place[CGROUP_IO].version;

	for (size_t i = 0; i < limits->devices; i++) {
		if (version == 1)
			throttle_v1(groups, run, limits, limits->device[i]);
		else if (version == 2)
			throttle_v2(groups, run, limits, limits->device[i]);
	}
}

/* --- all ------------------------------------------------------------------------------ */

int cgroup_write_limits(const struct cgroups *groups, const char *run,
			const struct cgroup_limits *limits,
			enum cgroup_controller *which)
{
	char path[CGROUP_PATH_MAX], text[TEXT_MAX_];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		enum cgroup_controller controller = files[i].controller;
		int version = groups->place[controller].version, err;
		const char *file = version == 1 ? files[i].v1 : files[i].v2;

		if (!version || !file ||
		    !files[i].format(limits, version, text))
			continue;
		err = cgroup_path(groups, controller, run, file, path);
		if (!err)
			err = cgroup_write(path, text);
		*which = controller;
		if (err && !files[i].may_fail &&
		    limits->needed & 1u << controller)
			return err;
	}
	if (groups->place[CGROUP_CPUSET].version == 1 && !limits->cpu_set)
		unset_cpus(groups, run);
	write_throttles(groups, run, limits);
	return 0;
}

void cgroup_set_sum(const struct cgroups *groups, unsigned int shares)
{
	const struct cgroup_place *place = &groups->place[CGROUP_CPU];
	char path[CGROUP_PATH_MAX], text[32], *end;
	uint64_t sum = shares ? shares : SHARES;

	if (!place->version || !place->outermost)
		return;
	if (place->version == 1)
		sum = sum * V1_SHARES / SHARES;
	if (sum > (place->version == 1 ? V1_MAX : V2_MAX))
		sum = place->version == 1 ? V1_MAX : V2_MAX;
	snprintf(text, sizeof(text), "%" PRIu64, sum);
	if (cgroup_path(groups, CGROUP_CPU, NULL, NULL, path))
		return;
	/* Our folder, and "lodge" that has it. */
	for (int i = 0; i < 2; i++) {
		char file[CGROUP_PATH_MAX + 16];

		snprintf(file, sizeof(file), "%s/%s", path,
			 place->version == 1 ? "cpu.shares" : "cpu.weight");
		cgroup_write(file, text);
		end = strrchr(path, '/');
		if (end)
			*end = '\0';
	}
}

/* --- figures -------------------------------------------------------------------------- */

static bool read_file(const struct cgroups *groups,
		      enum cgroup_controller controller, const char *run,
		      const char *file, char text[1024])
{
	char path[CGROUP_PATH_MAX];

	text[0] = '\0';
	if (groups->place[controller].version && file &&
	    !cgroup_path(groups, controller, run, file, path))
		cgroup_read(path, text, 1024);
	return *text;
}

/* The number behind a word at a line's begin; 0: it is not there. */
static uint64_t number_of(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (!strncmp(text, word, length) && text[length] == ' ')
			return strtoull(text + length + 1, NULL, 10);
	}
	return 0;
}

static uint64_t limit_of(const char *text)
{
	uint64_t limit = strtoull(text, NULL, 10);

	/* Version 1 says "none" by a very large number. */
	return !*text || !strncmp(text, "max", 3) || limit >> 60 ? UINT64_MAX :
								   limit;
}

bool cgroup_usage(const struct cgroups *groups, const char *run,
		  struct cgroup_usage *usage)
{
	bool v1 = groups->place[CGROUP_CPUACCT].version == 1;
	bool memory_v1 = groups->place[CGROUP_MEMORY].version == 1;
	char text[1024];

	*usage = (struct cgroup_usage){ .memory_limit = UINT64_MAX };
	if (!read_file(groups, CGROUP_CPUACCT, run,
		       v1 ? "cpuacct.usage" : "cpu.stat", text))
		return false;
	usage->cpu_ns = v1 ? strtoull(text, NULL, 10) :
			     number_of(text, "usage_usec") * 1000;
	read_file(groups, CGROUP_MEMORY, run,
		  memory_v1 ? "memory.usage_in_bytes" : "memory.current", text);
	usage->memory = strtoull(text, NULL, 10);
	read_file(groups, CGROUP_MEMORY, run,
		  memory_v1 ? "memory.limit_in_bytes" : "memory.max", text);
	usage->memory_limit = limit_of(text);
	read_file(groups, CGROUP_MEMORY, run,
		  memory_v1 ? "memory.oom_control" : "memory.events", text);
	usage->oom_kills = (unsigned int)number_of(text, "oom_kill");
	return true;
}
