/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups: where they are found, by files made up here, and a group of
 * this host's, where there are any that we may use.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake/test.h"
#include "manage/limits/cgroup.h"

#define RUN "0e9f6b6e-0000-4000-8000-000000000001"

static char folder[64];
static struct cgroups groups;

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	return chmod(folder, 0755);
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static const char *at(const char *name)
{
	static char path[4][400];
	static unsigned int next;
	char *whole = path[next++ % 4];

	snprintf(whole, sizeof(path[0]), "%s/%s", folder, name);
	return whole;
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void make(const char *name, const char *controllers)
{
	char file[300];

	assert_int_equal(mkdir(at(name), 0755), 0);
	snprintf(file, sizeof(file), "%s/cgroup.procs", name);
	put(file, "");
	snprintf(file, sizeof(file), "%s/cgroup.controllers", name);
	if (controllers)
		put(file, controllers);
}

/* A line of mountinfo for NAME; "@" in the group's path is the folder. */
static void find(const char *mounts, const char *self)
{
	char text[2048] = "";

	for (; *mounts; mounts++) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used,
			 *mounts == '@' ? "%s" : "%.1s",
			 *mounts == '@' ? folder : mounts);
	}
	put("mounts", text);
	put("self", self);
	cgroups_find(&groups, "/a", at("mounts"), at("self"));
}

static void the_one_hierarchy_is_found(void **state)
{
	make("v2", "cpuset cpu io memory pids\n");
	find("25 20 0:22 / /proc rw - proc proc rw\n"
	     "30 20 0:26 / @/v2 rw,nosuid shared:9 - cgroup2 cgroup2 rw\n",
	     "0::/system.slice/lodged.service\n");
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		assert_int_equal(groups.place[i].version, 2);
		assert_string_equal(groups.place[i].top, at("v2"));
		assert_false(groups.place[i].outermost);
	}
	find("30 20 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n", "0::/\n");
	assert_true(groups.place[CGROUP_CPU].outermost);
}

static void what_it_does_not_offer_is_not_there(void **state)
{
	make("v2", "cpu pids\n");
	find("30 20 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n", "0::/\n");
	assert_int_equal(groups.place[CGROUP_CPU].version, 2);
	assert_int_equal(groups.place[CGROUP_PIDS].version, 2);
	assert_int_equal(groups.place[CGROUP_MEMORY].version, 0);
	assert_int_equal(groups.place[CGROUP_CPUSET].version, 0);
}

static void old_hierarchies_come_before_an_empty_one(void **state)
{
	make("cpu,cpuacct", NULL);
	make("memory", NULL);
	make("v2", "\n");
	find("30 20 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n"
	     "31 20 0:27 / @/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
	     "32 20 0:28 /box @/memory rw - cgroup cgroup rw,memory\n",
	     "5:memory:/box/a\n4:cpu,cpuacct:/\n0::/\n");
	assert_int_equal(groups.place[CGROUP_CPU].version, 1);
	assert_string_equal(groups.place[CGROUP_CPU].top, at("cpu,cpuacct"));
	assert_true(groups.place[CGROUP_CPU].outermost);
	assert_true(cgroup_is_again(&groups, CGROUP_CPUACCT));
	assert_int_equal(groups.place[CGROUP_MEMORY].version, 1);
	assert_false(groups.place[CGROUP_MEMORY].outermost);
	assert_int_equal(groups.place[CGROUP_PIDS].version, 0);
}

static void nothing_is_found_in_nothing(void **state)
{
	make("v2", "\n");
	find("30 20 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n", "0::/\n");
	assert_int_equal(groups.place[CGROUP_CPUACCT].version, 0);
	find("", "");
	find("x\n - \n1 2 3 - cgroup2\n30 20 0:26 / @/none rw - cgroup2 c rw\n",
	     "::\n0:\n0::/../x\n");
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		assert_int_equal(groups.place[i].version, 0);
}

