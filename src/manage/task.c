/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/linux/loop.h"

#define PROGRESS_FD   3
#define PROGRESS_NAME "LODGE_PROGRESS" /* see cli/disk/progress.c */
#define LINE_MAX_SIZE 400

struct task {
	struct task *next;
	struct tasks *tasks;
	uint64_t job;
	pid_t pid;
	int pidfd;
	bool cancelled;
	int said, told; /* ends of pipes: errors, progress */
	char error[LINE_MAX_SIZE], line[LINE_MAX_SIZE];
	size_t error_used, line_used;
};

/* --- what it says ------------------------------------------------------------------ */

/* Reads a pipe into the end of a text, which keeps its newest part. */
static bool take(int fd, char *text, size_t *used)
{
	ssize_t n;

	if (*used > LINE_MAX_SIZE / 2) {
		*used -= LINE_MAX_SIZE / 2;
		memmove(text, text + LINE_MAX_SIZE / 2, *used);
	}
	n = read(fd, text + *used, LINE_MAX_SIZE - 1 - *used);
	if (n > 0)
		*used += (size_t)n;
	text[*used] = '\0';
	return n > 0;
}

static void close_pipe(struct task *task, int *fd)
{
	if (*fd < 0)
		return;
	loop_remove(task->tasks->manager->loop, *fd);
	close(*fd);
	*fd = -1;
}

static void it_said(void *ctx, uint32_t events)
{
	struct task *task = ctx;

	if (!take(task->said, task->error, &task->error_used))
		close_pipe(task, &task->said);
}

/* Lines "DONE TOTAL WHAT". */
static void it_told(void *ctx, uint32_t events)
{
	struct task *task = ctx;
	struct job *job = job_find(&task->tasks->manager->jobs, task->job);
	unsigned long long done, total;
	char *end;

	if (!take(task->told, task->line, &task->line_used)) {
		close_pipe(task, &task->told);
		return;
	}
	while ((end = strchr(task->line, '\n'))) {
		*end++ = '\0';
		if (job && sscanf(task->line, "%llu %llu %23[^\n]", &done,
				  &total, job->step) == 3) {
			job->done = done;
			job->total = total;
		}
		task->line_used -= (size_t)(end - task->line);
		memmove(task->line, end, task->line_used + 1);
	}
}

/* --- its end ----------------------------------------------------------------------- */

static void forget(struct task *task)
{
	struct task **at = &task->tasks->first;

	while (*at != task)
		at = &(*at)->next;
	*at = task->next;
	close_pipe(task, &task->said);
	close_pipe(task, &task->told);
	loop_remove(task->tasks->manager->loop, task->pidfd);
	close(task->pidfd);
	free(task);
}

/* The last line, without the program's name. */
static const char *last_error(struct task *task)
{
	char *line;

	while (task->error_used && task->error[task->error_used - 1] == '\n')
		task->error[--task->error_used] = '\0';
	line = strrchr(task->error, '\n');
	line = line ? line + 1 : task->error;
	if (!strncmp(line, "lodge: ", 7))
		line += 7;
	return *line ? line : "its process ended without a word";
}

static void ended(void *ctx, uint32_t events)
{
	struct task *task = ctx;
	struct jobs *jobs = &task->tasks->manager->jobs;
	struct job *job = job_find(jobs, task->job);
	struct problem problem;
	int status = -1;

	waitpid(task->pid, &status, WNOHANG);
	while (task->said >= 0 && take(task->said, task->error,
				       &task->error_used))
		continue;
	if (task->cancelled)
		problem_set(&problem, 409, "cancelled", "it was cancelled");
	else
		problem_set(&problem, 500, "failed", "%s", last_error(task));
	/* A cancel that came too late has changed nothing. */
	job_end(jobs, job, WIFEXITED(status) && !WEXITSTATUS(status) ?
				   NULL :
				   &problem);
	forget(task);
}

static void end(struct task *task)
{
	task->cancelled = true;
	syscall(SYS_pidfd_send_signal, task->pidfd, SIGTERM, NULL, 0);
}

static int cancel(void *ctx, struct problem *problem)
{
	end(ctx);
	return 0;
}

/* --- beginning --------------------------------------------------------------------- */

static void become(const char *program, const char *const *arg, int said,
		   int told)
{
	char number[16];
	sigset_t none;
	int null;

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* Above those that they are to become. */
	said = fcntl(said, F_DUPFD, PROGRESS_FD + 1);
	told = fcntl(told, F_DUPFD, PROGRESS_FD + 1);
	null = open("/dev/null", O_RDWR);
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(said, 2) < 0 ||
	    dup2(told, PROGRESS_FD) < 0)
		return;
	syscall(SYS_close_range, PROGRESS_FD + 1, ~0u, 0);
	snprintf(number, sizeof(number), "%d", PROGRESS_FD);
	setenv(PROGRESS_NAME, number, 1);
	/* execv() changes none of them. */
	execv(program, (char *const *)arg);
	dprintf(2, "lodge: cannot execute %s: %s\n", program,
		strerror(errno));
}

static int start(struct task *task, const char *const *arg)
{
	struct manager *manager = task->tasks->manager;
	int said[2], told[2];

	if (pipe2(said, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	if (pipe2(told, O_CLOEXEC | O_NONBLOCK)) {
		close(said[0]);
		close(said[1]);
		return -EMFILE;
	}
	task->said = said[0];
	task->told = told[0];
	task->pid = fork();
	if (!task->pid) {
		become(manager->program, arg, said[1], told[1]);
		_exit(127);
	}
	close(said[1]);
	close(told[1]);
	task->pidfd = task->pid < 0 ? -1 :
				      (int)syscall(SYS_pidfd_open, task->pid,
						   0);
	if (task->pidfd < 0) {
		close(said[0]);
		close(told[0]);
		return -EAGAIN;
	}
	loop_add(manager->loop, task->said, LOOP_READ, it_said, task);
	loop_add(manager->loop, task->told, LOOP_READ, it_told, task);
	return loop_add(manager->loop, task->pidfd, LOOP_READ, ended, task);
}

struct job *task_begin(struct tasks *tasks, const char *verb, const char *name,
		       const char *const *arg, struct problem *problem)
{
	struct jobs *jobs = &tasks->manager->jobs;
	struct job *job = job_begin(jobs, VERB_EDIT, "", name, problem);
	struct task *task = job ? calloc(1, sizeof(*task)) : NULL;
	int err = task ? 0 : -ENOMEM;

	if (!job)
		return NULL;
	snprintf(job->kind, sizeof(job->kind), "%s", verb);
	if (task) {
		task->tasks = tasks;
		task->job = job->id;
		err = start(task, arg);
	}
	if (err) {
		free(task);
		problem_set(problem, 500, "host", "cannot start a process: %s",
			    strerror(-err));
		job_end(jobs, job, problem);
		return NULL;
	}
	task->next = tasks->first;
	tasks->first = task;
	job->cancel = cancel;
	job->cancel_ctx = task;
	return job;
}

void tasks_close(struct tasks *tasks)
{
	while (tasks->first) {
		struct task *task = tasks->first;
		struct job *job = job_find(&tasks->manager->jobs, task->job);

		if (job)
			job->cancel = NULL;
		end(task);
		forget(task);
	}
}
