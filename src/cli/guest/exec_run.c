/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running part of lodge exec: one loop over the agent's connection, our
 * standard input and outputs, and signals. Nothing waits anywhere else, so
 * that a key or a signal is heard whatever is blocked.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/guest/exec.h"
#include "cli/machine/managed.h"
#include "cli/option.h"
#include "host/linux/signals.h"
#include "host/linux/terminal.h"

#define INTERRUPTS_MAX 3 /* then the guest is not asked any more */

struct running {
	struct exec *exec;
	struct agent agent;
	struct frame_out out;
	int signals;
	bool input_ends, size_changed;
	uint32_t window; /* bytes of input that may go */
	unsigned int interrupts;
	/* What our outputs have not taken yet; of agent.in. */
	int pending_fd;
	const uint8_t *pending;
	uint32_t pending_size;
	int status; /* -1: it runs */
	uint8_t data[AGENT_DATA_MAX];
};

static void fail(struct running *r, int status, const char *text)
{
	terminal_restore();
	cli_error("%s: %s: %s", r->exec->command, r->exec->machine, text);
	r->status = status;
}

/* --- what goes to the guest ----------------------------------------------------- */

static void put_size(uint8_t data[4])
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	frame_put16(data, size.ws_row);
	frame_put16(data + 2, size.ws_col);
}

static int send_text(struct running *r, uint8_t type, const char *text,
		     struct vmm_error *error)
{
	return text ? agent_send(&r->agent, type, text, strlen(text), error) :
		      0;
}

static int send_terminal(struct running *r, struct vmm_error *error)
{
	const char *term = getenv("TERM");
	char variable[100];
	uint8_t size[4];

	if (!r->exec->terminal)
		return 0;
	put_size(size);
	snprintf(variable, sizeof(variable), "TERM=%s", term ? term : "vt100");
	return agent_send(&r->agent, AGENT_TERMINAL, size, sizeof(size),
			  error) ||
	       send_text(r, AGENT_VARIABLE, variable, error);
}

/* All but its last word, begin(). */
static int send_request(struct running *r, struct vmm_error *error)
{
	const struct exec *exec = r->exec;
	int rc = send_terminal(r, error);

	for (unsigned int i = 0; i < exec->variables && !rc; i++)
		rc = send_text(r, AGENT_VARIABLE, exec->variable[i], error);
	for (int i = 0; i < exec->words && !rc; i++)
		rc = send_text(r, AGENT_WORD, exec->word[i], error);
	if (!rc)
		rc = send_text(r, AGENT_FOLDER, exec->folder, error) ||
		     send_text(r, AGENT_USER, exec->user, error);
	return rc;
}

/* From here on there is a command, and signals are its own. */
static void begin(struct running *r)
{
	frame_put(&r->out, AGENT_EXEC, NULL, 0);
	if (r->exec->interactive)
		return;
	r->input_ends = true;
	frame_put(&r->out, AGENT_INPUT, NULL, 0);
}

static void read_input(struct running *r)
{
	size_t size = sizeof(r->data) < r->window ? sizeof(r->data) :
						    r->window;
	ssize_t n = read(STDIN_FILENO, r->data, size);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		n = 0;
		r->input_ends = true;
	}
	r->window -= (uint32_t)n;
	frame_put(&r->out, AGENT_INPUT, r->data, (uint32_t)n);
}

static void take_signal(struct running *r)
{
	struct signalfd_siginfo info;
	uint8_t number;

	if (read(r->signals, &info, sizeof(info)) != sizeof(info))
		return;
	number = (uint8_t)info.ssi_signo;
	if (number == SIGWINCH) {
		r->size_changed = true;
		return;
	}
	if (number == SIGINT || number == SIGTERM || number == SIGQUIT)
		r->interrupts++;
	/* Whoever loses its connection is hung up on. */
	if (number == SIGHUP || r->interrupts == INTERRUPTS_MAX)
		r->status = EXEC_SIGNAL + number;
	else
		frame_put(&r->out, AGENT_SIGNAL, &number, 1);
}

static void put_news(struct running *r)
{
	uint8_t size[4];

	if (!r->size_changed || !r->exec->terminal)
		return;
	put_size(size);
	if (frame_put(&r->out, AGENT_RESIZE, size, sizeof(size)))
		r->size_changed = false;
}

/* --- what comes from it ----------------------------------------------------------- */

static void take_failure(struct running *r, const struct frame *frame)
{
	char text[AGENT_TEXT_MAX];
	int error = agent_failure(frame, text);
	int status = error == ENOENT ? EXEC_NOT_FOUND : EXEC_NOT_RUN;

	fail(r, error ? status : EXEC_LOST,
	     text[0] ? text : "its agent speaks no sense");
}

