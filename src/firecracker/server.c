/* SPDX-License-Identifier: Apache-2.0 */
#include "firecracker/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "firecracker/http.h"

#define CLIENTS_MAX 16
#define READ_SIZE   4096

struct fc_client {
	struct fc_client *next;
	struct fc_server *server;
	int fd;
	struct http_reader reader;
	char *out; /* NULL: nothing is to be sent */
	size_t out_size, sent;
	bool last; /* that answer is the last one */
	/* What came behind the request that is being answered. */
	char more[READ_SIZE];
	size_t more_size;
};

static void drop(struct fc_client *client)
{
	struct fc_server *server = client->server;
	struct fc_client **at = &server->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	server->count--;
	loop_remove(server->loop, client->fd);
	close(client->fd);
	http_fini(&client->reader);
	free(client->out);
	free(client);
}

/* --- answers -------------------------------------------------------------------------- */

/* False: the client is gone. */
static bool flush(struct fc_client *client)
{
	ssize_t n = send(client->fd, client->out + client->sent,
			 client->out_size - client->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		return false;
	client->sent += n > 0 ? (size_t)n : 0;
	if (client->sent < client->out_size) {
		loop_change(client->server->loop, client->fd, LOOP_WRITE);
		return true;
	}
	free(client->out);
	client->out = NULL;
	loop_change(client->server->loop, client->fd, LOOP_READ);
	return !client->last;
}

static int put_answer(struct fc_client *client, const struct fc_answer *answer)
{
	char *body = answer->body ? json_dumps(answer->body, JSON_COMPACT) :
				    NULL;
	int size = asprintf(&client->out,
			    "HTTP/1.1 %d %s\r\nServer: lodge\r\n"
			    "Connection: %s\r\n", answer->status,
			    http_reason(answer->status),
			    client->last ? "close" : "keep-alive");
	char *whole = NULL;

	if (size >= 0 && body)
		size = asprintf(&whole, "%sContent-Type: application/json\r\n"
				"Content-Length: %zu\r\n\r\n%s", client->out,
				strlen(body), body);
	else if (size >= 0)
		size = asprintf(&whole, "%s%s\r\n", client->out,
				answer->status == 204 ? "" :
				"Content-Length: 0\r\n");
	free(body);
	free(client->out);
	client->out = size < 0 ? NULL : whole;
	client->out_size = size < 0 ? 0 : (size_t)size;
	client->sent = 0;
	return client->out ? 0 : -1;
}

/* A request is there, or cannot be. False: the client is gone. */
static bool answer(struct fc_client *client)
{
	struct fc_server *server = client->server;
	struct http_reader *reader = &client->reader;
	struct fc_answer answer;
	int rc;

	client->last = reader->close || reader->state == HTTP_BAD;
	if (reader->state == HTTP_BAD)
		fc_api_bad(server->api, reader->status, &answer);
	else
		fc_api_answer(server->api, reader->method, reader->path,
			      reader->body, reader->body_size, &answer);
	http_next(reader);
	rc = put_answer(client, &answer);
	json_decref(answer.body);
	if (server->answered)
		server->answered(server->ctx);
	return !rc && flush(client);
}

/* --- requests --------------------------------------------------------------------------- */

/* Curl waits a second for this before it sends a large body. */
static void go_on(struct fc_client *client)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (client->reader.state == HTTP_BODY && client->reader.expects)
		(void)!send(client->fd, line, sizeof(line) - 1,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	client->reader.expects = false;
}

/* Bytes that came, as far as no answer waits to be sent. */
static void take_more(struct fc_client *client)
{
	while (client->more_size && !client->out) {
		size_t used = http_take(&client->reader, client->more,
					client->more_size);

		client->more_size -= used;
		memmove(client->more, client->more + used, client->more_size);
		go_on(client);
		if (client->reader.state >= HTTP_READY && !answer(client)) {
			drop(client);
			return;
		}
	}
}

static void client_ready(void *ctx, uint32_t events)
{
	struct fc_client *client = ctx;
	ssize_t n;

	if (client->out) {
		if (!flush(client))
			drop(client);
		else
			take_more(client);
		return;
	}
	n = recv(client->fd, client->more, sizeof(client->more), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(client);
		return;
	}
	client->more_size = (size_t)n;
	take_more(client);
}

static void accept_client(void *ctx, uint32_t events)
{
	struct fc_server *server = ctx;
	struct fc_client *client;
	int fd = accept4(server->socket.fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	client = server->count < CLIENTS_MAX ? calloc(1, sizeof(*client)) :
					       NULL;
	if (!client || loop_add(server->loop, fd, LOOP_READ, client_ready,
				client)) {
		free(client);
		close(fd);
		return;
	}
	client->server = server;
	client->fd = fd;
	http_init(&client->reader, server->body_max);
	client->next = server->clients;
	server->clients = client;
	server->count++;
}

int fc_server_open(struct fc_server *server, const char *path,
		   struct vmm_error *error)
{
	if (unix_socket_listen(&server->socket, "--api-sock", path, error))
		return -1;
	if (!loop_add(server->loop, server->socket.fd, LOOP_READ,
		      accept_client, server))
		return 0;
	unix_socket_close(&server->socket);
	snprintf(error->text, sizeof(error->text), "--api-sock %s: out of "
		 "descriptors or memory", path);
	return -1;
}

void fc_server_close(struct fc_server *server)
{
	while (server->clients)
		drop(server->clients);
	if (server->socket.fd >= 0)
		loop_remove(server->loop, server->socket.fd);
	unix_socket_close(&server->socket);
}
