/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw terminal, on a pseudo-terminal: given back on every way out.
 */
#include "host/linux/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "fake/test.h"

static int master;
static char name[64];

static int setup(void **state)
{
	master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) || unlockpt(master) ||
	    ptsname_r(master, name, sizeof(name)))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	close(master);
	return 0;
}

static bool is_raw(void)
{
	struct termios now;

	/* The line discipline is one for both ends. */
	return !tcgetattr(master, &now) &&
	       !(now.c_lflag & (ICANON | ECHO | ISIG));
}

static bool becomes(bool raw)
{
	int i;

	for (i = 0; i < 500 && is_raw() != raw; i++)
		usleep(10000);
	return is_raw() == raw;
}

/* Our children want to die of these, which cmocka catches or nohup(1) has set
 * to be ignored. */
static void let_signals_kill(void)
{
	signal(SIGHUP, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGILL, SIG_DFL);
	signal(SIGFPE, SIG_DFL);
}

/* The leader of a new session on the terminal; its descriptor. */
static int lead_session(void)
{
	int fd;

	alarm(20);
	let_signals_kill();
	setsid();
	fd = open(name, O_RDWR);
	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0))
		_exit(9);
	return fd;
}

/* A child with the terminal as its own and raw, that then does `f`. */
static pid_t in_child(void (*f)(void))
{
	pid_t pid = fork();

	if (!pid) {
		if (terminal_raw(lead_session()))
			_exit(9);
		f();
		_exit(8);
	}
	return pid;
}

static int end_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void restore_and_leave(void)
{
	bool raw = is_raw();

	terminal_restore();
	terminal_restore();
	_exit(raw && !is_raw() ? 0 : 1);
}

static void call_exit(void)
{
	exit(0);
}

static void wait_for_signals(void)
{
	for (;;)
		pause();
}

static void crash(void)
{
	raise(SIGSEGV);
}

static void restores_when_asked(void **state)
{
	assert_int_equal(end_of(in_child(restore_and_leave)), 0);
	assert_false(is_raw());
}

static void restores_at_exit(void **state)
{
	assert_int_equal(end_of(in_child(call_exit)), 0);
	assert_false(is_raw());
}

static void restores_on_fatal_signals(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	unsigned int i;

	for (i = 0; i < 4; i++) {
		pid_t pid = in_child(wait_for_signals);
		int status;

		assert_true(becomes(true));
		kill(pid, signals[i]);
		status = end_of(pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
		assert_false(is_raw());
	}
}

static void restores_in_a_crash(void **state)
{
	int status = end_of(in_child(crash));

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_false(is_raw());
}

static bool stops(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
}

/*
 * The part of a shell: only a process whose parent is in its session, in
 * another process group, can be stopped. Gives the number of a failed step.
 */
static int shell(void)
{
	int fd = lead_session(), i;
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, 0);
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(fd, getpid());
		signal(SIGTTOU, SIG_DFL);
		alarm(20);
		if (terminal_raw(fd))
			_exit(9);
		wait_for_signals();
	}
	if (!becomes(true))
		return 1;
	for (i = 0; i < 2; i++) { /* twice: the handlers stay */
		kill(pid, SIGTSTP);
		if (!stops(pid) || is_raw())
			return 2;
		kill(pid, SIGCONT);
		if (!becomes(true))
			return 3;
	}
	kill(pid, SIGSTOP);
	if (!stops(pid))
		return 4;
	kill(pid, SIGCONT);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return is_raw() ? 5 : 0;
}

static void gives_it_back_while_stopped(void **state)
{
	pid_t pid = fork();

	if (!pid)
		_exit(shell());
	assert_int_equal(end_of(pid), 0);
}

static void own_handler(int number)
{
	terminal_restore();
	_exit(77);
}

static void keeps_handlers_of_others(void **state)
{
	struct sigaction own = { .sa_handler = own_handler }, before;
	pid_t pid;
	int status;

	sigaction(SIGTERM, &own, &before);
	pid = in_child(wait_for_signals);
	sigaction(SIGTERM, &before, NULL);
	assert_true(becomes(true));
	kill(pid, SIGTERM);
	status = end_of(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 77);
	assert_false(is_raw());
}

static void leaves_files_alone(void **state)
{
	int fd = open("/dev/null", O_RDWR);

	assert_int_equal(terminal_raw(fd), 0);
	assert_false(is_raw());
	terminal_restore();
	close(fd);
	assert_int_equal(terminal_raw(-1), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(restores_when_asked),
		TEST(restores_at_exit),
		TEST(restores_on_fatal_signals),
		TEST(restores_in_a_crash),
		TEST(gives_it_back_while_stopped),
		TEST(keeps_handlers_of_others),
		TEST(leaves_files_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
