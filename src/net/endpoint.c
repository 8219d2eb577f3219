/* SPDX-License-Identifier: Apache-2.0 */
#include "net/endpoint.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

int endpoint_connect(const char *path)
{
	struct sockaddr_un address;
	int rc = address_of(path, &address), fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int bind_at(const char *path)
{
	struct sockaddr_un address;
	int rc = address_of(path, &address), fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)) &&
	    !listen(fd, 1))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

int endpoint_listen(const char *path)
{
	int fd = bind_at(path), other;

	if (fd != -EADDRINUSE)
		return fd;
	other = endpoint_connect(path);
	if (other >= 0)
		close(other);
	if (other != -ECONNREFUSED || unlink(path))
		return -EADDRINUSE;
	return bind_at(path);
}

int endpoint_open(const char *mode, const char *path, bool listens,
		  struct net_error *error)
{
	int fd = listens ? endpoint_listen(path) : endpoint_connect(path);

	if (fd >= 0)
		return fd;
	if (fd == -EADDRINUSE)
		return net_error_set(error, "--net %s=%s: somebody has "
				     "that already; leave out listen to "
				     "connect", mode, path);
	if (fd == -ECONNREFUSED || (fd == -ENOENT && !listens))
		return net_error_set(error, "--net %s=%s: nobody listens "
				     "there; start the other side first, or "
				     "say listen", mode, path);
	return net_error_set(error, "--net %s=%s: %s", mode, path,
			     strerror(-fd));
}
