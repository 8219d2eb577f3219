/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command of the host's: its start, the bytes between it and the host, and
 * how it ends. When the host is gone, the command is ended.
 *
 * Input comes as far as the host was told of what went on (AGENT_WINDOW), so
 * that signals never wait behind bytes that the command does not read.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "agent/guest.h"

#define PATIENCE_MS 2000 /* from a hang-up to a kill */
#define GRACE_MS    100	 /* a terminal's last words */
#define CTRL_D	    "\4"

static const char path_default[] =
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct command {
	struct session *session;
	struct user user;
	pid_t pid;
	int ended; /* signalfd: a child has */
	int to;	   /* its input; -1: closed */
	int from[2]; /* its output and errors; -1: closed */
	bool input_ends, exited;
	int status;
	int left[2]; /* bytes that it left in pipes */
	uint32_t start, used;
	uint8_t input[AGENT_WINDOW];
	uint8_t data[AGENT_DATA_MAX];
};

/* --- its start ----------------------------------------------------------------- */

/* The command's ends. */
struct ends {
	int in, out, err;
	int told; /* where to write why it did not start */
};

static bool add_variable(struct strings *all, const char *name,
			 const char *value)
{
	char text[300];
	int size = snprintf(text, sizeof(text), "%s=%s", name, value);

	return strings_add(all, text, (size_t)size < sizeof(text) ?
					      (size_t)size : sizeof(text) - 1);
}

/* A later one of the same name counts: getenv(3) takes the first. */
static bool make_environment(const struct session *session,
			     const struct user *user, struct strings *all)
{
	bool done = true;

	for (unsigned int i = session->variables.count; i-- && done;) {
		const char *text = session->variables.string[i];

		done = strings_add(all, text, strlen(text));
	}
	return done && add_variable(all, "HOME", user->home) &&
	       add_variable(all, "USER", user->name) &&
	       add_variable(all, "LOGNAME", user->name) &&
	       add_variable(all, "SHELL", user->shell) &&
	       strings_add(all, path_default, strlen(path_default));
}

/* Of two with one name the first stays: many programs take the last. */
static void drop_doubles(struct strings *all)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < all->count; i++) {
		size_t size = strcspn(all->string[i], "=") + 1;
		unsigned int j = 0;

		while (j < kept && strncmp(all->string[j], all->string[i],
					   size))
			j++;
		if (j == kept)
			all->string[kept++] = all->string[i];
	}
	all->count = kept;
	all->string[kept] = NULL;
}

static void tell_error(int fd, const char *what)
{
	char text[AGENT_TEXT_MAX];
	int error = errno;
	int size;

	memcpy(text, &error, sizeof(error));
	size = snprintf(text + sizeof(error), sizeof(text) - sizeof(error),
			"%s: %s", what, strerror(error));
	if (size >= (int)(sizeof(text) - sizeof(error)))
		size = (int)(sizeof(text) - sizeof(error)) - 1;
	if (write(fd, text, sizeof(error) + (size_t)size) < 0)
		_exit(126);
	_exit(127);
}

static void to_work(const struct session *session, const struct user *user,
		    int told)
{
	if (session->folder) {
		if (!chdir(session->folder))
			return;
		if (errno == ENOENT) /* which is the command's */
			errno = ENOTDIR;
		tell_error(told, session->folder);
	} else if (chdir(user->home) && chdir("/")) {
		tell_error(told, "/");
	}
}

/* In the child. */
static _Noreturn void become_command(const struct command *command,
				     const struct ends *ends,
				     struct strings *environment)
{
	const struct session *session = command->session;
	char login[sizeof(command->user.shell) + 1];
	char *shell[] = { login, NULL };
	const char *base = strrchr(command->user.shell, '/');
	sigset_t none;

