/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long work on images, which a process of the program lodge does: its progress
 * and its end become a job's. It ends with lodged.
 */
#ifndef LODGE_MANAGE_TASK_H
#define LODGE_MANAGE_TASK_H

#include "manage/manager.h"

struct task;

/* Those that are under way. */
struct tasks {
	struct manager *manager;
	struct task *first;
};

/*
 * Begins `verb` ("pull") on the image `name`: `arg` is what lodge is given,
 * with its own name first and NULL last. The job, which can be cancelled, or
 * NULL with `problem`.
 */
struct job *task_begin(struct tasks *tasks, const char *verb, const char *name,
		       const char *const *arg, struct problem *problem);

/* Ends all, and forgets them; their jobs stay as they are. */
void tasks_close(struct tasks *tasks);

#endif
