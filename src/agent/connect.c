/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a TCP port of the guest's own, for the host: bytes go both
 * ways as they are once the host was told STARTED.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/guest.h"

#define CHUNK 65536

static int connect_to(uint16_t port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !connect(fd, (const struct sockaddr *)&address,
				sizeof(address)))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* All of it; false: nobody takes it. */
static bool send_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return true;
}

/* In a process for each way, so that none waits for the other. */
static void pass(int from, int to)
{
	static uint8_t data[CHUNK];
	ssize_t n;

	do
		n = read(from, data, sizeof(data));
	while (n > 0 ? send_all(to, data, (size_t)n) :
		       n < 0 && errno == EINTR);
	shutdown(to, SHUT_WR);
}

void serve_connect(struct session *session, uint16_t port)
{
	struct frame_in *in = &session->in;
	int fd = connect_to(port);
	pid_t sender;

	if (fd < 0) {
		session_failed(session, "cannot connect");
		return;
	}
	frame_send(session->fd, AGENT_STARTED, NULL, 0);
	sender = fork();
	if (!sender) {
		/* What came behind the request. */
		if (send_all(fd, in->bytes + in->start, in->used - in->start))
			pass(session->fd, fd);
		_exit(0);
	}
	/* Over is over: whoever answers no more is sent nothing more. */
	if (sender > 0) {
		pass(fd, session->fd);
		kill(sender, SIGKILL);
		waitpid(sender, NULL, 0);
	}
	close(fd);
}