	setsid();
	if (session->terminal && ioctl(ends->in, TIOCSCTTY, 0))
		tell_error(ends->told, "terminal");
	if (dup2(ends->in, 0) < 0 || dup2(ends->out, 1) < 0 ||
	    dup2(ends->err, 2) < 0)
		tell_error(ends->told, "dup2");
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (user_become(&command->user))
		tell_error(ends->told, command->user.name);
	to_work(session, &command->user, ends->told);
	environ = environment->string;
	if (session->words.count) {
		execvp(session->words.string[0], session->words.string);
		tell_error(ends->told, session->words.string[0]);
	}
	snprintf(login, sizeof(login), "-%s",
		 base ? base + 1 : command->user.shell);
	execv(command->user.shell, shell);
	tell_error(ends->told, command->user.shell);
	_exit(127);
}

static void close_two(int fd[2])
{
	for (int i = 0; i < 2; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
}

static void set_size(int terminal, uint16_t rows, uint16_t columns)
{
	const struct winsize size = { .ws_row = rows, .ws_col = columns };

	ioctl(terminal, TIOCSWINSZ, &size);
}

/* 0, or -1 with errno and nothing open. */
static int open_terminal(struct command *command, struct ends *ends)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	const char *name;

	if (master < 0)
		return -1;
	name = grantpt(master) || unlockpt(master) ? NULL : ptsname(master);
	ends->in = name ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
	if (ends->in < 0 || fchown(ends->in, command->user.uid, (gid_t)-1)) {
		close(master);
		return -1;
	}
	ends->out = ends->err = ends->in;
	set_size(master, command->session->rows, command->session->columns);
	command->from[0] = master;
	command->to = fcntl(master, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int open_pipes(struct command *command, struct ends *ends)
{
	int pipes[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };

	for (int i = 0; i < 3; i++) {
		if (!pipe2(pipes[i], O_CLOEXEC))
			continue;
		for (int j = 0; j < i; j++)
			close_two(pipes[j]);
		return -1;
	}
	ends->in = pipes[0][0];
	command->to = pipes[0][1];
	command->from[0] = pipes[1][0];
	ends->out = pipes[1][1];
	command->from[1] = pipes[2][0];
	ends->err = pipes[2][1];
	return 0;
}

static void close_ends(const struct ends *ends)
{
	close(ends->in);
	if (ends->out != ends->in)
		close(ends->out);
	if (ends->err != ends->in)
		close(ends->err);
}

/* What the child has said of its start: false, and the host was told. */
static bool has_started(struct command *command, int fd)
{
	char text[AGENT_TEXT_MAX + 1];
	ssize_t n = read(fd, text, sizeof(text) - 1);
	int error = 0;

	if (n < (ssize_t)sizeof(error))
		return true;
	text[n] = '\0';
	memcpy(&error, text, sizeof(error));
	waitpid(command->pid, NULL, 0);
	frame_send_failure(command->session->fd, error, "%s",
			   text + sizeof(error));
	return false;
}

static bool start(struct command *command)
{
	struct session *session = command->session;
	struct strings environment = { 0 };
	struct ends ends;
	int told[2];

	if (!make_environment(session, &command->user, &environment) ||
	    pipe2(told, O_CLOEXEC) ||
	    (session->terminal ? open_terminal(command, &ends) :
				 open_pipes(command, &ends))) {
		frame_send_failure(session->fd, errno,
				   "cannot start a command: %s",
				   strerror(errno));
		return false;
	}
	drop_doubles(&environment);
	ends.told = told[1];
	command->pid = fork();
	if (!command->pid)
		become_command(command, &ends, &environment);
	close_ends(&ends);
	close(told[1]);
	if (command->pid > 0)
		return has_started(command, told[0]);
	frame_send_failure(session->fd, errno, "cannot start a command: %s",
			   strerror(errno));
	return false;
}

/* --- what the host says --------------------------------------------------------- */

static bool take_input(struct command *command, const struct frame *frame)
{
	if (!frame->size)
		command->input_ends = true;
	if (command->used - command->start + frame->size > AGENT_WINDOW)
		return false;
	if (AGENT_WINDOW - command->used < frame->size) {
		command->used -= command->start;
		memmove(command->input, command->input + command->start,
			command->used);
		command->start = 0;
	}
	memcpy(command->input + command->used, frame->data, frame->size);
	command->used += frame->size;
	return true;
}

/* False: it speaks no sense. */
static bool take_frame(struct command *command, const struct frame *frame)
{
	switch (frame->type) {
	case AGENT_INPUT:
		return take_input(command, frame);
	case AGENT_SIGNAL:
		if (frame->size == 1 && frame->data[0] < NSIG &&
		    !command->exited)
			kill(-command->pid, frame->data[0]);
		return frame->size == 1;
	case AGENT_RESIZE:
		if (frame->size == 4 && command->session->terminal)
			set_size(command->from[0], frame_get16(frame->data),
				 frame_get16(frame->data + 2));
		return frame->size == 4;
	default:
		return false;
	}
}

/* False: the host is gone. */
static bool hear(struct command *command)
{
	struct session *session = command->session;
	long n = frame_fill(&session->in, session->fd);
	struct frame frame;
	int rc;

	if (n == -EAGAIN)
		return true;
	while (n > 0 && (rc = frame_next(&session->in, &frame)))
		if (rc < 0 || !take_frame(command, &frame))
			return false;
	return n > 0;
}

/* --- bytes ----------------------------------------------------------------------- */

static void close_input(struct command *command)
{
	if (command->session->terminal &&
	    write(command->to, CTRL_D, strlen(CTRL_D)) < 0)
		command->session->terminal = true; /* it is gone already */
	close(command->to);
	command->to = -1;
}

/* Gives the command what it takes; input that nobody takes is forgotten. */
static void feed(struct command *command)
{
	uint8_t number[4];
	uint32_t waits = command->used - command->start;
	ssize_t n = 0;

	if (waits)
		n = write(command->to, command->input + command->start, waits);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		close(command->to);
		command->to = -1;
		n = waits;
	}
	command->start += (uint32_t)n;
	if (n) {
		frame_put32(number, (uint32_t)n);
		frame_put(&command->session->out, AGENT_TAKEN, number,
			  sizeof(number));
	}
	if (command->to >= 0 && command->input_ends &&
	    command->start == command->used)
		close_input(command);
}

/* Input of a command that has closed its own: gone, so the host goes on. */
static void forget_input(struct command *command)
{
	uint32_t waits = command->used - command->start;
	uint8_t number[4];

	if (command->to >= 0 || !waits)
		return;
	command->start = command->used;
	frame_put32(number, waits);
	frame_put(&command->session->out, AGENT_TAKEN, number, sizeof(number));
}

static void tell(struct command *command, int which)
{
	size_t size = sizeof(command->data);
	ssize_t n;

	if (command->exited && !command->session->terminal &&
	    (size_t)command->left[which] < size)
		size = (size_t)command->left[which];
	n = size ? read(command->from[which], command->data, size) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(command->from[which]);
		command->from[which] = -1;
		return;
	}
	if (command->exited)
		command->left[which] -= (int)n;
	frame_put(&command->session->out,
		  which ? AGENT_ERRORS : AGENT_OUTPUT, command->data,
		  (uint32_t)n);
}

