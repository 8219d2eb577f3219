/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NBD server's connections: who comes, who goes, and their bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "disk/nbd/impl.h"

#define HANDSHAKE_SECONDS 10 /* in which a client must have made up its mind */

/* --- bytes ------------------------------------------------------------------ */

bool nbd_receive(struct nbd_client *client, void *buf, size_t size)
{
	char *to = buf;

	while (size) {
		ssize_t n = recv(client->fd, to, size, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		size -= (size_t)n;
	}
	return true;
}

bool nbd_send(struct nbd_client *client, const void *buf, size_t size,
	      bool more)
{
	const char *from = buf;

	while (size) {
		ssize_t n = send(client->fd, from, size,
				 MSG_NOSIGNAL | (more ? MSG_MORE : 0));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			atomic_store(&client->dead, true);
			shutdown(client->fd, SHUT_RDWR);
			return false;
		}
		from += n;
		size -= (size_t)n;
	}
	return true;
}

/* --- clients ---------------------------------------------------------------- */

static void set_patience(int fd, unsigned int seconds)
{
	const struct timeval time = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

static void work(void *ctx)
{
	nbd_serve(ctx);
}

/* Whether a client is there, or its threads still are. Held: the mutex. */
static bool any_client(const struct nbd_server *server)
{
	for (unsigned int i = 0; i < NBD_CLIENTS; i++)
		if (server->client[i].fd >= 0 && !server->client[i].over)
			return true;
	return false;
}

static void attend(void *ctx)
{
	struct nbd_client *client = ctx;
	struct nbd_server *server = client->server;
	bool last;

	set_patience(client->fd, HANDSHAKE_SECONDS);
	if (nbd_negotiate(client)) {
		set_patience(client->fd, 0);
		for (unsigned int i = 0; i < NBD_THREADS - 1; i++)
			thread_start(&client->thread[i], "nbd", work, client);
		nbd_serve(client);
	}
	/* The others wait for a request that will not come. */
	shutdown(client->fd, SHUT_RDWR);
	for (unsigned int i = 0; i < NBD_THREADS - 1; i++)
		thread_join(&client->thread[i]);
	disk_flush(server->export.node);
	pthread_mutex_lock(&server->mutex);
	client->over = true;
	last = !any_client(server);
	pthread_mutex_unlock(&server->mutex);
	if (last && server->export.left)
		server->export.left(server->export.ctx);
}

/* Waits for the client's threads and frees its place. */
static void bury(struct nbd_client *client)
{
	thread_join(&client->main);
	pthread_mutex_destroy(&client->receiving);
	pthread_mutex_destroy(&client->sending);
	close(client->fd);
	*client = (struct nbd_client){ .fd = -1 };
}

/* A free place, those of clients that went included; NULL: none. */
static struct nbd_client *free_place(struct nbd_server *server)
{
	struct nbd_client *place = NULL;

	for (unsigned int i = 0; i < NBD_CLIENTS; i++) {
		struct nbd_client *client = &server->client[i];
		bool over;

		pthread_mutex_lock(&server->mutex);
		over = client->fd >= 0 && client->over;
		pthread_mutex_unlock(&server->mutex);
		if (over)
			bury(client);
		if (client->fd < 0)
			place = client;
	}
	return place;
}

static void welcome(struct nbd_server *server, int fd)
{
	struct nbd_client *client = free_place(server);

	if (!client) { /* the client sees the connection end */
		close(fd);
		return;
	}
	client->server = server;
	pthread_mutex_init(&client->receiving, NULL);
	pthread_mutex_init(&client->sending, NULL);
	pthread_mutex_lock(&server->mutex);
	client->fd = fd;
	pthread_mutex_unlock(&server->mutex);
	if (thread_start(&client->main, "nbd", attend, client)) {
		pthread_mutex_lock(&server->mutex);
		client->over = true;
		pthread_mutex_unlock(&server->mutex);
	}
}

static void accept_all(void *ctx)
{
	struct nbd_server *server = ctx;
	struct pollfd fds[2] = { { .fd = server->listener, .events = POLLIN },
				 { .fd = server->quit[0], .events = POLLIN } };

	for (;;) {
		int fd;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		if (!fds[0].revents)
			continue;
		fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			welcome(server, fd);
		else if (errno == EMFILE || errno == ENFILE)
			poll(&fds[1], 1, 100); /* somebody may close one */
	}
}

int nbd_server_create(struct nbd_server **server,
		      const struct nbd_export *export, int listener)
{
	struct nbd_server *s = calloc(1, sizeof(*s));
	int error;

	*server = NULL;
	if (!s)
		return -ENOMEM;
	s->export = *export;
	s->export.readonly |= export->node->readonly;
	s->listener = listener;
	for (unsigned int i = 0; i < NBD_CLIENTS; i++)
		s->client[i].fd = -1;
	if (strlen(export->name) > NBD_STRING_MAX ||
	    pipe2(s->quit, O_CLOEXEC)) {
		free(s);
		return -EINVAL;
	}
	pthread_mutex_init(&s->mutex, NULL);
	error = thread_start(&s->accepting, "nbd", accept_all, s);
	*server = s;
	if (error) {
		nbd_server_destroy(s);
		*server = NULL;
	}
	return error;
}

void nbd_server_destroy(struct nbd_server *server)
{
	if (!server)
		return;
	close(server->quit[1]); /* the other end hangs up */
	thread_join(&server->accepting);
	for (unsigned int i = 0; i < NBD_CLIENTS; i++)
		if (server->client[i].fd >= 0)
			shutdown(server->client[i].fd, SHUT_RDWR);
	for (unsigned int i = 0; i < NBD_CLIENTS; i++)
		if (server->client[i].fd >= 0)
			bury(&server->client[i]);
	close(server->quit[0]);
	pthread_mutex_destroy(&server->mutex);
	free(server);
}
