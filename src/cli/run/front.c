/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/front.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/machine.h"

#define WORD SIGRTMIN /* the machine has said something, or has ended */

/*
 * Between the two: a byte of the machine's tells that it was left, and the
 * kernel signals the end of one to the other. PR_SET_PDEATHSIG would not
 * outlast a change of users, and a machine in its sandbox signals nobody.
 * One process has one front, and its callback takes no context.
 */
static struct {
	int word, null;
} front;

/* The same end as the machine's, without another core file. */
static int end_as(int status, const struct termios *found)
{
	const struct rlimit none = { 0, 0 };
	sigset_t set;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	/* It had no time to give the terminal back. */
	if (found)
		tcsetattr(STDIN_FILENO, TCSANOW, found);
	setrlimit(RLIMIT_CORE, &none);
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, WTERMSIG(status));
	raise(WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return MACHINE_FAILED;
}

/* Until the machine has ended, or was left. The exit status. */
static int stand_in_front(pid_t machine, int word, const sigset_t *all,
			  const struct termios *found)
{
	siginfo_t info;
	int status;
	char byte;

	for (;;) {
		if (sigwaitinfo(all, &info) < 0)
			continue;
		if (info.si_signo == WORD) {
			if (recv(word, &byte, 1, MSG_DONTWAIT) == 1)
				return MACHINE_OK;
			continue;
		}
		if (info.si_signo != SIGCHLD) {
			kill(machine, info.si_signo);
			continue;
		}
		if (waitpid(machine, &status, WNOHANG | WUNTRACED) != machine)
			continue;
		if (!WIFSTOPPED(status))
			return end_as(status, found);
		/* A shell sees it, and lets both go on. */
		raise(SIGSTOP);
		kill(machine, SIGCONT);
	}
}

/* The machine has a session of its own from now on, with no terminal. */
static void leave(const char *name)
{
	fprintf(stderr, "\nlodge: %s goes on; lodge console %s shows it again, "
			"lodge stop %s ends it\n", name, name, name);
	for (int fd = 0; fd < 3; fd++)
		dup2(front.null, fd);
	close(front.null);
	setsid();
	fcntl(front.word, F_SETFL, 0);
	send(front.word, "", 1, MSG_NOSIGNAL);
	close(front.word);
}

/* A signal when the other end says something or is gone. */
static int watch(int fd, int number)
{
	return fcntl(fd, F_SETOWN, getpid()) ||
	       fcntl(fd, F_SETSIG, number) || fcntl(fd, F_SETFL, O_ASYNC);
}

int front_split(struct machine_config *config)
{
	const pid_t self = getpid();
	sigset_t all, before;
	struct termios found;
	bool terminal;
	int ends[2];
	pid_t machine;

	front.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (front.null < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -1;
	terminal = !tcgetattr(STDIN_FILENO, &found);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	fflush(NULL);
	machine = fork();
	front.word = ends[machine > 0];
	close(ends[machine <= 0]);
	if (machine > 0) {
		watch(front.word, WORD);
		return stand_in_front(machine, front.word, &all,
				      terminal ? &found : NULL);
	}
	if (!machine) {
		if (watch(front.word, SIGKILL) || getppid() != self)
			_exit(MACHINE_FAILED);
		config->leave = leave;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return -1;
}
