/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of version 2, on a kernel of its own: a guest's, where they
 * are mounted at /sys/fs/cgroup and nobody else uses them. Linked with the
 * daemon's own code. What is not as it should be is told with its line.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manage/limits/cgroup.h"

#define MIB	((size_t)1 << 20)
#define TRIES	20
#define ENOUGH	2000000000u /* ns, of both together */

#define OK(condition)                                                   \
	do {                                                            \
		if (!(condition)) {                                     \
			printf("line %d: %s: %s\n", __LINE__,           \
			       #condition, strerror(errno));            \
			return 1;                                       \
		}                                                       \
	} while (0)

static struct cgroups groups;

static bool none(void *ctx, const char *run)
{
	return false;
}

static const char *text_of(const char *run, const char *file)
{
	static char text[256];
	char path[CGROUP_PATH_MAX];

	cgroup_path(&groups, CGROUP_CPU, run, file, path);
	cgroup_read(path, text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* A process in a new group of these limits; its number, or -1. */
static pid_t start(const char *run, const struct cgroup_limits *limits,
		   void (*work)(void))
{
	enum cgroup_controller which;
	struct cgroup group;
	pid_t child;

	errno = -cgroup_make(&groups, run, limits, &group, &which);
	if (errno)
		return -1;
	child = fork();
	if (!child) {
		if (!cgroup_enter(&group))
			work();
		_exit(3);
	}
	cgroup_close(&group);
	return child;
}

static void burn(void)
{
	for (;;)
		__asm__ volatile("");
}

static void eat(void)
{
	char *at = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(at, 1, 64 * MIB);
	_exit(0);
}

static void multiply(void)
{
	int made = 0;

	while (fork() > 0)
		made++;
	_exit(made);
}

static int found(void)
{
	cgroups_find(&groups, "check", "/proc/self/mountinfo",
		     "/proc/self/cgroup");
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		OK(groups.place[i].version == 2);
	OK(groups.place[CGROUP_CPU].outermost);
	return 0;
}

static int written(void)
{
	const dev_t device = makedev(254, 0);
	struct cgroup_limits limits = {
		.cpu_shares = 321, .cpu_percent = 250, .cpu_set = "0",
		.memory = 100 * MIB, .pids = 99, .disk_bps = 5000000,
		.device = &device, .devices = 1, .needed = 0x2f,
	};
	enum cgroup_controller which;
	struct cgroup group;

	errno = -cgroup_make(&groups, "one", &limits, &group, &which);
	OK(!errno);
	cgroup_close(&group);
	OK(!strcmp(text_of("one", "cpu.weight"), "321"));
	OK(!strcmp(text_of("one", "cpu.max"), "250000 100000"));
	OK(!strcmp(text_of("one", "cpuset.cpus"), "0"));
	OK(!strcmp(text_of("one", "memory.max"), "104857600"));
	OK(!strcmp(text_of("one", "memory.oom.group"), "1"));
	OK(!strcmp(text_of("one", "pids.max"), "99"));
	if (!access("/sys/block/vda", F_OK))
		OK(strstr(text_of("one", "io.max"), "rbps=5000000"));
	limits = (struct cgroup_limits){ 0 };
	OK(!cgroup_set(&groups, "one", &limits, &which));
	OK(!strcmp(text_of("one", "cpu.weight"), "100"));
	OK(!strcmp(text_of("one", "cpu.max"), "max 100000"));
	OK(!strcmp(text_of("one", "cpuset.cpus"), ""));
	OK(!strcmp(text_of("one", "memory.max"), "max"));
	limits = (struct cgroup_limits){ .cpu_set = "77",
					 .needed = 1u << CGROUP_CPUSET };
	OK(cgroup_set(&groups, "one", &limits, &which));
	OK(which == CGROUP_CPUSET);
	cgroup_set_sum(&groups, 421);
	OK(!strcmp(text_of(NULL, "cpu.weight"), "421"));
	OK(!cgroups_sweep(&groups, false, none, NULL));
	OK(access("/sys/fs/cgroup/lodge", F_OK));
	return 0;
}

/* The first's part by the second's, of the next ENOUGH that both use. */
static double next_ratio(void)
{
	struct cgroup_usage used[2], before[2];

	cgroup_usage(&groups, "three", &before[0]);
	cgroup_usage(&groups, "one", &before[1]);
	do {
		usleep(50000);
		cgroup_usage(&groups, "three", &used[0]);
		cgroup_usage(&groups, "one", &used[1]);
		used[0].cpu_ns -= before[0].cpu_ns;
		used[1].cpu_ns -= before[1].cpu_ns;
	} while (used[0].cpu_ns + used[1].cpu_ns < ENOUGH);
	return (double)used[0].cpu_ns / (double)used[1].cpu_ns;
}

/* Three to one, by what they have used. */
static int shared(void)
{
	const struct cgroup_limits three = { .cpu_shares = 300, .cpu_set = "0" };
	const struct cgroup_limits one = { .cpu_shares = 100, .cpu_set = "0" };
	struct cgroup_usage usage;
	double ratio;
	pid_t pid[2];

	pid[0] = start("three", &three, burn);
	pid[1] = start("one", &one, burn);
	OK(pid[0] > 0 && pid[1] > 0);
	OK(cgroup_usage(&groups, "three", &usage));
	OK(cgroup_usage(&groups, "one", &usage));
	/* A share is held over a while, not at once, and this kernel's
	 * processor may be one that its host has little of. */
	for (int i = 0; i < TRIES; i++) {
		ratio = next_ratio();
		printf("ratio %.3f\n", ratio);
		if (ratio > 2.85 && ratio < 3.15)
			break;
	}
	OK(ratio > 2.85 && ratio < 3.15);
	/* Nobody lives, say we: what is in them is moved. */
	OK(cgroups_sweep(&groups, false, none, NULL) == 2);
	OK(!cgroups_sweep(&groups, true, none, NULL));
	for (int i = 0; i < 2; i++) {
		kill(pid[i], SIGKILL);
		OK(waitpid(pid[i], NULL, 0) == pid[i]);
	}
	while (!access("/sys/fs/cgroup/lodge", F_OK))
		cgroups_sweep(&groups, true, none, NULL);
	return 0;
}

static int killed(void)
{
	const struct cgroup_limits limits = { .memory = 16 * MIB };
	struct cgroup_usage usage;
	int status;
	pid_t pid = start("big", &limits, eat);

	OK(pid > 0 && waitpid(pid, &status, 0) == pid);
	OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	OK(cgroup_usage(&groups, "big", &usage));
	printf("kills %u, limit %zu\n", usage.oom_kills,
	       (size_t)usage.memory_limit);
	OK(usage.oom_kills && usage.memory_limit == 16 * MIB);
	return 0;
}

static int counted(void)
{
	const struct cgroup_limits limits = { .pids = 5 };
	int status;
	pid_t pid = start("many", &limits, multiply);

	OK(pid > 0 && waitpid(pid, &status, 0) == pid);
	OK(WIFEXITED(status) && WEXITSTATUS(status) <= 4);
	while (!access("/sys/fs/cgroup/lodge", F_OK))
		cgroups_sweep(&groups, false, none, NULL);
	return 0;
}

int main(void)
{
	return found() || written() || shared() || killed() || counted();
}
