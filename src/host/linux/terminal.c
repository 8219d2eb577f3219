/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw terminal and the signals that must not leave it raw; see
 * terminal.h, termios(3), and on job control the POSIX General Terminal
 * Interface (XBD chapter 11).
 */
#include "host/linux/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct {
	_Atomic bool raw;
	int fd;
	struct termios found;
	struct termios ours;
	bool at_exit; /* terminal_restore() is registered */
} terminal;

/*
 * tcsetattr() stops a process in the background (SIGTTOU); giving the
 * terminal back must not, so the signal is held meanwhile.
 */
static void set_attributes(const struct termios *attributes)
{
	sigset_t hold, before;
	int saved = errno;

	sigemptyset(&hold);
	sigaddset(&hold, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &hold, &before);
	while (tcsetattr(terminal.fd, TCSANOW, attributes) && errno == EINTR)
		continue;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
}

static bool in_foreground(void)
{
	return tcgetpgrp(terminal.fd) == getpgrp();
}

static void default_action(int number)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(number, &action, NULL);
}

/* Ends the process by the signal that it got. */
static void fatal(int number)
{
	terminal_restore();
	default_action(number);
	raise(number);
}

static void stop(int number);

static void handle(int number, void (*handler)(int number))
{
	struct sigaction action = { .sa_handler = handler,
				    .sa_flags = SA_RESTART };

	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

/* SIGTSTP: stop as asked, with the terminal as it was found. */
static void stop(int number)
{
	sigset_t this, before;
	int saved = errno;

	if (terminal.raw && in_foreground())
		set_attributes(&terminal.found);
	default_action(number);
	raise(number);
	sigemptyset(&this);
	sigaddset(&this, number);
	pthread_sigmask(SIG_UNBLOCK, &this, &before);
	/* Stopped here; SIGCONT lets us go on, and resume() runs for it. */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	handle(number, stop);
	errno = saved;
}

/* SIGCONT: the shell may have changed the terminal, whatever stopped us. */
static void resume(int number)
{
	int saved = errno;

	if (terminal.raw && in_foreground())
		set_attributes(&terminal.ours);
	errno = saved;
}

static void install(void)
{
	static const struct {
		int number;
		void (*handler)(int number);
	} signals[] = {
		{ SIGTERM, fatal }, { SIGINT, fatal },	 { SIGHUP, fatal },
		{ SIGQUIT, fatal }, { SIGSEGV, fatal },	 { SIGBUS, fatal },
		{ SIGILL, fatal },  { SIGFPE, fatal },	 { SIGABRT, fatal },
		{ SIGTSTP, stop },  { SIGCONT, resume },
	};
	unsigned int i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction present;

		if (!sigaction(signals[i].number, NULL, &present) &&
		    present.sa_handler == SIG_DFL)
			handle(signals[i].number, signals[i].handler);
	}
}

static int make_raw(int fd, tcflag_t output)
{
	if (terminal.raw || !isatty(fd))
		return 0;
	if (tcgetattr(fd, &terminal.found))
		return -errno;
	terminal.fd = fd;
	terminal.ours = terminal.found;
	terminal.ours.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP |
					     INLCR | IGNCR | ICRNL | IXON);
	terminal.ours.c_oflag &= ~output;
	terminal.ours.c_lflag &=
		~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	terminal.ours.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	terminal.ours.c_cflag |= CS8;
	terminal.ours.c_cc[VMIN] = 1;
	terminal.ours.c_cc[VTIME] = 0;
	if (!terminal.at_exit)
		terminal.at_exit = !atexit(terminal_restore);
	install();
	/* From here on a signal gives it back. */
	atomic_store(&terminal.raw, true);
	set_attributes(&terminal.ours);
	return 0;
}

int terminal_raw(int fd)
{
	return make_raw(fd, 0);
}

int terminal_raw_whole(int fd)
{
	return make_raw(fd, OPOST);
}

void terminal_restore(void)
{
	if (atomic_exchange(&terminal.raw, false))
		set_attributes(&terminal.found);
}
