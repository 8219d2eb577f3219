/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define LOG_FILE  "log"
#define LOG_OLD	  "log.1"

static int open_pid(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int failed(struct problem *problem, const char *what)
{
	return problem_set(problem, 500, "host", "cannot start the machine's "
			   "process: %s: %s", what, strerror(errno));
}

/* --- starting ----------------------------------------------------------------- */

/* The lock, ours: a descriptor, -EBUSY when a process lives, or -errno. */
static int take_lock(int folder)
{
	int fd = openat(folder, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (!flock(fd, LOCK_EX | LOCK_NB) && !ftruncate(fd, 0))
		return fd;
	close(fd);
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

/* The log of this run; that of the one before is kept beside. */
static int open_log(int folder)
{
	renameat(folder, LOG_FILE, folder, LOG_OLD);
	return openat(folder, LOG_FILE,
		      O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC,
		      0600);
}

/* What is to be started. */
struct plan {
	const char *program;
	char *const *arg;
	const char *run;
	const struct process_before *before; /* NULL: nothing */
};

/* In the child: sets it up, and becomes the program. */
static void become(int lock, int log, const struct plan *plan)
{
	sigset_t none;
	int null;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	dprintf(lock, "%d %s\n", (int)getpid(), plan->run);
	/* Above those that they are to become. */
	lock = fcntl(lock, F_DUPFD, PROCESS_LOCK_FD + 1);
	log = fcntl(log, F_DUPFD, PROCESS_LOCK_FD + 1);
	null = open("/dev/null", O_RDONLY);
	if (chdir("/") || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 ||
	    dup2(lock, PROCESS_LOCK_FD) < 0)
		return;
	if (plan->before && plan->before->call(plan->before->ctx))
		return;
	syscall(SYS_close_range, PROCESS_LOCK_FD + 1, ~0u, 0);
	execv(plan->program, plan->arg);
	dprintf(2, "lodge: cannot execute %s: %s\n", plan->program,
		strerror(errno));
}

/* With the lock and the log. */
static int start(struct process *process, int lock, int log,
		 const struct plan *plan, struct problem *problem)
{
	process->pid = fork();
	if (!process->pid) {
		become(lock, log, plan);
		_exit(127);
	}
	if (process->pid < 0)
		return failed(problem, "fork");
	process->pidfd = open_pid(process->pid);
	if (process->pidfd < 0) {
		failed(problem, "pidfd");
		kill(process->pid, SIGKILL);
		waitpid(process->pid, NULL, 0);
		return -1;
	}
	snprintf(process->run, sizeof(process->run), "%s", plan->run);
	return 0;
}

int process_start_after(struct process *process, int folder,
			const char *program, char *const *arg, const char *run,
			const struct process_before *before,
			struct problem *problem)
{
	const struct plan plan = { program, arg, run, before };
	int lock = take_lock(folder), log, rc;

	if (lock == -EBUSY)
		return problem_set(problem, 409, "lives", "a process of this "
				   "machine lives already");
	errno = lock < 0 ? -lock : 0;
	if (lock < 0)
		return failed(problem, LOCK_FILE);
	log = open_log(folder);
	rc = log < 0 ? failed(problem, LOG_FILE) :
		       start(process, lock, log, &plan, problem);
	if (log >= 0)
		close(log);
	close(lock);
	return rc;
}

int process_start(struct process *process, int folder, const char *program,
		  char *const *arg, const char *run, struct problem *problem)
{
	return process_start_after(process, folder, program, arg, run, NULL,
				   problem);
}

/* --- finding ------------------------------------------------------------------- */

/* Number and run out of the file; false: not written yet. */
static bool read_lock(int fd, struct process *process)
{
	char text[80];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	int pid;

	if (n <= 0 || text[n - 1] != '\n')
		return false;
	text[n] = '\0';
	if (sscanf(text, "%d %36s", &pid, process->run) != 2)
		return false;
	process->pid = pid;
	return true;
}

int process_find(struct process *process, int folder, struct problem *problem)
{
	int fd = openat(folder, LOCK_FILE, O_RDWR | O_CLOEXEC), rc = 1;

	process->pidfd = -1;
	process->run[0] = '\0';
	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0)
		return failed(problem, LOCK_FILE);
	if (!flock(fd, LOCK_SH | LOCK_NB)) {
		read_lock(fd, process);
	} else {
		rc = 2;
		if (read_lock(fd, process))
			process->pidfd = open_pid(process->pid);
		/* Still held by whoever wrote its number: it is that one. */
		if (process->pidfd >= 0 && !flock(fd, LOCK_SH | LOCK_NB)) {
			process_close(process);
			rc = 1;
		} else if (process->pidfd >= 0) {
			rc = 0;
		}
	}
	close(fd);
	return rc;
}

/* --- its end ------------------------------------------------------------------- */

void process_signal(const struct process *process, int number)
{
	syscall(SYS_pidfd_send_signal, process->pidfd, number, NULL, 0);
}

int process_end(struct process *process)
{
	int status = -1;

	if (waitpid(process->pid, &status, WNOHANG) != process->pid)
		status = -1;
	process_close(process);
	return status;
}

void process_close(struct process *process)
{
	if (process->pidfd >= 0)
		close(process->pidfd);
	process->pidfd = -1;
	process->pid = 0;
}
