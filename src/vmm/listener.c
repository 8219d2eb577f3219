/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets by their users' names for them.
 */
#include "vmm/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- ports ---------------------------------------------------------------------- */

/* [ADDRESS:]PORT to two strings. */
static bool split(const char *where, char *host, size_t size,
		  const char **port)
{
	const char *colon = strrchr(where, ':');
	size_t length = colon ? (size_t)(colon - where) : 0;

	*port = colon ? colon + 1 : where;
	snprintf(host, size, "127.0.0.1");
	if (!**port || strspn(*port, "0123456789") != strlen(*port) ||
	    strtoul(*port, NULL, 10) > 65535)
		return false;
	if (!length)
		return true;
	if (length > 2 && where[0] == '[' && colon[-1] == ']') {
		where++;
		length -= 2;
	}
	if (length >= size)
		return false;
	memcpy(host, where, length);
	host[length] = '\0';
	return true;
}

static int bind_at(struct listener *l, const struct addrinfo *info,
		   const char *what, const char *where,
		   struct vmm_error *error)
{
	int one = 1;

	l->fd = socket(info->ai_family,
		       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return vmm_error_set(error, "%s port %s: %s", what, where,
				     strerror(errno));
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(l->fd, info->ai_addr, info->ai_addrlen))
		return 0;
	if (errno == EADDRINUSE)
		return vmm_error_set(error, "%s port %s: in use; give "
				     "another one, or 0 for any", what, where);
	return vmm_error_set(error, "%s port %s: %s", what, where,
			     strerror(errno));
}

static int bind_tcp(struct listener *l, const char *what, const char *where,
		    struct vmm_error *error)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *info;
	const char *port;
	char host[64];
	int rc;

	if (!split(where, host, sizeof(host), &port) ||
	    getaddrinfo(host, port, &hints, &info))
		return vmm_error_set(error, "%s port %s: give PORT, "
				     "ADDRESS:PORT with a numeric address, or "
				     "unix:PATH", what, where);
	rc = bind_at(l, info, what, where, error);
	freeaddrinfo(info);
	return rc;
}

/* --- either ----------------------------------------------------------------------- */

static int listen_unix(struct listener *l, const char *what, const char *path,
		       struct vmm_error *error)
{
	char name[40];

	snprintf(name, sizeof(name), "%s socket", what);
	if (unix_socket_listen(&l->file, name, path, error))
		return -1;
	l->fd = l->file.fd;
	return 0;
}

static int listen_tcp(struct listener *l, const char *what, const char *where,
		      int backlog, struct vmm_error *error)
{
	if (bind_tcp(l, what, where, error))
		return -1;
	if (!listen(l->fd, backlog))
		return 0;
	/* Two may have bound it at once. */
	if (errno == EADDRINUSE)
		return vmm_error_set(error, "%s port %s: in use; give "
				     "another one, or 0 for any", what, where);
	return vmm_error_set(error, "%s port %s: %s", what, where,
			     strerror(errno));
}

int listener_open(struct listener *l, const char *what, const char *where,
		  int backlog, struct vmm_error *error)
{
	int rc;

	*l = (struct listener)LISTENER_NONE;
	if (!strncmp(where, "unix:", 5))
		rc = listen_unix(l, what, where + 5, error);
	else
		rc = listen_tcp(l, what, where, backlog, error);
	if (rc)
		listener_close(l);
	return rc;
}

void listener_close(struct listener *l)
{
	if (l->fd >= 0 && l->file.fd < 0)
		close(l->fd);
	unix_socket_close(&l->file);
	l->fd = -1;
}

bool listener_is_local(const struct listener *l)
{
	struct sockaddr_storage address = { 0 };
	const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
	socklen_t size = sizeof(address);

	if (getsockname(l->fd, (struct sockaddr *)&address, &size))
		return false;
	switch (address.ss_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	case AF_INET6:
		return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	default:
		return false;
	}
}

void listener_name(const struct listener *l, char name[LISTENER_NAME_MAX])
{
	struct sockaddr_storage address;
	struct sockaddr *any = (struct sockaddr *)&address;
	socklen_t size = sizeof(address);
	char host[64], port[16];

	name[0] = '\0';
	if (l->file.fd >= 0)
		snprintf(name, LISTENER_NAME_MAX, "%s", l->file.path);
	else if (!getsockname(l->fd, any, &size) &&
		 !getnameinfo(any, size, host, sizeof(host), port,
			      sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(name, LISTENER_NAME_MAX, "%s%s%s:%s",
			 any->sa_family == AF_INET6 ? "[" : "", host,
			 any->sa_family == AF_INET6 ? "]" : "", port);
}
