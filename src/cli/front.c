/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/front.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/machine.h"

#define LEFT SIGRTMIN /* the machine's word to the front */

/* One process has one front, and its callback takes no context. */
static pid_t front;

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
static int stand_in_front(pid_t machine, const sigset_t *all,
			  const struct termios *found)
{
	siginfo_t info;
	int status;

	for (;;) {
		if (sigwaitinfo(all, &info) < 0)
			continue;
		if (info.si_signo == LEFT && info.si_pid == machine)
			return MACHINE_OK;
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
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	fprintf(stderr, "\nlodge: %s goes on; lodge console %s shows it again, "
			"lodge stop %s ends it\n", name, name, name);
	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	setsid();
	prctl(PR_SET_PDEATHSIG, 0);
	kill(front, LEFT);
	front = 0;
}

int front_split(struct machine_config *config)
{
	const pid_t self = getpid();
	sigset_t all, before;
	struct termios found;
	bool terminal;
	pid_t machine;

	terminal = !tcgetattr(STDIN_FILENO, &found);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	fflush(NULL);
	machine = fork();
	if (machine > 0)
		return stand_in_front(machine, &all,
				      terminal ? &found : NULL);
	if (!machine) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != self)
			_exit(MACHINE_FAILED);
		front = self;
		config->leave = leave;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return -1;
}
