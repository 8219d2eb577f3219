/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge-agent: what `lodge exec`, `cp` and others of the host talk to inside
 * of a guest, over its socket device (vsock(7)). docs/agent.md has the
 * protocol.
 *
 * It listens at a port that only root may take, and serves nobody but the
 * host: programs of the guest may have sockets of this family as well.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/guest.h"

#define SESSIONS_MAX 256
#define BACKLOG	     256

/* linux/vm_sockets.h, which a small C library has not. */
#define FAMILY	 40
#define CID_ANY	 0xffffffffu
#define CID_HOST 2u

struct address {
	sa_family_t family;
	uint16_t reserved;
	uint32_t port, cid;
	uint8_t flags, zero[3];
};

static int listen_at(uint32_t port)
{
	const struct address address = {
		.family = FAMILY,
		.port = port,
		.cid = CID_ANY,
	};
	int fd = socket(FAMILY, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (!bind(fd, (const struct sockaddr *)&address, sizeof(address)) &&
	    !listen(fd, BACKLOG))
		return fd;
	close(fd);
	return -1;
}

/* The next connection of the host; -1: none now. */
static int next_connection(int listener)
{
	struct address address = { 0 };
	socklen_t size = sizeof(address);
	int fd = accept4(listener, (struct sockaddr *)&address, &size,
			 SOCK_CLOEXEC);

	if (fd < 0 || address.cid == CID_HOST)
		return fd;
	close(fd);
	return -1;
}

static void serve(int listener, int fd, const sigset_t *mask)
{
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	close(listener);
	session_serve(fd);
	_exit(0);
}

/* Only there so that a wait ends. */
static void child_ended(int number)
{
}

static int run(int listener)
{
	struct pollfd ready = { .fd = listener, .events = POLLIN };
	unsigned int sessions = 0;
	sigset_t child, mask;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &mask);
	signal(SIGCHLD, child_ended);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		pid_t pid;
		int fd;

		while (sessions && waitpid(-1, NULL, WNOHANG) > 0)
			sessions--;
		ready.revents = 0;
		ready.fd = sessions < SESSIONS_MAX ? listener : -1;
		if (ppoll(&ready, 1, NULL, &mask) < 0 && errno != EINTR)
			return 1;
		fd = ready.revents ? next_connection(listener) : -1;
		if (fd < 0)
			continue;
		pid = fork();
		if (!pid)
			serve(listener, fd, &mask);
		if (pid > 0)
			sessions++;
		close(fd);
	}
}

int main(int argc, char **argv)
{
	int listener;

	if (argc > 1) {
		printf("lodge-agent %s: lets the host run commands here and "
		       "copy files\nusage: lodge-agent\n", LODGE_VERSION);
		return strcmp(argv[1], "--version") ? 2 : 0;
	}
	/* First, so that they are there when somebody asks for the guest. */
	shares_mount();
	listener = listen_at(AGENT_PORT);
	if (listener < 0) {
		fprintf(stderr, "lodge-agent: vsock port %d: %s\n", AGENT_PORT,
			strerror(errno));
		return 1;
	}
	return run(listener);
}
