/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/linux/jail.h"
#include "host/linux/passing.h"
#include "host/linux/program.h"
#include "net/address.h"

#define START_LOCK "start.lock"
#define TRIES	   5
#define PATIENCE   10000 /* ms for an answer */

static int connect_socket(int folder)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path),
		 "/proc/self/fd/%d/" WIRE_SOCKET, folder);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* --- starting it ----------------------------------------------------------------- */

/*
 * In the child: a group of its own, so that no terminal's Ctrl-C reaches it,
 * and no child of ours. The session stays: Linux shares processors out between
 * sessions (sched(7), autogroup), and the switch works for machines of this
 * one. Only calls that a fork of many threads may make.
 */
static _Noreturn void become_switch(const char *program, const char *name,
				    int out)
{
	char *const words[] = { (char *)"lodge", (char *)"net",
				(char *)"serve", (char *)name, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setpgid(0, 0);
	signal(SIGHUP, SIG_IGN);
	if (fork())
		_exit(0);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(out, 2) < 0 || chdir("/"))
		_exit(1);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	execv(program, words);
	_exit(1);
}

/* Until it says that it is ready, or why it cannot be. */
static int hear(int in, struct net_error *error)
{
	char text[sizeof(error->text)] = "";
	size_t length = 0;
	ssize_t n;

	while (length < sizeof(text) - 1 && !strchr(text, '\n') &&
	       ((n = read(in, text + length, sizeof(text) - 1 - length)) > 0 ||
		(n < 0 && errno == EINTR)))
		length += n > 0 ? (size_t)n : 0;
	text[strcspn(text, "\n")] = '\0';
	if (!strcmp(text, "ready"))
		return 0;
	return net_error_set(error, "%.200s",
			     *text ? text : "its switch did not start");
}

static int start(const char *name, struct net_error *error)
{
	char program[PATH_MAX];
	int out[2], err;
	pid_t child;

	if (!program_beside(program, "lodge"))
		return net_error_set(error, "the program lodge is not beside "
				     "this one");
	if (pipe2(out, O_CLOEXEC))
		return net_error_set(error, "pipe: %s", strerror(errno));
	child = fork();
	if (!child)
		become_switch(program, name, out[1]);
	close(out[1]);
	if (child < 0) {
		err = net_error_set(error, "fork: %s", strerror(errno));
	} else {
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
		err = hear(out[0], error);
	}
	close(out[0]);
	return err;
}

int connect_start(const char *name)
{
	struct net_error error;

	return start(name, &error) ? EIO : 0;
}

/* A machine in its sandbox has it started outside. */
static int have_started(const char *name, struct net_error *error)
{
	int err;

	if (!jail_entered())
		return start(name, error);
	err = jail_help(CONNECT_START, name);
	return err ? net_error_set(error, "its switch: %s", strerror(-err)) :
		     0;
}

/* A connection; one machine at a time starts a switch. -1 with the error. */
static int find_switch(int folder, const char *name, struct net_error *error)
{
	int fd = connect_socket(folder), lock, err = 0;

	if (fd >= 0)
		return fd;
	lock = openat(folder, START_LOCK,
		      O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX)) {
		net_error_set(error, START_LOCK ": %s", strerror(errno));
	} else {
		fd = connect_socket(folder);
		if (fd < 0)
			err = have_started(name, error);
		if (fd < 0 && !err)
			fd = connect_socket(folder);
		if (fd < 0 && !err)
			net_error_set(error, "its switch: %s", strerror(-fd));
	}
	if (lock >= 0)
		close(lock);
	return fd < 0 ? -1 : fd;
}

/* --- saying hello ------------------------------------------------------------------ */

/* The answer and the descriptor with it (-1: none). 0; 1: the other ended. */
static int receive(int fd, struct wire_welcome *answer, int *memory)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t size;

	*memory = -1;
	if (poll(&wait, 1, PATIENCE) <= 0)
		return 1;
	size = passing_receive(fd, answer, sizeof(*answer), memory,
			       MSG_DONTWAIT);
	answer->text[WIRE_TEXT - 1] = '\0';
	return size != sizeof(*answer);
}

/* Who has the port: the switch sees no other processes, so we look. */
static void tell_holder(const struct wire_hello *hello, uint32_t taken,
			struct net_error *error)
{
	struct sockaddr_storage host[ADDRESS_HOSTS];
	struct net_publish publish;
	unsigned int hosts;

	if (!taken || taken > hello->publishes ||
	    !address_parse_publish(hello->publish[taken - 1], &publish))
		return;
	hosts = address_hosts(&publish, host);
	for (unsigned int i = 0; i < hosts; i++) {
		address_taken(&publish, &host[i], error);
		if (strstr(error->text, " has port "))
			return;
	}
}

/* 0; 1: the switch was about to end; -1 with the error. */
static int greet(struct connection *c, const struct wire_hello *hello,
		 struct net_error *error)
{
	struct wire_welcome answer = { 0 };
	int memory, err;

	if (send(c->fd, hello, sizeof(*hello), MSG_NOSIGNAL) !=
	    sizeof(*hello))
		return 1;
	if (receive(c->fd, &answer, &memory)) {
		err = 1;
	} else if (answer.refused) {
		err = net_error_set(error, "%s", answer.text);
		tell_holder(hello, answer.taken, error);
	} else {
		err = lane_map(&c->rings, memory);
		if (err)
			net_error_set(error, "its switch's memory: %s",
				      strerror(-err));
	}
	if (memory >= 0)
		close(memory);
	c->address = answer.address;
	return err < 0 ? -1 : err;
}

int connect_switch(struct connection *c, int folder, const char *name,
		   const struct wire_hello *hello, struct net_error *error)
{
	int err = 1;

	for (unsigned int i = 0; err > 0 && i < TRIES; i++) {
		c->fd = find_switch(folder, name, error);
		if (c->fd < 0)
			return -1;
		err = greet(c, hello, error);
		if (err) {
			close(c->fd);
			c->fd = -1;
		}
	}
	return err > 0 ? net_error_set(error, "its switch does not answer")
		       : err;
}

void connect_end(struct connection *c)
{
	lane_unmap(&c->rings);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

json_t *connect_state(int folder)
{
	const struct wire_hello question = { .what = WIRE_STATUS };
	struct pollfd wait = { .fd = connect_socket(folder),
			       .events = POLLIN };
	json_t *state = NULL;
	char *text = malloc(WIRE_STATE);
	ssize_t size;

	if (text && wait.fd >= 0 &&
	    send(wait.fd, &question, sizeof(question), MSG_NOSIGNAL) > 0 &&
	    poll(&wait, 1, PATIENCE) > 0) {
		size = recv(wait.fd, text, WIRE_STATE, MSG_DONTWAIT);
		state = size > 0 ? json_loadb(text, (size_t)size, 0, NULL)
				 : NULL;
	}
	if (wait.fd >= 0)
		close(wait.fd);
	free(text);
	return state;
}

void connect_rules(int folder)
{
	const struct wire_hello news = { .what = WIRE_RULES };
	struct pollfd wait = { .fd = connect_socket(folder),
			       .events = POLLIN };

	if (wait.fd < 0)
		return;
	if (send(wait.fd, &news, sizeof(news), MSG_NOSIGNAL) > 0)
		poll(&wait, 1, PATIENCE);
	close(wait.fd);
}
