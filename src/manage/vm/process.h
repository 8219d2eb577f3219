/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a machine, as lodged sees it, which may have been killed and
 * started again meanwhile. The machine's folder has a file "lock". Whoever
 * starts a process takes its flock(2) and hands the open file down, so it is
 * held exactly as long as the process lives, and no process number can be
 * mistaken. The file's text is the process's number and the name of its run.
 */
#ifndef LODGE_MANAGE_VM_PROCESS_H
#define LODGE_MANAGE_VM_PROCESS_H

#include <sys/types.h>

#include "manage/api/problem.h"

#define PROCESS_RUN_MAX 36

struct process {
	pid_t pid;
	int pidfd; /* readable when it has ended */
	char run[PROCESS_RUN_MAX + 1];
};

/* The run of a process that is no machine, but works for one. */
#define PROCESS_HELPER "helper"

/*
 * Starts `arg` (its [0] is what others see; `program` is executed) in a session
 * of its own, with standard error and output going to the file "log" of
 * `folder`, an open folder, and the lock at descriptor PROCESS_LOCK_FD. 0, or
 * -1 with `problem`: one lives, the host failed.
 */
#define PROCESS_LOCK_FD 3
int process_start(struct process *process, int folder, const char *program,
		  char *const *arg, const char *run, struct problem *problem);

/*
 * The same; `before` is called in the new process, before it becomes the
 * program: standard error is the log. Unless it gives 0, the process ends.
 */
struct process_before {
	int (*call)(void *ctx);
	void *ctx;
};

int process_start_after(struct process *process, int folder,
			const char *program, char *const *arg, const char *run,
			const struct process_before *before,
			struct problem *problem);

/*
 * The one that lives: 0; 1: there is none, `run` is the last that was; 2: it cannot be told yet, since
 * it is just being started; ask again. -1 with `problem`.
 */
int process_find(struct process *process, int folder,
		 struct problem *problem);

/* Sends a signal to it, and to nobody else. */
void process_signal(const struct process *process, int number);

/*
 * After its end: how it ended as wait(2) tells, or -1 when it was not our
 * child. Closes the descriptor.
 */
int process_end(struct process *process);

/* Forgets it without a look. */
void process_close(struct process *process);

#endif
