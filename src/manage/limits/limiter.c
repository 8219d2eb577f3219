/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a configuration to a control group. What every machine has, also where
 * nothing is said: processor time by equal shares, a bound for memory and for
 * threads, so that whatever a guest makes grow is its own.
 */
#include "manage/limits/limiter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "manage/manager.h"
#include "manage/settings.h"
#include "manage/vm/ending.h"
#include "manage/vm/spec.h"
#include "manage/vm/vm.h"
#include "vm/host.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/*
 * Beside the guest's memory: the program with its libraries, disks' and
 * screens' buffers, pages of images that the host keeps; code and tables of
 * the software processor (64 MiB of code each); marks for the guest's pages.
 */
#define OVERHEAD     (512 * MIB)
#define OVERHEAD_CPU (128 * MIB)
#define OVERHEAD_OF  16 /* of the guest's memory */

#define PIDS	     1024 /* processes and threads */
#define PIDS_CPU     16
#define DEVICES_MAX  16
#define SWEEP_MS     10 /* at first */
#define SWEEP_MS_MAX 10000
#define MOVE_MS	     1000 /* what stays longer is no machine's */

struct limiter {
	struct manager *manager;
	struct settings settings;
	struct cgroups groups;
	struct timer sweep;
	uint64_t wait; /* ms */
};

/* --- from a configuration ------------------------------------------------------------ */

static uint64_t number(const struct vm *vm, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(vm->config, name));
}

/* What its process has beside the guest's memory, at most. */
static uint64_t overhead(const struct vm *vm)
{
	return OVERHEAD + spec_cpus(vm->config) * OVERHEAD_CPU +
	       spec_memory(vm->config) / OVERHEAD_OF;
}

