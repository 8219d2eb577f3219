/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: the greeting, what a request is about, and the request.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/guest.h"

#define LINGER_MS 5000

bool strings_add(struct strings *strings, const char *text, size_t size)
{
	char **more = realloc(strings->string,
			      (strings->count + 2) * sizeof(*more));

	if (!more)
		return false;
	strings->string = more;
	more[strings->count] = strndup(text, size);
	more[strings->count + 1] = NULL;
	return more[strings->count++];
}

static char *text_of(const struct frame *frame)
{
	return strndup((const char *)frame->data, frame->size);
}

void session_done(struct session *session, uint32_t count)
{
	uint8_t number[4];

	frame_put32(number, count);
	frame_send(session->fd, AGENT_DONE, number, sizeof(number));
}

void session_failed(struct session *session, const char *what)
{
	int error = errno;

	frame_send_failure(session->fd, error, "%s: %s", what,
			   strerror(error));
}

/* False: there is too much of it, or it is none of these. */
static bool take_about(struct session *session, const struct frame *frame)
{
	session->bytes += frame->size + sizeof(char *);
	if (session->bytes > AGENT_WORDS_MAX)
		return false;
	switch (frame->type) {
	case AGENT_WORD:
		return strings_add(&session->words, (const char *)frame->data,
				   frame->size);
	case AGENT_VARIABLE:
		return strings_add(&session->variables,
				   (const char *)frame->data, frame->size);
	case AGENT_FOLDER:
		session->folder = text_of(frame);
		return session->folder;
	case AGENT_USER:
		session->user = text_of(frame);
		return session->user;
	case AGENT_TERMINAL:
		if (frame->size != 4)
			return false;
		session->terminal = true;
		session->rows = frame_get16(frame->data);
		session->columns = frame_get16(frame->data + 2);
		return true;
	default:
		return false;
	}
}

static void serve_request(struct session *session, const struct frame *frame)
{
	static const struct {
		uint8_t type;
		uint32_t size;
	} requests[] = {
		{ AGENT_EXEC, 0 },     { AGENT_GET, 0 },   { AGENT_PUT, 0 },
		{ AGENT_FACTS, 0 },    { AGENT_POWER, 1 },
		{ AGENT_SET_TIME, 8 }, { AGENT_FREEZE, 0 },
		{ AGENT_CONNECT, 2 },  { AGENT_MOUNT, 0 },
		{ AGENT_UNMOUNT, 1 },
	};
	bool known = false;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		known |= requests[i].type == frame->type &&
			 requests[i].size == frame->size;
	if (!known)
		frame_send_failure(session->fd, 0,
				   "the agent knows no request of this kind");
	else if (frame->type == AGENT_EXEC)
		serve_exec(session);
	else if (frame->type == AGENT_GET)
		serve_get(session);
	else if (frame->type == AGENT_PUT)
		serve_put(session);
	else if (frame->type == AGENT_FACTS)
		serve_facts(session);
	else if (frame->type == AGENT_POWER)
		serve_power(session, frame->data[0]);
	else if (frame->type == AGENT_SET_TIME)
		serve_set_time(session, frame_get64(frame->data));
	else if (frame->type == AGENT_FREEZE)
		serve_freeze(session);
	else if (frame->type == AGENT_MOUNT)
		serve_mount(session);
	else if (frame->type == AGENT_UNMOUNT)
		serve_unmount(session, frame->data[0]);
	else
		serve_connect(session, frame_get16(frame->data));
}

/*
 * What was said last is lost when bytes of the host's lie unread as we close:
 * so we hear it out, for a while.
 */
static void part(struct session *session)
{
	struct pollfd ready = { .fd = session->fd, .events = POLLIN };

	shutdown(session->fd, SHUT_WR);
	while (poll(&ready, 1, LINGER_MS) > 0 &&
	       read(session->fd, session->in.bytes,
		    sizeof(session->in.bytes)) > 0)
		;
	close(session->fd);
}

void session_serve(int fd)
{
	static struct session session;
	struct frame frame;

	session.fd = fd;
	if (send(fd, AGENT_GREETING, strlen(AGENT_GREETING), MSG_NOSIGNAL) !=
		    (ssize_t)strlen(AGENT_GREETING) ||
	    frame_expect(&session.in, fd, AGENT_GREETING,
			 strlen(AGENT_GREETING)))
		return;
	while (frame_wait(&session.in, fd, &frame) > 0) {
		if (frame.type < AGENT_EXEC && take_about(&session, &frame))
			continue;
		if (frame.type >= AGENT_EXEC)
			serve_request(&session, &frame);
		else
			frame_send_failure(fd, E2BIG,
					   "the request is too large");
		break;
	}
	part(&session);
}
