/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process and those that it started use of this computer (proc(5)):
 * a machine's process with its helpers, which are its children. A kernel
 * without /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN) tells of the
 * process alone.
 */
#ifndef LODGE_HOST_LINUX_PROCESS_USE_H
#define LODGE_HOST_LINUX_PROCESS_USE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_use {
	unsigned int processes; /* that were counted; 0: it is gone */
	uint64_t cpu_ns;	/* with children that have ended */
	uint64_t memory;	/* bytes that are resident; see below */
	bool has_io;		/* the next two may be known */
	uint64_t read, written; /* bytes from and to disks of the host */
};

/*
 * Of the process and all below it. Memory that it shares with its children,
 * the guest's above all, counts once: of them only what is their own does.
 */
void process_use(pid_t pid, struct process_use *use);

#endif
