/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of control sockets (unix(7)). Whether a socket belongs to a
 * running machine is seen by connecting to it: a dead process refuses. The
 * folder's flock(2) keeps two that start at once from taking the same name; a
 * machine that was taken over may keep it, so that nobody waits for it for long.
 */
#include "vmm/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/data.h"
#include "vm/host.h"

#define SUFFIX	".sock"
#define TRIES	1000 /* names with a number */
#define PATIENCE 3000 /* ms for the lock, which is held for some */
#define PAUSE	 20   /* ms */

bool runtime_name_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	size_t length = strlen(name);

	return length && length <= RUNTIME_NAME_MAX && !strchr(".-", name[0]) &&
	       strspn(name, letters) == length;
}

/* --- the folder ------------------------------------------------------------ */

static void folder_path(char *path, size_t size)
{
	static const char session[] = "/run/user/";
	const char *base = getenv("XDG_RUNTIME_DIR");
	bool host = data_of_host();

	/* Root's are the same in a session of root's and without one. */
	if (host && base && !strncmp(base, session, sizeof(session) - 1))
		base = NULL;
	if (base && base[0] == '/')
		snprintf(path, size, "%s/lodge", base);
	else if (host)
		snprintf(path, size, "/run/lodge");
	else
		snprintf(path, size, "/tmp/lodge-%u", (unsigned int)geteuid());
}

void runtime_path(char path[RUNTIME_PATH_MAX], const char *name,
		  const char *suffix)
{
	size_t length;

	folder_path(path, RUNTIME_PATH_MAX);
	length = strlen(path);
	snprintf(path + length, RUNTIME_PATH_MAX - length, "/%s.%s", name,
		 suffix);
}

int runtime_open(struct vmm_error *error)
{
	static const char mend[] = "set XDG_RUNTIME_DIR to a folder of your "
				   "own";
	char path[300];
	struct stat st;
	int fd;

	folder_path(path, sizeof(path));
	if (mkdir(path, 0700) && errno != EEXIST)
		return vmm_error_set(error, "control folder %s: %s; %s", path,
				     strerror(errno), mend);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		vmm_error_set(error, "control folder %s: %s; %s", path,
			      strerror(errno), mend);
	} else if (st.st_uid != geteuid()) {
		vmm_error_set(error, "control folder %s: is not yours; %s",
			      path, mend);
	} else if (st.st_mode & 077) {
		vmm_error_set(error, "control folder %s: others may use it; "
			      "chmod 700 %s", path, path);
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* --- sockets --------------------------------------------------------------- */

static void address_of(struct sockaddr_un *address, int folder,
		       const char *name)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof(address->sun_path),
		 "/proc/self/fd/%d/%s" SUFFIX, folder, name);
}

static int connect_as(int folder, const char *name, int flags)
{
	struct sockaddr_un address;
	int rc;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		return -errno;
	address_of(&address, folder, name);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

int runtime_connect(int folder, const char *name)
{
	return connect_as(folder, name, 0);
}

int runtime_connect_now(int folder, const char *name)
{
	return connect_as(folder, name, SOCK_NONBLOCK);
}

/* A queue of connections that is full (-EAGAIN) is a running machine's. */
static bool in_use(int folder, const char *name)
{
	int fd = connect_as(folder, name, SOCK_NONBLOCK);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -EAGAIN || fd == -EINPROGRESS;
}

static int remove_socket(int folder, const char *name)
{
	char file[RUNTIME_NAME_MAX + sizeof(SUFFIX)];

	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	return unlinkat(folder, file, 0) && errno != ENOENT ? -errno : 0;
}

/*
 * Without it in the end: two that then start at once with the same name do harm
 * to each other alone.
 */
static void lock(int folder)
{
	static const struct timespec pause = { .tv_nsec = PAUSE * 1000000 };

	for (unsigned int waited = 0; flock(folder, LOCK_EX | LOCK_NB);
	     waited += PAUSE) {
		if (errno == EWOULDBLOCK && waited < PATIENCE) {
			nanosleep(&pause, NULL);
			continue;
		}
		host_log(HOST_LOG_WARN, "the folder of control sockets is "
			 "locked by a process that does not let go; it is "
			 "used all the same");
		return;
	}
}

/* 0, -EADDRINUSE when a machine has the name, or another negative errno. */
static int listen_as(struct runtime_socket *sock, const char *name)
{
	struct sockaddr_un address;
	int rc;

	if (in_use(sock->folder, name))
		return -EADDRINUSE;
	rc = remove_socket(sock->folder, name);
	if (rc)
		return rc;
	sock->fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock->fd < 0)
		return -errno;
	address_of(&address, sock->folder, name);
	if (bind(sock->fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(sock->fd, SOMAXCONN)) {
		rc = -errno;
		close(sock->fd);
		sock->fd = -1;
		return rc;
	}
	snprintf(sock->name, sizeof(sock->name), "%s", name);
	return 0;
}

static int listen_any(struct runtime_socket *sock, const char *name)
{
	int rc = listen_as(sock, name);

	for (unsigned int i = 2; rc == -EADDRINUSE && i < TRIES; i++) {
		char numbered[RUNTIME_NAME_MAX + 12];

		snprintf(numbered, sizeof(numbered), "%.50s-%u", name, i);
		rc = listen_as(sock, numbered);
	}
	return rc;
}

int runtime_listen(struct runtime_socket *sock, const char *name, bool any,
		   struct vmm_error *error)
{
	int rc;

	sock->fd = -1;
	sock->folder = runtime_open(error);
	if (sock->folder < 0)
		return -1;
	lock(sock->folder);
	rc = any ? listen_any(sock, name) : listen_as(sock, name);
	flock(sock->folder, LOCK_UN);
	if (!rc)
		return 0;
	close(sock->folder);
	sock->folder = -1;
	if (rc == -EADDRINUSE)
		return vmm_error_set(error, "name %s: a running machine has "
				     "it; give another with --name", name);
	return vmm_error_set(error, "control socket of %s: %s", name,
			     strerror(-rc));
}

void runtime_close(struct runtime_socket *sock)
{
	if (sock->fd >= 0) {
		lock(sock->folder);
		remove_socket(sock->folder, sock->name);
		close(sock->fd);
		flock(sock->folder, LOCK_UN);
	}
	if (sock->folder >= 0)
		close(sock->folder);
	sock->fd = -1;
	sock->folder = -1;
}

void runtime_sweep(int folder, const char *name, const char *suffix)
{
	char file[RUNTIME_NAME_MAX + 32];

	lock(folder);
	if (!in_use(folder, name)) {
		remove_socket(folder, name);
		snprintf(file, sizeof(file), "%s.%s", name, suffix);
		unlinkat(folder, file, 0);
	}
	flock(folder, LOCK_UN);
}

static int is_socket(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > strlen(SUFFIX) &&
	       length <= RUNTIME_NAME_MAX + strlen(SUFFIX) &&
	       !strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX);
}

int runtime_each(int folder, void (*use)(void *ctx, const char *name),
		 void *ctx)
{
	struct dirent **entry;
	int count = scandirat(folder, ".", &entry, is_socket, alphasort);

	for (int i = 0; i < count; i++) {
		char name[RUNTIME_NAME_MAX + 1];

		snprintf(name, sizeof(name), "%.*s",
			 (int)(strlen(entry[i]->d_name) - strlen(SUFFIX)),
			 entry[i]->d_name);
		if (runtime_name_valid(name))
			use(ctx, name);
		free(entry[i]);
	}
	if (count >= 0)
		free(entry);
	return count < 0 ? -1 : 0;
}
