/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets, clients and lines of the control protocol. A client has one
 * request under way: the next is taken when its answer has been sent, so
 * that nothing piles up for a client that does not read.
 */
#include "vmm/control/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/passing.h"
#include "vmm/control/impl.h"
#include "vmm/guest/guest_agent.h"
#include "vmm/runtime.h"
#include "vmm/stall.h"

struct client {
	struct control *control;
	int fd; /* -1: free */
	unsigned int waits; /* for what; see struct control_reply */
	bool ending; /* after what is to be sent */
	json_t *id;  /* of the request under way */
	char *out;
	size_t out_size, out_sent;
	int out_fd; /* sent with the next byte; -1: none */
	size_t in_used;
	char *in; /* CONTROL_LINE_MAX bytes */
};

struct control {
	struct runtime_socket socket;
	struct loop *loop; /* NULL: not started */
	struct control_machine machine;
	struct client client[CONTROL_CLIENTS_MAX];
};

/* --- sending --------------------------------------------------------------- */

static void drop(struct client *client)
{
	loop_remove(client->control->loop, client->fd);
	close(client->fd);
	if (client->out_fd >= 0)
		close(client->out_fd);
	free(client->out);
	free(client->in);
	json_decref(client->id);
	client->id = NULL;
	client->out = client->in = NULL;
	client->fd = -1;
}

static ssize_t send_some(struct client *client)
{
	const struct iovec bytes = {
		.iov_base = client->out + client->out_sent,
		.iov_len = client->out_size - client->out_sent,
	};

	return passing_send(client->fd, &bytes, 1, client->out_fd,
			    MSG_DONTWAIT);
}

/* Sends what the socket takes. False: the client is gone. */
static bool flush(struct client *client)
{
	while (client->out) {
		ssize_t n = send_some(client);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n <= 0) {
			drop(client);
			return false;
		}
		if (client->out_fd >= 0)
			close(client->out_fd);
		client->out_fd = -1;
		client->out_sent += (size_t)n;
		if (client->out_sent < client->out_size)
			continue;
		free(client->out);
		client->out = NULL;
	}
	if (client->ending) {
		drop(client);
		return false;
	}
	return true;
}

/* Takes `answer`, and `fd`. Nothing else is to be sent. */
static void answer(struct client *client, json_t *object, int fd)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	client->out = text;
	client->out_fd = fd;
	client->out_sent = 0;
	if (!text) { /* no memory */
		client->ending = true;
		return;
	}
	client->out_size = strlen(text) + 1;
	text[client->out_size - 1] = '\n'; /* where the string ended */
}

static json_t *error_object(const json_t *id, const char *code,
			    const char *message)
{
	return json_pack("{sO?s{ssss}}", "id", id, "error", "code", code,
			 "message", message);
}

/* --- requests -------------------------------------------------------------- */

static void answer_reply(struct client *client,
			 const struct control_reply *reply)
{
	json_t *object;

	if (reply->code)
		object = error_object(client->id, reply->code, reply->message);
	else
		object = json_pack("{sO?so}", "id", client->id, "result",
				   reply->result);
	answer(client, object, reply->fd);
	json_decref(client->id);
	client->id = NULL;
}

void control_refuse(struct control_reply *reply, const char *code,
		    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reply->message, sizeof(reply->message), format, args);
	va_end(args);
	reply->code = code;
}

/* A line without its newline. */
static void take_line(struct client *client, const char *line, size_t length)
{
	struct control_reply reply = { .fd = -1 };
	json_error_t why;
	const char *command;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES,
				     &why);

	client->id = json_incref(json_object_get(request, "id"));
	command = json_string_value(json_object_get(request, "command"));
	if (!request)
		control_refuse(&reply, "bad-request", "not JSON: %.100s",
			       why.text);
	else if (!command)
		control_refuse(&reply, "bad-request",
			       "an object with \"command\" is wanted");
	else
		control_command(&client->control->machine, command, request,
				&reply);
	client->waits = reply.later;
	if (!reply.later)
		answer_reply(client, &reply);
	json_decref(request);
}

/* What to wait for next. */
static void watch(struct client *client)
{
	uint32_t events = LOOP_READ;

	if (client->out)
		events = LOOP_WRITE;
	else if (client->waits)
		events = 0;
	loop_change(client->control->loop, client->fd, events);
}

/* Takes the lines that are there as long as their answers can be sent. */
static void go_on(struct client *client)
{
	while (flush(client)) {
		char *end = memchr(client->in, '\n', client->in_used);
		size_t length;

		if (client->out || client->waits ||
		    (!end && client->in_used < CONTROL_LINE_MAX)) {
			watch(client);
			return;
		}
		if (!end) {
			client->ending = true;
			answer(client, error_object(NULL, "too-long",
						    "a line is too long"),
			       -1);
			continue;
		}
		length = (size_t)(end - client->in);
		take_line(client, client->in, length);
		client->in_used -= length + 1;
		memmove(client->in, end + 1, client->in_used);
		/* It may have changed what others watch. */
		loop_wake(client->control->loop);
	}
}