/* What it left in its pipes is its own; others may hold them for ever. */
static void see_exit(struct command *command)
{
	struct signalfd_siginfo info;

	if (read(command->ended, &info, sizeof(info)) < 0)
		return;
	if (command->exited ||
	    waitpid(command->pid, &command->status, WNOHANG) != command->pid)
		return;
	command->exited = true;
	for (int i = 0; i < 2; i++) {
		if (command->from[i] < 0 || command->session->terminal)
			continue;
		if (ioctl(command->from[i], FIONREAD, &command->left[i]) ||
		    !command->left[i]) {
			close(command->from[i]);
			command->from[i] = -1;
		}
	}
}

/* --- the loop --------------------------------------------------------------------- */

enum watched { SOCKET, ENDED, TO, FROM, ERRORS, WATCHED };

static void watch(const struct command *command,
		  struct pollfd ready[WATCHED])
{
	const struct frame_out *out = &command->session->out;
	/* Of each descriptor's data, and of an acknowledgement. */
	bool room = frame_room(out) > 3 * (AGENT_DATA_MAX + AGENT_FRAME_HEAD);
	bool feeds = command->start < command->used || command->input_ends;

	ready[SOCKET] = (struct pollfd){ command->session->fd,
					 POLLIN | (out->used ? POLLOUT : 0),
					 0 };
	ready[ENDED] = (struct pollfd){ command->ended, POLLIN, 0 };
	ready[TO] = (struct pollfd){ feeds && room ? command->to : -1,
				     POLLOUT, 0 };
	for (int i = 0; i < 2; i++)
		ready[FROM + i] = (struct pollfd){
			room ? command->from[i] : -1, POLLIN, 0 };
}

