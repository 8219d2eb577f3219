/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the control protocol (docs/control.md), one request at a time.
 */
#include "vmm/control/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "host/linux/passing.h"
#include "vm/host.h"
#include "vmm/control/control.h"
#include "vmm/nearest.h"

#define CHUNK	    16384
#define ANSWER_MAX  (16u << 20)
#define GREET_LIMIT 10 /* seconds */
#define HELD	    "%s does not answer: its process is stopped; kill -CONT %d " \
		    "lets it go on"

static void set_limit(struct remote *remote, unsigned int seconds)
{
	const struct timeval limit = { .tv_sec = seconds };

	setsockopt(remote->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/*
 * More bytes into `in`: as recvmsg(2). Of descriptors that came along the last
 * is kept.
 */
static ssize_t receive(struct remote *remote, int *fd)
{
	ssize_t n;
	int came;

	if (remote->in_size - remote->in_used < CHUNK) {
		char *more = realloc(remote->in, remote->in_used + CHUNK);

		if (!more || remote->in_used > ANSWER_MAX) {
			errno = ENOMEM;
			return -1;
		}
		remote->in = more;
		remote->in_size = remote->in_used + CHUNK;
	}
	do
		n = passing_receive(remote->fd, remote->in + remote->in_used,
				    remote->in_size - remote->in_used, &came,
				    0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		remote->in_used += (size_t)n;
	if (came >= 0) {
		if (*fd >= 0)
			close(*fd);
		*fd = came;
	}
	return n;
}

static json_t *read_line(struct remote *remote, int *fd,
			 struct vmm_error *error)
{
	json_error_t why;
	json_t *object;
	char *end;
	ssize_t n;

	while (!remote->in_used ||
	       !(end = memchr(remote->in, '\n', remote->in_used))) {
		n = receive(remote, fd);
		if (n > 0)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			vmm_error_set(error, "%s does not answer",
				      remote->name);
		else
			vmm_error_set(error, "%s ended before it answered",
				      remote->name);
		return NULL;
	}
	object = json_loadb(remote->in, (size_t)(end - remote->in), 0, &why);
	remote->in_used -= (size_t)(end + 1 - remote->in);
	memmove(remote->in, end + 1, remote->in_used);
	if (!object)
		vmm_error_set(error, "%s does not speak the control protocol",
			      remote->name);
	return object;
}

static int check_greeting(struct remote *remote, struct vmm_error *error)
{
	int stray = -1;
	json_t *hello = read_line(remote, &stray, error);
	const json_t *refusal = json_object_get(hello, "error");
	json_int_t version =
		json_integer_value(json_object_get(hello, "version"));
	int rc = -1;

	if (hello && refusal)
		vmm_error_set(error, "%s: %s", remote->name,
			      json_string_value(
				      json_object_get(refusal, "message")));
	else if (hello && version != CONTROL_VERSION)
		vmm_error_set(error, "%s speaks version %lld of the control "
			      "protocol; use the lodge that started it",
			      remote->name, (long long)version);
	else if (hello)
		rc = 0;
	json_decref(hello);
	if (stray >= 0)
		close(stray);
	return rc;
}

#define NEAR_MAX 256 /* names that are looked at */

struct near {
	unsigned int count;
	char *name[NEAR_MAX];
};

static void take_name(void *ctx, const char *name)
{
	struct near *near = ctx;
	char *copy = near->count < NEAR_MAX ? strdup(name) : NULL;

	if (copy)
		near->name[near->count++] = copy;
}

/* No machine has it: another that runs may be meant. */
static int not_there(int folder, const char *name, struct vmm_error *error)
{
	struct near near = { 0 };
	const char *like;

	runtime_each(folder, take_name, &near);
	like = nearest_word(name, near.name, near.count, sizeof(near.name[0]));
	if (like)
		vmm_error_set(error, "no machine \"%s\" runs; did you mean "
			      "%s?", name, like);
	else
		vmm_error_set(error, "no machine \"%s\" runs; see lodge list",
			      name);
	for (unsigned int i = 0; i < near.count; i++)
		free(near.name[i]);
	return -1;
}

/* The process that listens; -1: it is not to be had. */
static int peer_of(const struct remote *remote)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(remote->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ||
	    peer.pid <= 0)
		return -1;
	return peer.pid;
}

/* Whether its process is held by a signal, and has not answered yet. */
static bool is_held(const struct remote *remote)
{
	struct pollfd ready = { remote->fd, POLLIN, 0 };
	char path[40], text[200] = "";
	const char *state;
	ssize_t n;
	int fd;

	if (poll(&ready, 1, 0) > 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", peer_of(remote));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	state = n > 0 ? strrchr(text, ')') : NULL;
	return state && (state[2] == 'T' || state[2] == 't');
}

static int open_in(struct remote *remote, int folder, const char *name,
		   struct vmm_error *error)
{
	*remote = (struct remote){ .fd = runtime_connect(folder, name) };
	strncpy(remote->name, name, sizeof(remote->name) - 1);
	if (remote->fd == -ECONNREFUSED)
		runtime_sweep(folder, name, "vsock");
	if (remote->fd == -ECONNREFUSED || remote->fd == -ENOENT)
		return not_there(folder, name, error);
	if (remote->fd < 0)
		return vmm_error_set(error, "machine %s: %s", name,
				     strerror(-remote->fd));
	set_limit(remote, GREET_LIMIT);
	if (is_held(remote))
		vmm_error_set(error, HELD, name, peer_of(remote));
	else if (!check_greeting(remote, error))
		return 0;
	remote_close(remote);
	return -1;
}

int remote_open(struct remote *remote, const char *name,
		struct vmm_error *error)
{
	int folder, rc;

	if (!runtime_name_valid(name))
		return vmm_error_set(error, "\"%.80s\" is no machine's name; "
				     "see lodge list", name);
	folder = runtime_open(error);
	if (folder < 0)
		return -1;
	rc = open_in(remote, folder, name, error);
	close(folder);
	return rc;
}

void remote_close(struct remote *remote)
{
	if (remote->fd >= 0)
		close(remote->fd);
	free(remote->in);
	*remote = (struct remote){ .fd = -1 };
}

static int send_line(struct remote *remote, const json_t *request,
		     struct vmm_error *error)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t size, done = 0;

	if (!text)
		return vmm_error_set(error, "%s: the request is not UTF-8",
				     remote->name);
	size = strlen(text) + 1;
	text[size - 1] = '\n'; /* where the string ended */
	if (size > CONTROL_LINE_MAX) {
		free(text);
		return vmm_error_set(error, "%s: too much at a time",
				     remote->name);
	}
	while (done < size) {
		ssize_t n = send(remote->fd, text + done, size - done,
				 MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			done += (size_t)n;
	}
	free(text);
	return done == size ? 0 : vmm_error_set(error, "%s ended",
						remote->name);
}

json_t *remote_call(struct remote *remote, const char *command, json_t *more,
		    unsigned int seconds, int *fd, struct vmm_error *error)
{
	json_t *request = json_pack("{siss}", "id", 1, "command", command);
	json_t *reply = NULL, *result;
	const json_t *refusal;
	int received = -1;

	json_object_update(request, more);
	json_decref(more);
	set_limit(remote, seconds);
	if (!send_line(remote, request, error))
		reply = read_line(remote, &received, error);
	json_decref(request);
	result = json_incref(json_object_get(reply, "result"));
	refusal = json_object_get(json_object_get(reply, "error"), "message");
	if (reply && !result)
		vmm_error_set(error, "%s: %s", remote->name,
			      refusal ? json_string_value(refusal) :
					"no result");
	json_decref(reply);
	if (fd)
		*fd = received;
	else if (received >= 0)
		close(received);
	return result;
}

static int process_of(const struct remote *remote)
{
	int pid = peer_of(remote);

	return pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
}

int remote_wait_end(struct remote *remote, unsigned int seconds)
{
	struct pollfd process = { process_of(remote), POLLIN, 0 };
	int stray = -1, rc;
	ssize_t n;

	set_limit(remote, seconds);
	do
		n = receive(remote, &stray);
	while (n > 0);
	if (stray >= 0)
		close(stray);
	rc = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? -1 : 0;
	/* It ends soon after its socket, and only then its disks are free. */
	if (!rc && process.fd >= 0)
		poll(&process, 1, seconds ? (int)seconds * 1000 : -1);
	if (process.fd >= 0)
		close(process.fd);
	return rc;
}

bool remote_is_there(const char *name)
{
	struct vmm_error error;
	int folder = runtime_name_valid(name) ? runtime_open(&error) : -1;
	int fd = -1;

	if (folder >= 0) {
		fd = runtime_connect_now(folder, name);
		close(folder);
	}
	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -EAGAIN || fd == -EINPROGRESS;
}

int remote_kill(const char *name, struct vmm_error *error)
{
	struct pollfd process = { -1, POLLIN, 0 };
	struct remote remote = { .fd = -1 };
	int folder = runtime_name_valid(name) ? runtime_open(error) : -1;
	int rc = -1;

	if (folder < 0)
		return -1;
	remote.fd = runtime_connect_now(folder, name);
	if (remote.fd >= 0)
		process.fd = process_of(&remote);
	if (process.fd >= 0)
		rc = (int)syscall(SYS_pidfd_send_signal, process.fd, SIGKILL,
				  NULL, 0);
	if (!rc)
		poll(&process, 1, GREET_LIMIT * 1000);
	if (rc)
		vmm_error_set(error, "%s cannot be killed: %s", name,
			      strerror(errno));
	if (process.fd >= 0)
		close(process.fd);
	if (!rc)
		runtime_sweep(folder, name, "vsock");
	close(folder);
	remote_close(&remote);
	return rc;
}

/* --- all of them ------------------------------------------------------------ */

#define EACH_MAX   256 /* that are asked at a time */
#define EACH_LIMIT 5   /* seconds for all of those */

struct each {
	int folder;
	void (*use)(void *ctx, const json_t *status);
	void *ctx;
	unsigned int count;
	struct remote remote[EACH_MAX];
	uint64_t until; /* host_monotonic_ns() */
};

/* One that lives and does not answer. */
static json_t *silent(const struct remote *remote)
{
	return json_pack("{ss ss si ss}", "name", remote->name, "state",
			 "silent", "pid", peer_of(remote), "reason",
			 is_held(remote) ? "its process is stopped" :
					   "does not answer");
}

/* What is left of the time that all have together, if little. */
static void set_rest(struct remote *remote, uint64_t until)
{
	uint64_t now = host_monotonic_ns();
	uint64_t us = now < until ? (until - now) / 1000 : 0;
	const struct timeval limit = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_usec = us % 1000000 ? (suseconds_t)(us % 1000000) : 1,
	};

	setsockopt(remote->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/* Those that end just now are passed, and so are others' of another version. */
static void hear_status(const struct each *each, struct remote *remote)
{
	struct vmm_error error;
	json_t *reply = NULL, *status = NULL;
	bool late = is_held(remote);

	set_rest(remote, each->until);
	errno = 0;
	if (!late && !check_greeting(remote, &error)) {
		set_rest(remote, each->until);
		errno = 0;
		reply = read_line(remote, &(int){ -1 }, &error);
	}
	late |= !reply && (errno == EAGAIN || errno == EWOULDBLOCK);
	if (late)
		status = silent(remote);
	else
		status = json_incref(json_object_get(reply, "result"));
	if (status)
		each->use(each->ctx, status);
	json_decref(status);
	json_decref(reply);
}

static void hear_all(struct each *each)
{
	each->until = host_monotonic_ns() + EACH_LIMIT * 1000000000ull;
	for (unsigned int i = 0; i < each->count; i++) {
		hear_status(each, &each->remote[i]);
		remote_close(&each->remote[i]);
	}
	each->count = 0;
}

/* Asks, and does not wait: one that hangs is not to hold up the others.
 * Sockets of dead processes are passed. */
static void ask_status(void *ctx, const char *name)
{
	static const char line[] = "{\"id\":1,\"command\":\"status\"}\n";
	struct each *each = ctx;
	struct remote *remote = &each->remote[each->count];

	*remote = (struct remote){
		.fd = runtime_connect_now(each->folder, name),
	};
	strncpy(remote->name, name, sizeof(remote->name) - 1);
	if (remote->fd == -ECONNREFUSED)
		runtime_sweep(each->folder, name, "vsock");
	if (remote->fd < 0)
		return;
	fcntl(remote->fd, F_SETFL, 0);
	if (send(remote->fd, line, sizeof(line) - 1, MSG_NOSIGNAL) < 0) {
		remote_close(remote);
		return;
	}
	if (++each->count == EACH_MAX)
		hear_all(each);
}

int remote_each(void (*use)(void *ctx, const json_t *status), void *ctx,
		struct vmm_error *error)
{
	struct each *each = calloc(1, sizeof(*each));
	int rc;

	if (!each)
		return vmm_error_set(error, "out of memory");
	*each = (struct each){ .use = use, .ctx = ctx };
	each->folder = runtime_open(error);
	if (each->folder < 0) {
		free(each);
		return -1;
	}
	rc = runtime_each(each->folder, ask_status, each);
	hear_all(each);
	close(each->folder);
	free(each);
	return rc ? vmm_error_set(error, "cannot list the control folder") : 0;
}