static void client_ready(void *ctx, uint32_t events)
{
	struct client *client = ctx;
	ssize_t n;

	if (events & LOOP_READ) {
		n = recv(client->fd, client->in + client->in_used,
			 CONTROL_LINE_MAX - client->in_used, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			drop(client);
			return;
		}
		client->in_used += (size_t)n;
	} else if (events & LOOP_HUP) {
		drop(client);
		return;
	}
	go_on(client);
}

/* Answers all that wait for `what`; with `code` by an error. */
static void wait_over(struct control *control, unsigned int what,
		      const char *code, const char *message)
{
	for (unsigned int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *client = &control->client[i];
		struct control_reply reply = { .fd = -1 };

		if (client->fd < 0 || client->waits != what)
			continue;
		if (code)
			control_refuse(&reply, code, "%s", message);
		else if (what == CONTROL_BALLOON)
			reply.result = control_balloon_json(
				&control->machine.target);
		else if (what == CONTROL_STATE)
			reply.result = control_state(&control->machine);
		else if (what == CONTROL_STATUS)
			reply.result = control_status_json(&control->machine);
		else
			reply.result = json_object();
		client->waits = 0;
		answer_reply(client, &reply);
		go_on(client);
	}
}

/* Whoever typed last, if still there, hears of it. */
static void typing_done(void *ctx, bool taken)
{
	wait_over(ctx, CONTROL_TYPING, taken ? NULL : "not-read",
		  "the guest does not read its keyboard");
}

/* The guest's statistics have come, or will not. */
static void balloon_done(void *ctx)
{
	wait_over(ctx, CONTROL_BALLOON, NULL, NULL);
}

/* The guest has told of itself, or takes its time. */
static void facts_done(void *ctx)
{
	wait_over(ctx, CONTROL_STATUS, NULL, NULL);
}

static void slot_done(void *ctx, unsigned int slot, bool released)
{
	wait_over(ctx, CONTROL_SLOT + slot, released ? NULL : "not-released",
		  "the guest does not let it go; lodge detach --force pulls "
		  "it out");
}

/*
 * Tells those who watch. All of them know the same reason: an older one was
 * answered when it had changed.
 */
void control_woken(struct control *control)
{
	const char *reason = control && control->loop ?
				     stall_reason(control->machine.target.stall) :
				     NULL;

	if (control && control->loop &&
	    strcmp(reason ? reason : "", control->machine.told))
		wait_over(control, CONTROL_STATE, NULL, NULL);
}

/* --- connections ----------------------------------------------------------- */

static void greet(struct client *client)
{
	answer(client,
	       json_pack("{sssiss}", "hello", "lodge", "version",
			 CONTROL_VERSION, "name",
			 client->control->machine.name), -1);
	go_on(client);
}

static struct client *free_client(struct control *control)
{
	for (unsigned int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (control->client[i].fd < 0)
			return &control->client[i];
	return NULL;
}

static void client_came(void *ctx, uint32_t events)
{
	static const char full[] =
		"{\"id\":null,\"error\":{\"code\":\"busy\","
		"\"message\":\"too many clients\"}}\n";
	struct control *control = ctx;
	struct client *client = free_client(control);
	int fd = accept4(control->socket.fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!client) {
		send(fd, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
		return;
	}
	client->control = control;
	client->in = malloc(CONTROL_LINE_MAX);
	client->fd = client->in ? fd : -1;
	client->out_fd = -1;
	client->in_used = 0;
	client->waits = 0;
	client->ending = false;
	if (!client->in ||
	    loop_add(control->loop, fd, LOOP_READ, client_ready, client)) {
		close(fd);
		free(client->in);
		client->fd = -1;
		return;
	}
	greet(client);
}

int control_open(struct control **out, const char *name, bool any,
		 struct vmm_error *error)
{
	struct control *control = calloc(1, sizeof(*control));

	*out = NULL;
	if (!control)
		return vmm_error_set(error, "out of memory");
	if (runtime_listen(&control->socket, name, any, error)) {
		free(control);
		return -1;
	}
	for (unsigned int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control->client[i].fd = -1;
	control->machine.name = control->socket.name;
	*out = control;
	return 0;
}

int control_socket(const struct control *control)
{
	return control->socket.fd;
}

const char *control_name(const struct control *control)
{
	return control->socket.name;
}

int control_start(struct control *control, struct loop *loop,
		  const struct control_target *target)
{
	int rc;

	control->loop = loop;
	control->machine.target = *target;
	hotplug_on_gone(target->hotplug, slot_done, control);
	guest_agent_on_answer(target->agent, facts_done, control);
	rc = typing_open(&control->machine.typing, loop, target->board,
			 typing_done, control);
	if (!rc)
		rc = balloon_wait_open(&control->machine.balloon, loop,
				       target->board, balloon_done, control);
	if (!rc)
		rc = loop_add(loop, control->socket.fd, LOOP_READ, client_came,
			      control);
	return rc;
}

void control_close(struct control *control)
{
	if (!control)
		return;
	for (unsigned int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (control->client[i].fd >= 0)
			drop(&control->client[i]);
	if (control->loop)
		guest_agent_on_answer(control->machine.target.agent, NULL,
				      NULL);
	typing_close(control->machine.typing);
	balloon_wait_close(control->machine.balloon);
	if (control->loop)
		loop_remove(control->loop, control->socket.fd);
	runtime_close(&control->socket);
	free(control);
}