/* As systemd gives a user: his own service's group, and what is below. */
static void an_ordinary_user_has_what_was_delegated(void **state)
{
	int status;
	pid_t child;

	if (getuid())
		skip();
	make("v2", "cpu memory pids\n");
	make("v2/user", "cpu memory pids\n");
	make("v2/user/me", "cpu memory pids\n");
	make("v2/user/me/app", "cpu\n");
	assert_int_equal(chown(at("v2/user/me"), 65534, 65534), 0);
	assert_int_equal(chown(at("v2/user/me/cgroup.procs"), 65534, 65534), 0);
	find("30 20 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n",
	     "0::/user/me/app\n");
	assert_string_equal(groups.place[CGROUP_CPU].top, at("v2"));
	child = fork();
	if (!child) {
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(2);
		cgroups_find(&groups, "/a", at("mounts"), at("self"));
		_exit(groups.place[CGROUP_CPU].version != 2 ||
		      strcmp(groups.place[CGROUP_CPU].top, at("v2/user/me")) ||
		      groups.place[CGROUP_CPU].outermost);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* --- this host's ------------------------------------------------------------------ */

static bool none_lives(void *ctx, const char *run)
{
	return false;
}

static bool all_live(void *ctx, const char *run)
{
	return true;
}

static void read_limit(enum cgroup_controller controller, const char *v1,
		       const char *v2, char text[64])
{
	char path[CGROUP_PATH_MAX];

	cgroup_path(&groups, controller, RUN,
		    groups.place[controller].version == 1 ? v1 : v2, path);
	cgroup_read(path, text, 64);
	text[strcspn(text, " \n")] = '\0';
}

/* This process's processor time, in nanoseconds. */
static int64_t burnt(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* Enters the group and burns 25 ms there: what was used before is not its. */
static void burn(struct cgroup *group)
{
	int status;
	pid_t child = fork();

	if (!child) {
		int64_t start;

		if (cgroup_enter(group))
			_exit(1);
		start = burnt();
		while (burnt() - start < 25000000)
			;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_group_of_this_host(void **state)
{
	struct cgroup_limits limits = {
		.cpu_shares = 300, .cpu_percent = 150,
		.memory = (uint64_t)256 << 20, .pids = 77,
		.needed = 1u << CGROUP_CPU | 1u << CGROUP_MEMORY |
			  1u << CGROUP_PIDS,
	};
	enum cgroup_controller which;
	struct cgroup_usage usage;
	struct cgroup group;
	char text[64];
	int err;

	cgroups_find(&groups, folder, "/proc/self/mountinfo",
		     "/proc/self/cgroup");
	err = cgroup_make(&groups, RUN, &limits, &group, &which);
	if (err == -ENOTSUP || err == -EACCES || err == -EBUSY)
		skip();
	assert_int_equal(err, 0);
	read_limit(CGROUP_CPU, "cpu.shares", "cpu.weight", text);
	assert_string_equal(text, groups.place[CGROUP_CPU].version == 1 ?
					  "3072" : "300");
	read_limit(CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max", text);
	assert_string_equal(text, "150000");
	read_limit(CGROUP_PIDS, "pids.max", "pids.max", text);
	assert_string_equal(text, "77");
	burn(&group);
	cgroup_close(&group);
	assert_true(cgroup_usage(&groups, RUN, &usage));
	assert_true(usage.cpu_ns >= 20000000);
	assert_int_equal(usage.memory_limit, (uint64_t)256 << 20);
	assert_int_equal(usage.oom_kills, 0);
	limits = (struct cgroup_limits){ .cpu_set = "0", .pids = 78 };
	assert_int_equal(cgroup_set(&groups, RUN, &limits, &which), 0);
	read_limit(CGROUP_PIDS, "pids.max", "pids.max", text);
	assert_string_equal(text, "78");
	read_limit(CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max", text);
	assert_true(!strcmp(text, "-1") || !strcmp(text, "max"));
	assert_int_equal(cgroups_sweep(&groups, false, all_live, NULL), 0);
	assert_true(cgroup_usage(&groups, RUN, &usage));
	while (cgroups_sweep(&groups, true, none_lives, NULL))
		;
	assert_false(cgroup_usage(&groups, RUN, &usage));
}

static void what_is_needed_and_not_there_is_named(void **state)
{
	struct cgroup_limits limits = { .memory = 1 };
	enum cgroup_controller which;
	struct cgroup group;

	make("v2", "pids\n");
	find("30 20 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n", "0::/\n");
	/* Files that a real one would have are not there either. */
	assert_int_equal(cgroup_make(&groups, RUN, &limits, &group, &which), 0);
	cgroup_close(&group);
	limits.needed = 1u << CGROUP_MEMORY;
	assert_int_equal(cgroup_make(&groups, RUN, &limits, &group, &which),
			 -ENOTSUP);
	assert_int_equal(which, CGROUP_MEMORY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_one_hierarchy_is_found),
		TEST(what_it_does_not_offer_is_not_there),
		TEST(old_hierarchies_come_before_an_empty_one),
		TEST(nothing_is_found_in_nothing),
		TEST(an_ordinary_user_has_what_was_delegated),
		TEST(a_group_of_this_host),
		TEST(what_is_needed_and_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