/* False: no sense. */
static bool take_frame(struct running *r, const struct frame *frame)
{
	switch (frame->type) {
	case AGENT_STARTED:
		if (r->exec->terminal && r->exec->interactive)
			terminal_raw_whole(STDIN_FILENO);
		return true;
	case AGENT_OUTPUT:
	case AGENT_ERRORS:
		r->pending_fd = frame->type == AGENT_OUTPUT ? STDOUT_FILENO :
							      STDERR_FILENO;
		r->pending = frame->data;
		r->pending_size = frame->size;
		return true;
	case AGENT_TAKEN:
		if (frame->size != 4 || frame_get32(frame->data) >
						AGENT_WINDOW - r->window)
			return false;
		r->window += frame_get32(frame->data);
		return true;
	case AGENT_EXITED:
	case AGENT_KILLED:
		if (frame->size != 1)
			return false;
		r->status = frame->data[0] +
			    (frame->type == AGENT_KILLED ? EXEC_SIGNAL : 0);
		return true;
	case AGENT_FAILED:
		take_failure(r, frame);
		return true;
	default:
		return false;
	}
}

/* What there is, as long as our outputs take it. */
static void take_frames(struct running *r)
{
	struct frame frame;
	int rc = 0;

	while (r->status < 0 && !r->pending_size && rc >= 0) {
		rc = frame_next(&r->agent.in, &frame);
		if (!rc)
			return;
		if (rc > 0 && !take_frame(r, &frame))
			rc = -EPROTO;
	}
	if (rc < 0)
		fail(r, EXEC_LOST, "its agent speaks no sense");
}

static void hear(struct running *r)
{
	long n = frame_fill(&r->agent.in, r->agent.fd);

	if (n == -EAGAIN)
		return;
	if (n <= 0)
		fail(r, EXEC_LOST, "lost its agent: the machine or the agent "
		     "has ended");
}

/* A pipe that takes some takes as much as this; a file takes all. */
static size_t write_limit(int fd)
{
	struct stat status;

	return !fstat(fd, &status) && S_ISREG(status.st_mode) ? SIZE_MAX :
								PIPE_BUF;
}

static void write_pending(struct running *r)
{
	size_t size = write_limit(r->pending_fd);
	ssize_t n;

	if (size > r->pending_size)
		size = r->pending_size;
	n = write(r->pending_fd, r->pending, size);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 && errno == EPIPE) {
		r->status = EXEC_SIGNAL + SIGPIPE;
	} else if (n < 0) {
		fail(r, EXEC_LOST, strerror(errno));
	} else {
		r->pending += n;
		r->pending_size -= (uint32_t)n;
	}
}

/* --- the loop --------------------------------------------------------------------- */

enum watched { SOCKET, SIGNALS, INPUT, OUTPUT, WATCHED };

static void turn(struct running *r)
{
	bool reads = !r->input_ends && r->window && !r->out.used;
	struct pollfd ready[WATCHED] = {
		[SOCKET] = { r->agent.fd, 0, 0 },
		[SIGNALS] = { r->signals, POLLIN, 0 },
		[INPUT] = { reads ? STDIN_FILENO : -1, POLLIN, 0 },
		[OUTPUT] = { r->pending_size ? r->pending_fd : -1, POLLOUT,
			     0 },
	};
	int rc;

	put_news(r);
	ready[SOCKET].events = (short)((r->pending_size ? 0 : POLLIN) |
				       (r->out.used ? POLLOUT : 0));
	if (!ready[SOCKET].events)
		ready[SOCKET].fd = -1; /* a hang-up must wait as well */
	if (poll(ready, WATCHED, -1) < 0)
		return;
	if (ready[SIGNALS].revents)
		take_signal(r);
	if (ready[OUTPUT].revents)
		write_pending(r);
	if (ready[SOCKET].revents & ~POLLOUT && !r->pending_size)
		hear(r);
	if (ready[INPUT].revents)
		read_input(r);
	take_frames(r);
	rc = r->status < 0 ? frame_flush(&r->out, r->agent.fd) : 0;
	/* Words that it may have said before it went are still to be read. */
	if (rc)
		r->out.start = r->out.used = 0;
}

static int watch_signals(sigset_t *before)
{
	static const int more[] = { SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, 0 };

	return signals_open(more, before);
}

static int run(struct running *r)
{
	struct vmm_error error;
	sigset_t before;

	if (send_request(r, &error)) {
		cli_error("%s: %s", r->exec->command, error.text);
		return EXEC_LOST;
	}
	r->signals = watch_signals(&before);
	begin(r);
	while (r->status < 0)
		turn(r);
	terminal_restore();
	close(r->signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r->status;
}

int exec_run(struct exec *exec)
{
	const struct agent_patience patience = { exec->timeout,
						 exec_tell_wait };
	struct running *r = calloc(1, sizeof(*r));
	struct vmm_error error;
	int status = EXEC_LOST;

	if (!r) {
		cli_error("%s: out of memory", exec->command);
		return status;
	}
	r->exec = exec;
	r->status = -1;
	r->window = AGENT_WINDOW;
	if (agent_open(&r->agent, exec->machine, &patience, &error)) {
		managed_explain(exec->machine, &error);
		cli_error("%s: %s", exec->command, error.text);
	} else {
		status = run(r);
		agent_close(&r->agent);
	}
	free(r);
	return status;
}
