/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting through to the agent: the control socket gives a connection to its
 * port, which may end at once for as long as the guest still starts.
 */
#include "vmm/guest/agent.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vm/host.h"
#include "vmm/control/remote.h"

#define LINE_MAX   32 /* "OK 4294967295\n" */
#define ANSWER_S   30 /* for an answer of the machine's process */
#define RETRY_MS   50
#define TELL_NS    1000000000ull
#define NS_PER_S   1000000000ull
#define NS_PER_MS  1000000ull

/* --- a guest's words --------------------------------------------------------- */

void agent_printable(char *to, size_t room, const uint8_t *text, size_t size)
{
	size_t i = 0;

	for (; i < size && i + 1 < room; i++)
		to[i] = text[i] >= ' ' && text[i] < 0x7f ? (char)text[i] : '?';
	to[i] = '\0';
}

int agent_failure(const struct frame *frame, char text[AGENT_TEXT_MAX])
{
	text[0] = '\0';
	if (frame->type != AGENT_FAILED || frame->size < 4)
		return 0;
	agent_printable(text, AGENT_TEXT_MAX, frame->data + 4,
			frame->size - 4);
	return (int)(frame_get32(frame->data) & 0xfff);
}

int agent_refuse(const struct agent *agent, const struct frame *frame,
		 struct vmm_error *error)
{
	char text[AGENT_TEXT_MAX];

	agent_failure(frame, text);
	if (text[0])
		return vmm_error_set(error, "%s: %.300s", agent->name, text);
	return vmm_error_set(error, "%s: its agent speaks no sense (frame %u)",
			     agent->name, frame->type);
}

/* --- frames ------------------------------------------------------------------ */

int agent_send(struct agent *agent, uint8_t type, const void *data, size_t size,
	       struct vmm_error *error)
{
	int rc;

	if (size > AGENT_FRAME_MAX)
		return vmm_error_set(error, "%s: a word of %zu bytes is too "
				     "long", agent->name, size);
	rc = frame_send(agent->fd, type, data, (uint32_t)size);
	if (rc == -EPIPE || rc == -ECONNRESET)
		return 0;
	return rc ? vmm_error_set(error, "%s: lost its agent: %s", agent->name,
				  strerror(-rc)) : 0;
}

int agent_receive(struct agent *agent, struct frame *frame,
		  struct vmm_error *error)
{
	int rc = frame_wait(&agent->in, agent->fd, frame);

	if (rc > 0)
		return 0;
	return vmm_error_set(error, "%s: lost its agent%s%s", agent->name,
			     rc ? ": " : "", rc ? strerror(-rc) : "");
}

int agent_call(struct agent *agent, uint8_t type, const void *data, size_t size,
	       uint32_t *count, struct vmm_error *error)
{
	struct frame frame;

	if (agent_send(agent, type, data, size, error) ||
	    agent_receive(agent, &frame, error))
		return -1;
	if (frame.type != AGENT_DONE || frame.size != 4)
		return agent_refuse(agent, &frame, error);
	*count = frame_get32(frame.data);
	return 0;
}

/* --- connecting -------------------------------------------------------------- */

enum outcome { THERE, NOT_YET, WRONG };

/* Reads until a byte of `end`; the time is up: -1. */
static int read_until(struct agent *agent, char end, char *line,
		      uint64_t deadline)
{
	for (int size = 0; size < LINE_MAX - 1;) {
		struct pollfd ready = { .fd = agent->fd, .events = POLLIN };
		uint64_t now = host_monotonic_ns();
		uint64_t left = now < deadline ? deadline - now : 0;

		if (poll(&ready, 1, (int)(left / NS_PER_MS) + 1) <= 0 ||
		    recv(agent->fd, line + size, 1, MSG_DONTWAIT) != 1)
			return -1;
		if (line[size++] == end) {
			line[size] = '\0';
			return 0;
		}
	}
	return -1;
}

/* The guest's system takes the connection, then the agent says hello. */
static enum outcome greet(struct agent *agent, uint64_t deadline,
			  struct vmm_error *error)
{
	static const char hello[] = AGENT_GREETING;
	char line[LINE_MAX];

	if (send(agent->fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL) !=
		    (ssize_t)sizeof(hello) - 1 ||
	    read_until(agent, '\n', line, deadline) || strncmp(line, "OK ", 3))
		return NOT_YET;
	if (read_until(agent, '\n', line, deadline))
		return NOT_YET;
	if (!strcmp(line, hello))
		return THERE;
	vmm_error_set(error, "%s: its agent is of another version; put that "
		      "of this lodge into the guest", agent->name);
	return WRONG;
}

static enum outcome try(struct agent *agent, struct remote *remote,
			uint64_t deadline, struct vmm_error *error)
{
	json_t *result = remote_call(remote, "connect",
				     json_pack("{si}", "port", AGENT_PORT),
				     ANSWER_S, &agent->fd, error);
	enum outcome outcome;

	if (!result)
		return WRONG;
	json_decref(result);
	if (agent->fd < 0) {
		vmm_error_set(error, "%s gave no connection", agent->name);
		return WRONG;
	}
	outcome = greet(agent, deadline, error);
	if (outcome != THERE)
		agent_close(agent);
	return outcome;
}

/* Until the agent answers, the time is up, or the machine has ended. */
static int try_again(struct agent *agent, struct remote *remote,
		     const struct agent_patience *patience,
		     struct vmm_error *error)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * NS_PER_MS };
	const uint64_t start = host_monotonic_ns();
	const uint64_t deadline = start + patience->seconds * NS_PER_S;
	bool told = !patience->waits;

	for (;;) {
		uint64_t until = told ? deadline : start + TELL_NS;
		enum outcome outcome;

		if (until > deadline)
			until = deadline;
		outcome = try(agent, remote, until, error);
		if (outcome != NOT_YET)
			return outcome == THERE ? 0 : -1;
		if (host_monotonic_ns() >= deadline)
			break;
		if (!told && host_monotonic_ns() >= start + TELL_NS) {
			patience->waits(agent->name);
			told = true;
		}
		nanosleep(&pause, NULL);
	}
	return vmm_error_set(error, "%s: no agent answers in its guest; it "
			     "needs lodge-agent, see lodge help agent",
			     agent->name);
}

int agent_open(struct agent *agent, const char *name,
	       const struct agent_patience *patience, struct vmm_error *error)
{
	struct remote remote;
	int rc;

	agent->fd = -1;
	agent->in.start = agent->in.used = 0;
	if (remote_open(&remote, name, error))
		return -1;
	snprintf(agent->name, sizeof(agent->name), "%s", name);
	rc = try_again(agent, &remote, patience, error);
	remote_close(&remote);
	return rc;
}

void agent_close(struct agent *agent)
{
	if (agent->fd >= 0)
		close(agent->fd);
	agent->fd = -1;
}
