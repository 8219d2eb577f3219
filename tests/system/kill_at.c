/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program and kills it, with all its threads, right before the N-th
 * system call that changes a file or a folder:
 *
 *	kill-at [--alone] N PROGRAM ARGUMENT...
 *
 * With --alone, processes that it has forked are left alone, and go on. A SIGTERM
 * is passed on to it.
 *
 * Exit status: 137 when it was killed; else the program's own, since it made
 * fewer such calls; 77: processes may not be traced here.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANNOT 77
#define KILLED 137

static const long changes[] = {
	SYS_write, SYS_writev, SYS_pwrite64, SYS_pwritev, SYS_pwritev2,
	SYS_io_uring_enter, SYS_fallocate, SYS_ftruncate, SYS_fsync,
	SYS_fdatasync, SYS_sync_file_range, SYS_copy_file_range,
	SYS_link, SYS_linkat, SYS_rename, SYS_renameat, SYS_renameat2,
	SYS_unlink, SYS_unlinkat, SYS_mkdir, SYS_mkdirat, SYS_rmdir,
	SYS_symlink, SYS_symlinkat, SYS_ioctl,
};

static bool does_change(const struct __ptrace_syscall_info *info)
{
	long call = (long)info->entry.nr;

	if (call == SYS_openat)
		return info->entry.args[2] & O_CREAT;
	if (call == SYS_write) /* to its terminal: no change */
		return info->entry.args[0] > 2;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (call == changes[i])
			return true;
	return false;
}

static volatile pid_t program;

static void pass_on(int number)
{
	if (program)
		kill(program, number);
}

static void start(char **argv)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(CANNOT);
	raise(SIGSTOP);
	execv(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

/* Whether thread `pid`, which has stopped, is about to make the last call. */
static bool has_come(pid_t pid, uint64_t *left)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY || !does_change(&info))
		return false;
	return !--*left;
}

/* The signal that a stop is to end with: those of tracing are not its own. */
static int signal_of(int status)
{
	int number = WSTOPSIG(status);

	if (number == (SIGTRAP | 0x80) || number == SIGTRAP ||
	    number == SIGSTOP)
		return 0;
	return number;
}

static int follow(pid_t first, uint64_t left)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return errno == ECHILD ? CANNOT : 1;
		if (pid == first && WIFEXITED(status))
			return WEXITSTATUS(status);
		if (pid == first && WIFSIGNALED(status))
			return 128 + WTERMSIG(status);
		if (!WIFSTOPPED(status))
			continue;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    has_come(pid, &left)) {
			kill(first, SIGKILL);
			while (waitpid(-1, &status, __WALL) > 0)
				continue;
			return KILLED;
		}
		ptrace(PTRACE_SYSCALL, pid, NULL, (long)signal_of(status));
	}
}

int main(int argc, char **argv)
{
	bool alone = argc > 1 && !strcmp(argv[1], "--alone");
	long forks = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
	int status;
	pid_t pid;

	argc -= alone;
	argv += alone;
	if (argc < 3)
		return 2;
	signal(SIGTERM, pass_on);
	pid = program = fork();
	if (!pid)
		start(argv + 2);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 1;
	if (!WIFSTOPPED(status))
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE |
			   PTRACE_O_EXITKILL | (alone ? 0 : forks)))
		return CANNOT;
	ptrace(PTRACE_SYSCALL, pid, NULL, 0L);
	return follow(pid, strtoull(argv[1], NULL, 0));
}