/* One turn. False: the host is gone. */
static bool turn(struct command *command, int timeout)
{
	struct pollfd ready[WATCHED];
	int n;

	watch(command, ready);
	n = poll(ready, WATCHED, timeout);
	if (!n && command->exited && command->from[0] >= 0 &&
	    !command->session->out.used) {
		close(command->from[0]);
		command->from[0] = -1;
	}
	if (n <= 0)
		return true;
	if (ready[SOCKET].revents & ~POLLOUT && !hear(command))
		return false;
	for (int i = 0; i < 2; i++)
		if (ready[FROM + i].revents)
			tell(command, i);
	if (ready[ENDED].revents)
		see_exit(command);
	if (ready[TO].revents && command->to >= 0)
		feed(command);
	forget_input(command);
	return !frame_flush(&command->session->out, command->session->fd);
}

static bool is_over(const struct command *command)
{
	return command->exited && command->from[0] < 0 &&
	       command->from[1] < 0;
}

/* Until it has ended, and all of it is told. False: the host is gone. */
static bool serve(struct command *command)
{
	while (!is_over(command)) {
		int timeout = command->exited && command->session->terminal ?
				      GRACE_MS : -1;

		if (!turn(command, timeout))
			return false;
	}
	return true;
}

static void tell_end(struct command *command)
{
	struct session *session = command->session;
	bool killed = WIFSIGNALED(command->status);
	uint8_t number = (uint8_t)(killed ? WTERMSIG(command->status) :
					    WEXITSTATUS(command->status));
	struct pollfd ready = { .fd = session->fd, .events = POLLOUT };

	while (session->out.used && poll(&ready, 1, -1) >= 0)
		if (frame_flush(&session->out, session->fd))
			return;
	frame_send(session->fd, killed ? AGENT_KILLED : AGENT_EXITED, &number,
		   1);
}

/* Hangs up on the command; kills what does not heed it. */
static void end(struct command *command)
{
	struct pollfd ready = { .fd = command->ended, .events = POLLIN };

	close(command->to);
	close_two(command->from);
	if (command->exited)
		return;
	kill(-command->pid, SIGHUP);
	kill(-command->pid, SIGCONT);
	poll(&ready, 1, PATIENCE_MS);
	kill(-command->pid, SIGKILL);
}

static void set_nonblocking(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void serve_exec(struct session *session)
{
	static struct command command; /* zeros: no part of the program's file */
	sigset_t child;

	command.session = session;
	command.to = command.from[0] = command.from[1] = -1;
	if (!user_find(&command.user, session->user)) {
		frame_send_failure(session->fd, EINVAL, "no user %s",
				   session->user);
		return;
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	command.ended = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!start(&command))
		return;
	frame_put(&session->out, AGENT_STARTED, NULL, 0);
	set_nonblocking(command.to);
	set_nonblocking(command.from[0]);
	set_nonblocking(command.from[1]);
	/* What came with the request. */
	if (frame_flush(&session->out, session->fd) == 0) {
		struct frame frame;

		while (frame_next(&session->in, &frame) > 0 &&
		       take_frame(&command, &frame))
			;
		if (serve(&command)) {
			tell_end(&command);
			return;
		}
	}
	end(&command);
}
