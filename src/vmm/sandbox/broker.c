/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of a broker: the machine's, which starts it and grants, and
 * its own process, one thread that waits for calls and for connections.
 */
#include "vmm/sandbox/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/linux/passing.h"
#include "vmm/control/control.h"
#include "vmm/sandbox/broker_impl.h"

#define POLL_ROOM (2 * CONTROL_CLIENTS_MAX + 32)

struct broker {
	int fd;
	int process; /* a pidfd */
};

struct message {
	uint32_t what; /* 0: the last one */
	char path[PATH_MAX + 1];
};

/* --- its process -------------------------------------------------------------------- */

struct own {
	int machine; /* the socket to it: it ends with the machine */
	struct grants grants;
	struct calls calls;
};

/* A message, with a descriptor (-1: none). 0; -1: the machine is gone. */
static int hear(int fd, struct message *message, int *given)
{
	ssize_t n;

	do
		n = passing_receive(fd, message, sizeof(*message) - 1, given,
				    0);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof(message->what))
		return -1;
	message->path[n - (ssize_t)sizeof(message->what)] = '\0';
	return 0;
}

/* Until the guest is about to run. */
static int prepare(struct own *own)
{
	struct message message;
	int given;

	for (;;) {
		if (hear(own->machine, &message, &given))
			return -1;
		if (!message.what)
			break;
		if (message.what == BROKER_BEGIN)
			broker_begin(&own->calls, message.path);
		else if (message.what == BROKER_MOVES)
			own->grants.moves = strdup(message.path);
		else
			grants_add(&own->grants, message.what, message.path);
	}
	broker_begin_helping(&own->calls);
	own->calls.listener = given;
	own->calls.relay = relay_new(&own->grants);
	return given < 0 ? -1 : broker_confine();
}

static void serve_call(const struct calls *calls)
{
	struct seccomp_notif note = { 0 };

	if (!ioctl(calls->listener, SECCOMP_IOCTL_NOTIF_RECV, &note))
		calls_make(calls, &note);
}

static void serve(struct own *own)
{
	struct pollfd fd[POLL_ROOM];
	size_t count;

	for (;;) {
		fd[0] = (struct pollfd){ own->machine, POLLIN, 0 };
		fd[1] = (struct pollfd){ own->calls.listener, POLLIN, 0 };
		count = own->calls.relay ? relay_poll(own->calls.relay, fd + 2,
						POLL_ROOM - 2) : 0;
		if (poll(fd, (nfds_t)(2 + count), -1) < 0)
			continue;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			; /* servers of folders */
		/* It says nothing any more: this is its end. */
		if (fd[0].revents || fd[1].revents & ~POLLIN)
			return;
		if (own->calls.relay)
			relay_serve(own->calls.relay, fd + 2);
		if (fd[1].revents)
			serve_call(&own->calls);
	}
}

/* The name that ps(1) shows, as far as there is room. */
static void rename_process(void)
{
	static const char name[] = "lodge-broker";
	size_t room = strlen(program_invocation_name);

	prctl(PR_SET_NAME, name, 0, 0, 0);
	memset(program_invocation_name, 0, room);
	memcpy(program_invocation_name, name,
	       room < sizeof(name) ? room : sizeof(name));
}

/* Nothing of the machine's stays open here, and no key reaches it. */
static _Noreturn void become(int fd, const struct broker_helper *helpers)
{
	struct own own = { .machine = 3, .calls.helpers = helpers };
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	fd = fcntl(fd, F_DUPFD, own.machine + 1);
	setpgid(0, 0);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	dup2(fd, own.machine);
	close_range(4, ~0u, 0);
	fcntl(own.machine, F_SETFD, FD_CLOEXEC);
	rename_process();
	own.calls.grants = &own.grants;
	if (!prepare(&own))
		serve(&own);
	_exit(0);
}

/* --- the machine's end ---------------------------------------------------------------- */

int broker_start(struct broker **out, const struct broker_helper *helpers)
{
	struct broker *broker = calloc(1, sizeof(*broker));
	int ends[2];
	pid_t child;

	*out = NULL;
	if (!broker)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		free(broker);
		return -errno;
	}
	child = fork();
	if (!child) {
		close(ends[0]);
		become(ends[1], helpers);
	}
	close(ends[1]);
	broker->fd = ends[0];
	broker->process = child < 0 ? -1 : pidfd_open(child, 0);
	if (broker->process < 0) {
		broker_free(broker);
		return -EAGAIN;
	}
	*out = broker;
	return 0;
}

static int say(struct broker *broker, uint32_t what, const char *path,
	       int given)
{
	const struct iovec bytes[2] = { { &what, sizeof(what) },
					{ (void *)path, strlen(path) } };
	ssize_t n;

	do
		n = passing_send(broker->fd, bytes, 2, given, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

void broker_grant(struct broker *broker, unsigned int what, const char *path)
{
	char base[PATH_MAX], whole[PATH_MAX];

	if (*path == '/' || what & (BROKER_INTERNET | BROKER_ADDRESS | BROKER_BARE)) {
		say(broker, what, path, -1);
	} else if (getcwd(base, sizeof(base)) &&
		   snprintf(whole, sizeof(whole), "%s/%s", base, path) <
			   (int)sizeof(whole)) {
		say(broker, what, whole, -1);
	}
}

void broker_grant_help(struct broker *broker, const char *verb,
		       const char *subject)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), JAIL_HELP "%s/%s", verb, subject);
	broker_grant(broker, BROKER_READ, path);
}

void broker_begin_help(struct broker *broker, const char *verb,
		       const char *subject)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/%s/%s", verb, subject);
	say(broker, BROKER_BEGIN, path, -1);
}

int broker_serve(struct broker *broker, int listener)
{
	return say(broker, 0, "", listener);
}

int broker_process(const struct broker *broker)
{
	return broker->process;
}

void broker_free(struct broker *broker)
{
	if (!broker)
		return;
	close(broker->fd);
	if (broker->process >= 0)
		close(broker->process);
	free(broker);
}