/* The block device that a file is on, the whole of it; 0: none. */
static dev_t device_of(const char *path)
{
	char at[96], text[32] = "";
	unsigned int major_number, minor_number;
	struct stat status;
	dev_t device;

	if (stat(path, &status))
		return 0;
	device = S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev;
	snprintf(at, sizeof(at), "/sys/dev/block/%u:%u/partition",
		 major(device), minor(device));
	if (access(at, F_OK))
		return major(device) ? device : 0;
	snprintf(at, sizeof(at), "/sys/dev/block/%u:%u/../dev", major(device),
		 minor(device));
	cgroup_read(at, text, sizeof(text));
	if (sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
		return 0;
	return makedev(major_number, minor_number);
}

/* Those that its disks and lodged's folder, with disks of images, are on. */
static size_t find_devices(const struct vm *vm, dev_t device[DEVICES_MAX])
{
	const json_t *disks = json_object_get(vm->config, "disks");
	size_t count = 0, at, known;

	for (size_t i = 0; i <= json_array_size(disks) && count < DEVICES_MAX;
	     i++) {
		const char *path = i ? json_string_value(json_object_get(
					       json_array_get(disks, i - 1),
					       "path")) :
				       vm->manager->folder;

		device[count] = path ? device_of(path) : 0;
		at = count;
		for (known = 0; device[known] != device[at]; known++)
			;
		count += device[at] && known == at;
	}
	return count;
}

static void from_config(const struct vm *vm, struct cgroup_limits *limits,
			dev_t device[DEVICES_MAX], bool running)
{
	static const struct {
		const char *name;
		enum cgroup_controller controller;
	} needs[] = {
		{ "cpu_shares", CGROUP_CPU },	   { "cpu_limit", CGROUP_CPU },
		{ "cpu_set", CGROUP_CPUSET },	   { "pids_limit", CGROUP_PIDS },
		{ "memory_limit", CGROUP_MEMORY }, { "disk_shares", CGROUP_IO },
	};
	uint64_t memory = number(vm, "memory_limit");
	uint64_t pids = number(vm, "pids_limit");

	*limits = (struct cgroup_limits){
		.cpu_shares = (unsigned int)number(vm, "cpu_shares"),
		.cpu_percent = (unsigned int)number(vm, "cpu_limit"),
		.cpu_set = json_string_value(
			json_object_get(vm->config, "cpu_set")),
		.memory = memory ? memory :
				   spec_memory(vm->config) + overhead(vm),
		.pids = pids ? (unsigned int)pids :
			       PIDS + spec_cpus(vm->config) * PIDS_CPU,
		.disk_shares = (unsigned int)number(vm, "disk_shares"),
		.disk_bps = number(vm, "disk_bps"),
		.disk_iops = number(vm, "disk_iops"),
		.device = device,
	};
	if (limits->disk_bps || limits->disk_iops || running)
		limits->devices = find_devices(vm, device);
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (json_object_get(vm->config, needs[i].name))
			limits->needed |= 1u << needs[i].controller;
}

/* --- groups --------------------------------------------------------------------------- */

static int not_kept(const struct limiter *limiter, const struct vm *vm,
		    enum cgroup_controller which, int err,
		    struct problem *problem)
{
	static const char *const words[] = {
		[CGROUP_CPU] = "cpu_shares and cpu_limit",
		[CGROUP_CPUACCT] = "cpu_shares",
		[CGROUP_CPUSET] = "cpu_set",
		[CGROUP_MEMORY] = "memory_limit",
		[CGROUP_IO] = "disk_shares",
		[CGROUP_PIDS] = "pids_limit",
	};

	if (err == -ENOTSUP || err == -EACCES || err == -EPERM)
		return problem_set(problem, 409, "no-cgroup",
				   "config.%s: lodged has no control group "
				   "with the controller %s here; run it as "
				   "root, as a service of systemd that has it "
				   "(Delegate=), or take the setting away",
				   words[which], cgroup_name(which));
	if (which == CGROUP_CPUSET)
		return problem_set(problem, 409, "bad-limit",
				   "config.cpu_set %.60s: this host has %ld "
				   "processors, from 0 on", json_string_value(
				   json_object_get(vm->config, "cpu_set")),
				   sysconf(_SC_NPROCESSORS_CONF));
	return problem_set(problem, 409, "bad-limit", "config.%s: the host "
			   "refuses it: %s", words[which], strerror(-err));
}

static bool has_process(const struct vm *vm)
{
	return vm->process.pidfd >= 0 || vm->state == VM_STARTING;
}

/* All machines that run weigh together as the sum of what they have. */
static void weigh(struct limiter *limiter)
{
	const struct manager *manager = limiter->manager;
	unsigned int sum = 0;

	for (size_t i = 0; i < manager->count; i++) {
		uint64_t shares = number(manager->vm[i], "cpu_shares");

		if (has_process(manager->vm[i]))
			sum += shares ? (unsigned int)shares : 100;
	}
	cgroup_set_sum(&limiter->groups, sum);
}

int limiter_begin(struct limiter *limiter, const struct vm *vm,
		 struct cgroup *group, struct problem *problem)
{
	enum cgroup_controller which;
	struct cgroup_limits wanted;
	dev_t device[DEVICES_MAX];
	int err;

	from_config(vm, &wanted, device, false);
	err = cgroup_make(&limiter->groups, vm->row.run, &wanted, group, &which);
	if (err)
		return not_kept(limiter, vm, which, err, problem);
	weigh(limiter);
	return 0;
}

/*
 * What a process has that runs is not made smaller: it would be killed. The
 * next start does it.
 */
static void keep_room(const struct limiter *limiter, const struct vm *vm,
		      struct cgroup_limits *wanted)
{
	struct cgroup_usage usage;

	if (!limiter_usage(limiter, vm, &usage))
		return;
	if (usage.memory_limit == UINT64_MAX)
		wanted->memory = 0;
	else if (usage.memory_limit > wanted->memory)
		wanted->memory = usage.memory_limit;
}

int limiter_change(struct limiter *limiter, const struct vm *vm,
		  struct problem *problem)
{
	enum cgroup_controller which;
	struct cgroup_limits wanted;
	dev_t device[DEVICES_MAX];
	int err;

	from_config(vm, &wanted, device, true);
	keep_room(limiter, vm, &wanted);
	err = cgroup_set(&limiter->groups, vm->row.run, &wanted, &which);
	if (err)
		return not_kept(limiter, vm, which, err, problem);
	weigh(limiter);
	return 0;
}

bool limiter_usage(const struct limiter *limiter, const struct vm *vm,
		  struct cgroup_usage *usage)
{
	return *vm->row.run &&
	       cgroup_usage(&limiter->groups, vm->row.run, usage);
}

void limiter_end(struct limiter *limiter, const struct vm *vm,
		struct ending *ending)
{
	struct cgroup_usage usage;

	if (limiter_usage(limiter, vm, &usage) && usage.oom_kills &&
	    ending->failed)
		snprintf(ending->text, sizeof(ending->text),
			 "it was killed at its memory limit of %llu MiB (%llu "
			 "MiB are the guest's); lodge edit %s --memory-limit "
			 "SIZE raises it",
			 (unsigned long long)(usage.memory_limit / MIB),
			 (unsigned long long)(spec_memory(vm->config) / MIB),
			 vm->row.name);
	limiter->wait = 0;
	timer_set(&limiter->manager->timers, &limiter->sweep, 0);
	weigh(limiter);
}

/* --- removing -------------------------------------------------------------------------- */

static bool is_live(void *ctx, const char *run)
{
	const struct limiter *limiter = ctx;
	const struct manager *manager = limiter->manager;

	for (size_t i = 0; i < manager->count; i++)
		if (!strcmp(manager->vm[i]->row.run, run))
			return has_process(manager->vm[i]);
	return false;
}

static void sweep(void *ctx)
{
	struct limiter *limiter = ctx;
	bool move = limiter->wait >= MOVE_MS;

	if (!cgroups_sweep(&limiter->groups, move, is_live, limiter))
		return;
	limiter->wait = limiter->wait ? limiter->wait * 2 : SWEEP_MS;
	if (limiter->wait > SWEEP_MS_MAX)
		limiter->wait = SWEEP_MS_MAX;
	timer_set(&limiter->manager->timers, &limiter->sweep, limiter->wait);
}

void limiter_sweep(struct limiter *limiter)
{
	limiter->wait = 0;
	sweep(limiter);
}

/* --- admission ------------------------------------------------------------------------- */

static uint64_t need_memory(const struct vm *vm)
{
	return spec_memory(vm->config);
}

static uint64_t need_cpus(const struct vm *vm)
{
	return spec_cpus(vm->config);
}

struct stock {
	const char *setting, *option;
	uint64_t (*need)(const struct vm *vm);
	double ratio;
	uint64_t total;
	bool bytes;
};

static void print(char *text, size_t size, const struct stock *stock,
		  uint64_t amount)
{
	if (!stock->bytes)
		snprintf(text, size, "%llu processor%s",
			 (unsigned long long)amount, amount == 1 ? "" : "s");
	else if (amount >= 10 * GIB || amount % GIB == 0)
		snprintf(text, size, "%.4g GiB",
			 (double)amount / (double)GIB);
	else
		snprintf(text, size, "%llu MiB",
			 (unsigned long long)(amount / MIB));
}

/* Of the machines that run: the sum, and the one that has most. */
static uint64_t sum_of(const struct manager *manager, const struct vm *but,
		       const struct stock *stock, const struct vm **most)
{
	uint64_t sum = 0;

	*most = NULL;
	for (size_t i = 0; i < manager->count; i++) {
		const struct vm *vm = manager->vm[i];

		if (vm == but || !has_process(vm))
			continue;
		sum += stock->need(vm);
		if (!*most || stock->need(vm) > stock->need(*most))
			*most = vm;
	}
	return sum;
}

static int refuse(const struct limiter *limiter, const struct vm *vm,
		  const struct stock *stock, uint64_t given,
		  const struct vm *most, struct problem *problem)
{
	char need[32], have[32], room[32], total[32], mend[160] = "";

	print(need, sizeof(need), stock, stock->need(vm));
	print(have, sizeof(have), stock, given);
	print(room, sizeof(room), stock,
	      (uint64_t)((double)stock->total * stock->ratio));
	print(total, sizeof(total), stock, stock->total);
	if (most)
		snprintf(mend, sizeof(mend), "lodge stop one (%s has most), ",
			 most->row.name);
	return problem_set(problem, 409, "overcommitted",
			   "%s wants %s, but %s of %s are given to machines "
			   "that run (the host's %s, %s %.4g); %slodge edit %s "
			   "--%s, or raise that in %.120s", vm->row.name, need,
			   have, room, total, stock->setting, stock->ratio,
			   mend, vm->row.name, stock->option,
			   limiter->settings.path);
}

int limiter_admit(struct limiter *limiter, const struct vm *vm,
		 struct problem *problem)
{
	const struct stock stocks[] = {
		{ "memory-overcommit", "memory", need_memory,
		  limiter->settings.memory_overcommit,
		  (uint64_t)sysconf(_SC_PHYS_PAGES) *
			  (uint64_t)sysconf(_SC_PAGESIZE), true },
		{ "cpu-overcommit", "cpus", need_cpus,
		  limiter->settings.cpu_overcommit,
		  (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), false },
	};

	for (size_t i = 0; i < sizeof(stocks) / sizeof(stocks[0]); i++) {
		const struct stock *stock = &stocks[i];
		const struct vm *most;
		uint64_t given = sum_of(limiter->manager, vm, stock, &most);

		if (stock->ratio > 0 &&
		    (double)(given + stock->need(vm)) >
			    (double)stock->total * stock->ratio)
			return refuse(limiter, vm, stock, given, most, problem);
	}
	return 0;
}

/* --- opening --------------------------------------------------------------------------- */

struct limiter *limiter_open(struct manager *manager, struct problem *problem)
{
	struct limiter *limiter = calloc(1, sizeof(*limiter));

	if (!limiter) {
		problem_set(problem, 500, "no-memory", "out of memory");
		return NULL;
	}
	limiter->manager = manager;
	limiter->sweep.fire = sweep;
	limiter->sweep.ctx = limiter;
	if (settings_load(&limiter->settings, problem)) {
		free(limiter);
		return NULL;
	}
	cgroups_find(&limiter->groups, manager->folder, "/proc/self/mountinfo",
		     "/proc/self/cgroup");
	return limiter;
}

void limiter_close(struct limiter *limiter)
{
	if (limiter)
		timer_stop(&limiter->manager->timers, &limiter->sweep);
	free(limiter);
}
