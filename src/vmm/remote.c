/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the control protocol (docs/control.md), one request at a time.
 */
#include "vmm/remote.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "vmm/control.h"
#include "vmm/nearest.h"

#define CHUNK	    16384
#define ANSWER_MAX  (16u << 20)
#define GREET_LIMIT 10 /* seconds */

static void set_limit(struct remote *remote, unsigned int seconds)
{
	const struct timeval limit = { .tv_sec = seconds };

	setsockopt(remote->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/* Descriptors that came along: the last is kept, others closed. */
static void take_descriptor(struct msghdr *message, int *fd)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return;
	if (*fd >= 0)
		close(*fd);
	memcpy(fd, CMSG_DATA(c), sizeof(*fd));
}

/* More bytes into `in`: as recvmsg(2). */
static ssize_t receive(struct remote *remote, int *fd)
{
	struct iovec bytes;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (remote->in_size - remote->in_used < CHUNK) {
		char *more = realloc(remote->in, remote->in_used + CHUNK);

		if (!more || remote->in_used > ANSWER_MAX) {
			errno = ENOMEM;
			return -1;
		}
		remote->in = more;
		remote->in_size = remote->in_used + CHUNK;
	}
	bytes.iov_base = remote->in + remote->in_used;
	bytes.iov_len = remote->in_size - remote->in_used;
	do
		n = recvmsg(remote->fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		remote->in_used += (size_t)n;
		take_descriptor(&message, fd);
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
	if (!check_greeting(remote, error))
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

/* Of the process that listens; -1: it is not to be had. */
static int process_of(const struct remote *remote)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(remote->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ||
	    peer.pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, peer.pid, 0);
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

struct each {
	int folder;
	void (*use)(void *ctx, const json_t *status);
	void *ctx;
};

/* Sockets of dead processes, and machines that end just now, are passed. */
static void tell_status(void *ctx, const char *name)
{
	const struct each *each = ctx;
	struct vmm_error error;
	struct remote remote;
	json_t *status;

	if (open_in(&remote, each->folder, name, &error))
		return;
	status = remote_call(&remote, "status", NULL, GREET_LIMIT, NULL,
			     &error);
	if (status)
		each->use(each->ctx, status);
	json_decref(status);
	remote_close(&remote);
}

int remote_each(void (*use)(void *ctx, const json_t *status), void *ctx,
		struct vmm_error *error)
{
	struct each each = { .use = use, .ctx = ctx };
	int rc;

	each.folder = runtime_open(error);
	if (each.folder < 0)
		return -1;
	rc = runtime_each(each.folder, tell_status, &each);
	close(each.folder);
	return rc ? vmm_error_set(error, "cannot list the control folder") : 0;
}
