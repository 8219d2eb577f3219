/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 as lodged speaks it: every answer has a length.
 */
#include "cli/daemon/api.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/daemon/elsewhere.h"
#include "cli/run/data.h"
#include "host/linux/data.h"
#include "vmm/control/remote.h"
#include "vmm/runtime.h"

#define HEADER_MAX  8192
#define ANSWER_MAX  (64u << 20)
#define START_MS    20000 /* for a lodged to serve */
#define TRY_MS	    20
#define NOT_THERE   "there is no machine %63[^; ]"

/* --- connecting ------------------------------------------------------------------- */

/* A connected socket, or -errno. */
static int connect_now(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[RUNTIME_PATH_MAX];
	struct vmm_error error;
	int fd, err, folder = runtime_open(&error);

	/* A folder that is not ours has no lodged of ours. */
	if (folder < 0)
		return -ENOENT;
	close(folder);
	runtime_path(path, "lodged", "api");
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* A name in the user's data folder; false: there is none. */
static bool kept_path(char *path, size_t size, const char *name)
{
	char folder[DATA_PATH_MAX];

	return !data_path(folder) &&
	       snprintf(path, size, "%s/%s", folder, name) < (int)size;
}

/* Without a registry lodged makes one of what the machines' folders say. */
static bool machines_are_kept(void)
{
	char path[PATH_MAX];

	return (kept_path(path, sizeof(path), "registry.db") &&
		!access(path, F_OK)) ||
	       (kept_path(path, sizeof(path), "vms") && !access(path, F_OK));
}

/* In the child: a process of its own, that says on `ready` how it went. */
static void become_daemon(const char *program, int ready)
{
	int null = open("/dev/null", O_RDWR);
	char number[16], log[PATH_MAX];
	int out = -1;

	if (kept_path(log, sizeof(log), "lodged.log"))
		out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			   0600);
	setsid();
	dup2(null, 0);
	dup2(out >= 0 ? out : null, 1);
	dup2(out >= 0 ? out : null, 2);
	fcntl(ready, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", ready);
	execl(program, "lodged", "--private", "--ready", number, NULL);
	dprintf(ready, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

/* What it says: "" when it has ended without a word. */
static void read_ready(int fd, char *line, size_t size)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	while (used + 1 < size && poll(&poll_fd, 1, START_MS) > 0) {
		n = read(fd, line + used, size - 1 - used);
		if (n <= 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (line[used - 1] == '\n') {
			used--;
			break;
		}
	}
	line[used] = '\0';
}

/* Another client may have started one at the same time: then that counts. */
static int wait_for_other(void)
{
	const struct timespec pause = { .tv_nsec = TRY_MS * 1000000 };
	int fd = connect_now();

	for (int i = 0; fd < 0 && i < START_MS / TRY_MS / 10; i++) {
		nanosleep(&pause, NULL);
		fd = connect_now();
	}
	return fd;
}

static int start_daemon(struct vmm_error *error)
{
	char program[PATH_MAX], line[600];
	int ready[2], fd;
	pid_t pid;

	if (!data_find(program, "lodged"))
		return vmm_error_set(error, "lodged is not beside lodge; "
				     "build or install it");
	if (pipe2(ready, O_CLOEXEC))
		return vmm_error_set(error, "lodged cannot be started: %s",
				     strerror(errno));
	pid = fork();
	if (!pid)
		become_daemon(program, ready[1]);
	close(ready[1]);
	line[0] = '\0';
	if (pid > 0)
		read_ready(ready[0], line, sizeof(line));
	close(ready[0]);
	/* One that refused is about to end, and nobody to connect to. */
	if (!strncmp(line, "ok ", 3)) {
		fprintf(stderr, "lodge: %s\n", line + 3);
		line[2] = '\0';
	}
	if (pid > 0 && *line && strcmp(line, "ok"))
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	fd = strcmp(line, "ok") ? wait_for_other() : connect_now();
	if (fd >= 0)
		return fd;
	return vmm_error_set(error, "lodged cannot be started: %.300s",
			     *line && strcmp(line, "ok") ? line :
							   strerror(-fd));
}

int api_open(struct api_client *client, enum api_start start,
	     struct vmm_error *error)
{
	client->token[0] = '\0';
	if (elsewhere()) {
		client->fd = elsewhere_token(client->token, error) ?
				     -1 :
				     elsewhere_open(error);
		return client->fd < 0 ? -1 : 0;
	}
	client->fd = connect_now();
	if (client->fd >= 0)
		return 0;
	if (client->fd != -ENOENT && client->fd != -ECONNREFUSED) {
		vmm_error_set(error, "lodged: %s", strerror(-client->fd));
		client->fd = -1;
		return -1;
	}
	client->fd = -1;
	if (start == API_IF_KEPT && !machines_are_kept())
		return 1;
	client->fd = start_daemon(error);
	return client->fd < 0 ? -1 : 0;
}

void api_close(struct api_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

/* --- requests ------------------------------------------------------------------------ */

static int send_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int send_request(const struct api_client *client, const char *method,
			const char *path, const char *body)
{
	char header[1024 + ELSEWHERE_TOKEN_MAX];
	int fd = client->fd;
	int length = snprintf(header, sizeof(header),
			      "%s %s HTTP/1.1\r\nHost: lodged\r\n"
			      "User-Agent: lodge/" LODGE_VERSION "\r\n"
			      "Content-Type: application/json\r\n"
			      "%s%s%s"
			      "Content-Length: %zu\r\n\r\n",
			      method, path,
			      *client->token ? "Authorization: Bearer " : "",
			      client->token, *client->token ? "\r\n" : "",
			      strlen(body));

	if (length < 0 || (size_t)length >= sizeof(header))
		return -1;
	return send_all(fd, header, (size_t)length) ||
		       send_all(fd, body, strlen(body)) ?
		       -1 :
		       0;
}

/* The value of a header's line; NULL: it is not there. */
static const char *header_value(const char *header, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = strstr(header, "\r\n"); line;
	     line = strstr(line + 2, "\r\n"))
		if (!strncasecmp(line + 2, name, length))
			return line + 2 + length;
	return NULL;
}

static ssize_t receive(int fd, void *data, size_t size)
{
	ssize_t n;

	do
		n = recv(fd, data, size, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The answer's body, to be freed; NULL: it broke off. */
static char *receive_answer(int fd, int *status)
{
	char header[HEADER_MAX + 1], *end, *body;
	const char *value;
	size_t used = 0, size, have;

	do {
		ssize_t n = receive(fd, header + used, HEADER_MAX - used);

		if (n <= 0)
			return NULL;
		used += (size_t)n;
		header[used] = '\0';
		end = strstr(header, "\r\n\r\n");
	} while (!end && used < HEADER_MAX);
	if (!end || sscanf(header, "HTTP/1.1 %d", status) != 1)
		return NULL;
	*end = '\0';
	value = header_value(header, "content-length:");
	size = value ? strtoul(value, NULL, 10) : ANSWER_MAX;
	have = used - (size_t)(end + 4 - header);
	body = size < ANSWER_MAX && have <= size ? malloc(size + 1) : NULL;
	if (!body)
		return NULL;
	memcpy(body, end + 4, have);
	while (have < size) {
		ssize_t n = receive(fd, body + have, size - have);

		if (n <= 0) {
			free(body);
			return NULL;
		}
		have += (size_t)n;
	}
	body[size] = '\0';
	return body;
}

/* The answer's text, to be freed; NULL: it broke off. */
static char *exchange(const struct api_client *client, const char *method,
		      const char *path, const char *body, int *status)
{
	if (send_request(client, method, path, body))
		return NULL;
	return receive_answer(client->fd, status);
}

/*
 * A lodged that ends may have taken a connection that it never serves. What
 * only reads is asked of the next one; of all else nobody knows whether it was
 * done.
 */
static char *exchange_again(struct api_client *client, const char *method,
			    const char *path, const char *body, int *status)
{
	struct vmm_error error;

	if (strcmp(method, "GET"))
		return NULL;
	api_close(client);
	if (api_open(client, API_START, &error))
		return NULL;
	return exchange(client, method, path, body, status);
}

/* Of a machine that lodge run made of an image, and that does not run. */
static bool disk_is_kept(const char *name)
{
	char path[PATH_MAX], entry[RUNTIME_NAME_MAX + sizeof("machines/")];

	snprintf(entry, sizeof(entry), "machines/%s", name);
	return !strchr(name, '/') && kept_path(path, sizeof(path), entry) &&
	       !access(path, F_OK);
}

/* A machine that lodged has not may be one of lodge run. */
static void tell_refusal(const char *detail, struct vmm_error *error)
{
	char name[RUNTIME_NAME_MAX + 1];

	vmm_error_set(error, "%s", detail ? detail : "lodged refused it");
	if (elsewhere() || sscanf(error->text, NOT_THERE, name) != 1)
		return;
	if (remote_is_there(name))
		vmm_error_set(error, "%s is a machine of lodge run, which is "
			      "not kept; lodge stop %s ends it", name, name);
	else if (disk_is_kept(name))
		vmm_error_set(error, "%s is a machine of lodge run, which does "
			      "not run; lodge image forget %s deletes its "
			      "disk", name, name);
}

json_t *api_call(struct api_client *client, const char *method,
		 const char *path, json_t *body, int *status,
		 struct vmm_error *error)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : strdup("");
	char *reply = NULL;
	json_t *answer;

	json_decref(body);
	*status = 0;
	if (text)
		reply = exchange(client, method, path, text, status);
	if (text && !reply)
		reply = exchange_again(client, method, path, text, status);
	free(text);
	answer = reply ? json_loads(reply, 0, NULL) : NULL;
	free(reply);
	if (!answer) {
		vmm_error_set(error, "lodged ended before it answered; try "
				     "again");
		return NULL;
	}
	if (*status < 400)
		return answer;
	tell_refusal(json_string_value(json_object_get(answer, "detail")),
		     error);
	json_decref(answer);
	return NULL;
}

void api_vm_path(char *path, size_t size, const char *name, const char *more)
{
	api_path(path, size, "/v1/vms/", name, more);
}

void api_path(char *path, size_t size, const char *below, const char *name,
	      const char *more)
{
	size_t used = (size_t)snprintf(path, size, "%s", below);

	for (; *name && used + 4 < size; name++) {
		bool plain = strchr("-_.", *name) ||
			     (*name >= '0' && *name <= '9') ||
			     ((*name | 0x20) >= 'a' && (*name | 0x20) <= 'z');

		used += (size_t)snprintf(path + used, size - used,
					 plain ? "%c" : "%%%02X",
					 (unsigned char)*name);
	}
	snprintf(path + used, size - used, "%s", more);
}
