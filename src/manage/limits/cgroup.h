/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of the machines' processes (cgroups(7); the kernel's
 * admin-guide/cgroup-v2.rst and cgroup-v1/). Each run of a machine has a group
 * of its own, named as the run, in a folder lodge/UID-NUMBER of each hierarchy
 * that is used: the one of version 2, or those of version 1 where the
 * controllers are there.
 *
 * Who may write the outermost group (root) has the folder there. An ordinary
 * user has it in the outermost group above lodged that was delegated to him,
 * as systemd does with user@UID.service.
 */
#ifndef LODGE_MANAGE_LIMITS_CGROUP_H
#define LODGE_MANAGE_LIMITS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PATH_MAX 512
#define CGROUP_NAME_MAX 64

enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUACCT, /* version 2: of every group */
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_IO, /* version 1: blkio */
	CGROUP_PIDS,
	CGROUP_CONTROLLERS,
};

struct cgroup_place {
	int version; /* 1, 2; 0: it is not for us */
	char top[CGROUP_PATH_MAX]; /* the group that is there already */
	bool outermost; /* lodged's own, and nothing is above */
};

struct cgroups {
	struct cgroup_place place[CGROUP_CONTROLLERS];
	char name[CGROUP_NAME_MAX]; /* of our folder in each */
};

/* As the user wishes them; 0 or NULL: none. */
struct cgroup_limits {
	unsigned int cpu_shares;  /* 1 to 10000, 100 where nothing is said */
	unsigned int cpu_percent; /* of one processor */
	const char *cpu_set;	  /* "0-3,6" */
	uint64_t memory;	  /* bytes, of all that its processes have */
	unsigned int pids;	  /* processes and threads */
	unsigned int disk_shares; /* 1 to 1000 */
	uint64_t disk_bps, disk_iops;
	const dev_t *device; /* for these two */
	size_t devices;
	/* 1 << enum cgroup_controller: without these it is an error. */
	unsigned int needed;
};

/* A group that a process may enter. */
struct cgroup {
	int procs[CGROUP_CONTROLLERS]; /* -1: none */
};

struct cgroup_usage {
	uint64_t cpu_ns;
	uint64_t memory;       /* bytes, now */
	uint64_t memory_limit; /* UINT64_MAX: none */
	unsigned int oom_kills;
};

/*
 * Looks where groups can be made; nothing is made yet. `owner` is of whom the
 * folder is to be: any text. `mounts` and `self` are files as
 * /proc/self/mountinfo and /proc/self/cgroup.
 */
void cgroups_find(struct cgroups *groups, const char *owner,
		  const char *mounts, const char *self);

/* The controllers' name, for people. */
const char *cgroup_name(enum cgroup_controller controller);

/*
 * Makes the group of a run and opens it. 0, or -errno with the controller in
 * *which, for those that are needed; the others are left out.
 */
int cgroup_make(const struct cgroups *groups, const char *run,
		const struct cgroup_limits *limits, struct cgroup *group,
		enum cgroup_controller *which);
void cgroup_close(struct cgroup *group);

/*
 * The calling process enters it, to stay there with its children: safe
 * between fork(2) and execve(2). `group` is a struct cgroup. 0, or -1 after a
 * line on standard error.
 */
int cgroup_enter(void *group);

/* Other limits for a group that is there; as cgroup_make(). */
int cgroup_set(const struct cgroups *groups, const char *run,
	       const struct cgroup_limits *limits,
	       enum cgroup_controller *which);

/*
 * All machines together: the sum of their shares, which the folder has where
 * nobody but us has groups: its machines then weigh as single processes do.
 */
void cgroup_set_sum(const struct cgroups *groups, unsigned int shares);

/* False: there is no such group; what is not known is 0. */
bool cgroup_usage(const struct cgroups *groups, const char *run,
		  struct cgroup_usage *usage);

/*
 * Removes the groups of runs that `lives` does not know, and our folders when
 * they are empty. Gives the number of groups that have processes still; with
 * `move` these get a group "rest" (a switch may outlive its machine).
 */
unsigned int cgroups_sweep(const struct cgroups *groups, bool move,
			   bool (*lives)(void *ctx, const char *run),
			   void *ctx);

/* --- between cgroup.c and cgroup_limits.c ---------------------------------------- */

/* Path of a group's file; `run` NULL: of our folder. */
int cgroup_path(const struct cgroups *groups,
		enum cgroup_controller controller, const char *run,
		const char *file, char path[CGROUP_PATH_MAX]);

/* 0 or -errno. */
int cgroup_write(const char *path, const char *text);

/* The file's bytes, "" when there is none. */
void cgroup_read(const char *path, char *text, size_t size);

/* Whether an earlier controller has the same folder. */
bool cgroup_is_again(const struct cgroups *groups,
		     enum cgroup_controller controller);

/*
 * Writes all limits into the run's group. 0, or -errno with *which for those
 * that are needed.
 */
int cgroup_write_limits(const struct cgroups *groups, const char *run,
			const struct cgroup_limits *limits,
			enum cgroup_controller *which);

#endif
