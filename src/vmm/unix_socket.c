/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening Unix sockets. Whether a socket is in use is seen by connecting
 * to it: a dead process's refuses.
 */
#include "vmm/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/jail.h"

#define LOCK_TRIES 100
#define LOCK_NS	   10000000

/*
 * Two that find the same dead socket at once must not remove each other's
 * new one, so they take turns by a lock on the folder. Others may hold such
 * a lock for as long as they like: after a second we go on without it.
 */
static int lock_folder(const char *path)
{
	const struct timespec while_held = { .tv_nsec = LOCK_NS };
	const char *slash = strrchr(path, '/');
	char folder[UNIX_PATH_MAX + 1] = ".";
	int fd;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s",
			 (int)(slash - path) + 1, path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
			break;
		nanosleep(&while_held, NULL);
	}
	return fd;
}

static bool is_left_over(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);
	struct stat status;
	bool dead = false;

	if (fd < 0)
		return false;
	if (!lstat(address->sun_path, &status) && S_ISSOCK(status.st_mode))
		dead = connect(fd, (const struct sockaddr *)address,
			       sizeof(*address)) &&
		       errno == ECONNREFUSED;
	close(fd);
	return dead;
}

/* 0 or a negative errno. */
static int bind_and_listen(struct unix_socket *sock,
			   const struct sockaddr_un *address)
{
	sock->fd = socket(AF_UNIX,
			  SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock->fd < 0)
		return -errno;
	if (is_left_over(address))
		unlink(address->sun_path);
	/* The file gets the mode of the socket: who may connect is decided. In a
	 * sandbox the broker sees to that. */
	if ((!jail_entered() && fchmod(sock->fd, 0600)) ||
	    bind(sock->fd, (const struct sockaddr *)address,
		 sizeof(*address)))
		return -errno;
	if (lstat(address->sun_path, &sock->found) ||
	    listen(sock->fd, SOMAXCONN)) {
		int rc = -errno;

		unlink(address->sun_path);
		return rc;
	}
	strcpy(sock->path, address->sun_path);
	return 0;
}

int unix_socket_listen(struct unix_socket *sock, const char *what,
		       const char *path, struct vmm_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat status;
	int lock, rc;

	*sock = (struct unix_socket){ .fd = -1 };
	if (!*path || strlen(path) > UNIX_PATH_MAX)
		return vmm_error_set(error, "%s %s: give a path of 1 to %d "
				     "characters", what, path, UNIX_PATH_MAX);
	strcpy(address.sun_path, path);
	lock = lock_folder(path);
	rc = bind_and_listen(sock, &address);
	if (lock >= 0)
		close(lock);
	if (!rc)
		return 0;
	unix_socket_close(sock);
	if (rc != -EADDRINUSE)
		return vmm_error_set(error, "%s %s: %s", what, path,
				     strerror(-rc));
	if (!lstat(path, &status) && !S_ISSOCK(status.st_mode))
		return vmm_error_set(error, "%s %s: is a file, and no socket; "
				     "give another path", what, path);
	return vmm_error_set(error, "%s %s: in use; give another path", what,
			     path);
}

void unix_socket_close(struct unix_socket *sock)
{
	struct stat status;

	if (sock->fd >= 0)
		close(sock->fd);
	sock->fd = -1;
	if (sock->path[0] && !lstat(sock->path, &status) &&
	    status.st_dev == sock->found.st_dev &&
	    status.st_ino == sock->found.st_ino)
		unlink(sock->path);
	sock->path[0] = '\0';
}
